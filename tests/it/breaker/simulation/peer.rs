//! The peer that is called: well most of the time, down now and then.

use std::{
    future::pending,
    io,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Response;
use tokio::time::{Instant, sleep};
use tower_keep::{BoxError, testing::ScriptedBody};

/// One answer of so many is bad, and one body of so many breaks off, even in the best of times.
const FAULTY: usize = 50;

/// The way in which a peer is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Connections are refused, at once.
    Refuses,
    /// Something in front of it says that it is not available.
    Unavailable,
    /// It takes requests and says nothing.
    Hangs,
}

impl Outage {
    pub fn as_str(self) -> &'static str {
        match self {
            Outage::Refuses => "refuses",
            Outage::Unavailable => "503",
            Outage::Hangs => "hangs",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Plain,
    Grpc,
}

/// The answer of the peer when it is well.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub wire: Wire,
    /// An HTTP status, or a gRPC code.
    pub status: u16,
    /// The time until the head.
    pub head: Duration,
    /// The number of frames of data in the body, and how long each of them takes.
    pub frames: u32,
    pub every: Duration,
    /// True if one thing in three that is asked for is not there.
    pub some_missing: bool,
}

/// The course of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Well,
    /// The answer is bad.
    Bad,
    /// The body breaks off.
    Broken,
    Down(Outage),
}

/// Clones are the same peer.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    outage: Outage,
    outages: Vec<Range<Duration>>,
    arrivals: Mutex<Vec<Duration>>,
}

impl Peer {
    pub fn new(outage: Outage, outages: &[Range<Duration>]) -> Self {
        Peer(Arc::new(Inner {
            start: Instant::now(),
            outage,
            outages: outages.to_vec(),
            arrivals: Mutex::default(),
        }))
    }

    /// Returns how much of the hour is over.
    pub fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Returns when the calls came that were admitted.
    pub fn arrivals(&self) -> Vec<Duration> {
        self.0.arrivals.lock().expect("no panic").clone()
    }

    fn count(&self) -> usize {
        self.0.arrivals.lock().expect("no panic").len()
    }

    /// A call has come.
    pub fn turn(&self) -> Turn {
        let mut arrivals = self.0.arrivals.lock().expect("no panic");
        arrivals.push(self.elapsed());
        match (self.down(), arrivals.len() % FAULTY) {
            (Some(outage), _) => Turn::Down(outage),
            (None, 0) => Turn::Bad,
            (None, 25) => Turn::Broken,
            (None, _) => Turn::Well,
        }
    }

    fn down(&self) -> Option<Outage> {
        let now = self.elapsed();
        let down = self.0.outages.iter().any(|outage| outage.contains(&now));
        down.then_some(self.0.outage)
    }

    /// Answers over HTTP.
    pub async fn answer(self, answer: Answer) -> Result<Response<ScriptedBody>, BoxError> {
        let mut turn = self.turn();
        let missing = answer.some_missing && self.count().is_multiple_of(3);
        if !matches!(turn, Turn::Down(_)) {
            sleep(answer.head).await;
            turn = self.down().map_or(turn, Turn::Down);
        }
        match turn {
            Turn::Down(Outage::Hangs) => pending().await,
            Turn::Down(Outage::Refuses) => {
                sleep(Duration::from_millis(1)).await;
                Err(io::Error::from(io::ErrorKind::ConnectionRefused).into())
            }
            Turn::Down(Outage::Unavailable) => Ok(answer.head(503, 14, ScriptedBody::new())),
            Turn::Bad => Ok(answer.head(500, 14, ScriptedBody::new())),
            _ if missing => Ok(answer.head(404, 5, "no".into())),
            turn => Ok(answer.well(self.left(&answer, turn))),
        }
    }

    /// Returns how long the connection holds, from the head of a response on.
    fn left(&self, answer: &Answer, turn: Turn) -> Option<Duration> {
        let now = self.elapsed();
        let mut begins = self.0.outages.iter().map(|outage| outage.start);
        let outage = begins.find(|begin| *begin > now);
        let outage = outage.map(|begin| begin.saturating_sub(now));
        let broken = (turn == Turn::Broken).then(|| answer.every * answer.frames / 2);
        match (outage, broken) {
            (Some(outage), Some(broken)) => Some(outage.min(broken)),
            (outage, broken) => outage.or(broken),
        }
    }
}

impl Answer {
    /// A head with what gRPC calls a code in it, if that is what is spoken.
    fn head(&self, status: u16, code: u16, body: ScriptedBody) -> Response<ScriptedBody> {
        let response = match self.wire {
            Wire::Plain => Response::builder().status(status),
            Wire::Grpc => {
                let response = Response::builder().header("content-type", "application/grpc");
                response.header("grpc-status", code)
            }
        };
        response.body(body).expect("a response")
    }

    /// The answer of a peer that is well, on a connection that holds for so long.
    fn well(&self, left: Option<Duration>) -> Response<ScriptedBody> {
        match self.wire {
            Wire::Plain => self.head(self.status, self.status, self.body(left)),
            Wire::Grpc if self.status != 0 => {
                self.head(self.status, self.status, ScriptedBody::new())
            }
            Wire::Grpc => Response::builder()
                .header("content-type", "application/grpc")
                .body(self.body(left))
                .expect("a response"),
        }
    }

    fn body(&self, left: Option<Duration>) -> ScriptedBody {
        let mut body = ScriptedBody::new();
        let mut at = Duration::ZERO;
        for _ in 0..self.frames {
            if let Some(left) = left
                && at + self.every > left
            {
                let rest = left.saturating_sub(at);
                return body.after(rest).error("reset").without_size_hint();
            }
            at += self.every;
            if !self.every.is_zero() {
                body = body.after(self.every);
            }
            body = body.data("some data");
        }
        match self.wire {
            Wire::Grpc => body.trailers([("grpc-status", "0")]).without_size_hint(),
            Wire::Plain if self.every.is_zero() => body,
            Wire::Plain => body.without_size_hint(),
        }
    }
}
