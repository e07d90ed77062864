//! The rows: which clients, round which peer.

use std::{ops::Range, time::Duration};

use http::Method;
use tokio::runtime::Builder;
use tower_keep::{CircuitBreaker, breaker::CircuitBreakerBuilder};

use super::{
    cells::Cells,
    clients::{Call, LIMIT, Reader, calls, client, error_for_status, plain, server},
    hour::{Hour, Load, OUTAGES},
    peer::{Answer, Outage, Peer, Wire},
};

type Connect = Box<dyn Fn(&CircuitBreaker, &Peer) -> Call + Send>;

pub struct Row {
    name: &'static str,
    outage: Outage,
    /// How long a head takes when the peer is well.
    head: Duration,
    load: Load,
    breakers: Vec<Breaker>,
    connect: Connect,
}

/// Settings, by their name.
#[derive(Clone, Copy)]
struct Breaker(
    &'static str,
    fn(CircuitBreakerBuilder) -> CircuitBreakerBuilder,
);

const DEFAULTS: Breaker = Breaker("defaults", |builder| builder);
const IN_A_ROW: Breaker = Breaker("5 in a row", |builder| builder.consecutive_failures(5));
const SLOW: Breaker = Breaker("slow rate", |builder| {
    builder.slow_call(secs(2)).slow_rate(0.5)
});

/// Two calls a second: enough for a rate.
const LOAD: Load = Load {
    callers: 8,
    every: secs(4),
};
const LOW: Load = Load {
    callers: 1,
    every: secs(2),
};
const WELL: Answer = Answer {
    wire: Wire::Plain,
    status: 200,
    head: ms(20),
    frames: 1,
    every: Duration::ZERO,
};
const GRPC: Answer = Answer {
    wire: Wire::Grpc,
    status: 0,
    ..WELL
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn row(
    name: &'static str,
    outage: Outage,
    connect: impl Fn(&CircuitBreaker, &Peer) -> Call + Send + 'static,
) -> Row {
    Row {
        name,
        outage,
        head: WELL.head,
        load: LOAD,
        breakers: vec![DEFAULTS, IN_A_ROW],
        connect: Box::new(connect),
    }
}

/// One that speaks HTTP.
fn http(name: &'static str, outage: Outage, method: Method, answer: Answer, reader: Reader) -> Row {
    Row {
        head: answer.head,
        ..row(name, outage, client(method, answer, reader))
    }
}

pub fn rows() -> Vec<Row> {
    use Outage::{Hangs, Refuses, Unavailable};
    let stream = |answer| Answer {
        frames: 20,
        every: secs(30),
        ..answer
    };
    let events = |answer| Answer {
        frames: 100,
        every: ms(200),
        ..answer
    };
    let status = |status, answer| Answer { status, ..answer };
    let (get, post) = (Method::GET, Method::POST);
    let slow_heads = Answer {
        head: secs(6),
        ..WELL
    };
    let bulk = Answer {
        frames: 100,
        ..WELL
    };
    vec![
        http("status only", Refuses, get.clone(), WELL, Reader::Status),
        http(
            "HEAD",
            Hangs,
            Method::HEAD,
            Answer { frames: 0, ..WELL },
            Reader::Status,
        ),
        http(
            "webhook sender",
            Unavailable,
            post.clone(),
            status(202, WELL),
            Reader::Status,
        ),
        http(
            "watcher, one event",
            Refuses,
            get.clone(),
            events(WELL),
            Reader::Takes(1),
        ),
        http(
            "gRPC watcher, one message",
            Unavailable,
            post.clone(),
            events(GRPC),
            Reader::Takes(1),
        ),
        http(
            "heads of 6 s",
            Hangs,
            get.clone(),
            slow_heads,
            Reader::Reads,
        ),
        http(
            "streams of 10 min",
            Refuses,
            get.clone(),
            stream(WELL),
            Reader::Reads,
        ),
        http(
            "gRPC streams of 10 min",
            Hangs,
            post.clone(),
            stream(GRPC),
            Reader::Reads,
        ),
        http(
            "404 only",
            Refuses,
            get.clone(),
            status(404, WELL),
            Reader::Reads,
        ),
        http(
            "401 only",
            Unavailable,
            get.clone(),
            status(401, WELL),
            Reader::Status,
        ),
        http(
            "NOT_FOUND only",
            Hangs,
            post.clone(),
            status(5, Answer { frames: 0, ..GRPC }),
            Reader::Reads,
        ),
        http(
            "gRPC, whole answers",
            Refuses,
            post.clone(),
            GRPC,
            Reader::Reads,
        ),
        http(
            "error_for_status()",
            Unavailable,
            get.clone(),
            WELL,
            Reader::ReadsGood,
        ),
        row(
            "error_for_status() in call(..)",
            Hangs,
            error_for_status(WELL.head),
        ),
        Row {
            breakers: vec![DEFAULTS, IN_A_ROW, SLOW],
            ..http(
                "slow readers",
                Unavailable,
                get.clone(),
                bulk,
                Reader::Slowly(ms(30)),
            )
        },
        row("plain service", Refuses, plain(WELL.head)),
        row("plain service that hangs", Hangs, plain(WELL.head)),
        row("call(..)", Refuses, calls(WELL.head)),
        row(
            "server, clients leave",
            Unavailable,
            server(Answer {
                every: ms(500),
                frames: 6,
                ..WELL
            }),
        ),
        Row {
            load: LOW,
            breakers: vec![IN_A_ROW],
            ..http(
                "a call every 2 s",
                Refuses,
                get.clone(),
                WELL,
                Reader::Status,
            )
        },
    ]
}

impl Row {
    pub fn run(self, seed: u64) -> Vec<Cells> {
        let breakers = self.breakers.iter().zip(0..);
        let cells = breakers.map(|(breaker, nth)| {
            let hour = |outages: &[Range<Duration>]| self.hour(seed * 10 + nth, breaker, outages);
            Cells {
                row: self.name,
                breaker: breaker.0,
                without: hour(&[]),
                with: hour(&OUTAGES),
                probes_take: match self.outage {
                    Outage::Hangs => LIMIT.max(self.head),
                    _ => self.head,
                },
            }
        });
        cells.collect()
    }

    fn hour(&self, seed: u64, breaker: &Breaker, outages: &[Range<Duration>]) -> Hour {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.expect("a runtime").block_on(async {
            let builder = CircuitBreaker::builder(self.name).seed(seed);
            let breaker = breaker.1(builder).build().expect("sound");
            let peer = Peer::new(self.outage, outages);
            let call = (self.connect)(&breaker, &peer);
            Hour::run(seed, self.load, &breaker, peer, call).await
        })
    }
}
