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
    /// The time that a head takes when the peer is well.
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

/// A call a second: enough for a rate.
const LOAD: Load = Load {
    callers: 8,
    every: secs(8),
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
    some_missing: false,
};
const GRPC: Answer = Answer {
    wire: Wire::Grpc,
    status: 0,
    ..WELL
};
const EMPTY: Answer = Answer { frames: 0, ..WELL };
const ACCEPTED: Answer = with_status(202, WELL);
const NOT_FOUND: Answer = with_status(5, GRPC);
const SOME_MISSING: Answer = Answer {
    some_missing: true,
    ..WELL
};
const SLOW_HEAD: Answer = Answer {
    head: secs(6),
    ..WELL
};
/// There at once, however slowly it is read.
const BULK: Answer = Answer { frames: 4, ..WELL };

const fn with_status(status: u16, answer: Answer) -> Answer {
    Answer { status, ..answer }
}

const fn events(answer: Answer) -> Answer {
    Answer {
        frames: 4,
        every: ms(500),
        ..answer
    }
}

const fn stream(answer: Answer) -> Answer {
    Answer {
        frames: 5,
        every: secs(120),
        ..answer
    }
}

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
fn http(name: &'static str, outage: Outage, asks: (Method, Answer), reader: Reader) -> Row {
    let (method, answer) = asks;
    Row {
        head: answer.head,
        ..row(name, outage, client(method, answer, reader))
    }
}

pub fn rows() -> Vec<Row> {
    use Outage::{Hangs, Refuses, Unavailable};
    use Reader::{Reads, ReadsGood, Slowly, Status, Takes};
    let get = |answer| (Method::GET, answer);
    let post = |answer| (Method::POST, answer);
    let watches = Takes(1);
    vec![
        http("status only", Refuses, get(WELL), Status),
        http("`HEAD`", Hangs, (Method::HEAD, EMPTY), Status),
        http("webhook sender", Unavailable, post(ACCEPTED), Status),
        http("watcher, one event", Refuses, get(events(WELL)), watches),
        http("gRPC watcher", Unavailable, post(events(GRPC)), watches),
        http("heads of 6 s", Hangs, get(SLOW_HEAD), Reads),
        http("streams of 10 min", Refuses, get(stream(WELL)), Reads),
        http("gRPC streams of 10 min", Hangs, post(stream(GRPC)), Reads),
        http("404 only", Refuses, get(with_status(404, WELL)), Reads),
        http("401 only", Unavailable, get(with_status(401, WELL)), Status),
        http("`NOT_FOUND` only", Hangs, post(NOT_FOUND), Reads),
        http("gRPC, whole answers", Refuses, post(GRPC), Reads),
        http(
            "`error_for_status()`",
            Unavailable,
            get(SOME_MISSING),
            ReadsGood,
        ),
        row("the same in `call(..)`", Hangs, error_for_status(WELL.head)),
        Row {
            breakers: vec![DEFAULTS, IN_A_ROW, SLOW],
            ..http("slow readers", Unavailable, get(BULK), Slowly(ms(800)))
        },
        row("plain service", Refuses, plain(WELL.head)),
        row("plain service", Hangs, plain(WELL.head)),
        row("`call(..)`", Refuses, calls(WELL.head)),
        row("server", Unavailable, server(events(WELL))),
        Row {
            load: LOW,
            breakers: vec![IN_A_ROW],
            ..http("a call every 2 s", Refuses, get(WELL), Status)
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
                outage: self.outage,
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
