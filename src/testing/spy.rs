use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

use crate::{
    call::{Cause, End, Evidence, GrpcCode, Moment, Outcome, Rejection},
    guard::{Admit, Guard, Head},
};

/// A guard that writes down what guards are told: admissions, heads, settlements.
///
/// For tests of services and of guards of one's own: put it before or behind them in a tuple. Clones write into
/// the same book. By itself it changes nothing, and reads no clock.
///
/// ```
/// use tower::{Layer, ServiceExt};
/// use tower_keep::{GuardLayer, Outcome, testing::{Reply, Script, Spy}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
/// let spy = Spy::new();
/// let script: Script = Script::new([Reply::status(404)]);
/// let service = GuardLayer::client(spy.clone()).layer(script);
///
/// service.oneshot(http::Request::new(String::new())).await?;
/// assert_eq!(spy.only().outcome, Outcome::Ignored);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Spy {
    book: Arc<Mutex<Book>>,
    timed: bool,
    refusal: Option<Rejection>,
}

#[derive(Debug, Default)]
struct Book {
    admitted: usize,
    refused: usize,
    unready: usize,
    heads: Vec<SeenHead>,
    settled: Vec<Settlement>,
}

/// The head of a response, as a [`Spy`] was shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenHead {
    /// The status.
    pub status: StatusCode,
    /// What the head said about the call.
    pub outcome: Outcome,
    /// The evidence of the peer's health that the head gave.
    pub evidence: Evidence,
}

/// The end of a call, as a [`Spy`] was told it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settlement {
    /// The one judgement on the call.
    pub outcome: Outcome,
    /// The evidence of the peer's health that the call gave.
    pub evidence: Evidence,
    /// What went wrong: the error's or the rejection's text, `panic: ..`, `grpc-message: ..`, the type of an
    /// error that could not be looked into, or `missing grpc-status`.
    pub cause: Option<String>,
    /// The HTTP status, once there was one.
    pub status: Option<StatusCode>,
    /// The gRPC code, once there was one.
    pub grpc_code: Option<GrpcCode>,
    /// Bytes of response body that were handed on.
    pub response_bytes: u64,
    /// When it was admitted, if any guard asked for the time then.
    pub began: Option<Instant>,
    /// When it was over, if the spy is [timed](Spy::timed).
    pub ended: Option<Instant>,
    /// From admission to the head, if any guard asked for the time at both.
    pub time_to_head: Option<Duration>,
    /// How often it was entered: for each poll and drop of the service, and round what later guards do.
    pub entered: usize,
}

/// What a [`Spy`] holds of a call.
#[derive(Debug)]
pub struct SpyPermit {
    entered: usize,
}

impl Settlement {
    /// From admission to the end, if both are known.
    pub fn elapsed(&self) -> Option<Duration> {
        Some(self.ended? - self.began?)
    }
}

impl Spy {
    /// A spy that lets every call pass.
    pub fn new() -> Self {
        Spy::default()
    }

    /// A spy that asks for the time at admission, at the head and at the end.
    pub fn timed() -> Self {
        Spy {
            timed: true,
            ..Spy::default()
        }
    }

    /// A spy that refuses every call.
    pub fn refusing(refusal: Rejection) -> Self {
        Spy {
            refusal: Some(refusal),
            ..Spy::default()
        }
    }

    /// How many calls it let pass.
    pub fn admitted(&self) -> usize {
        self.book().admitted
    }

    /// How many calls it refused itself.
    pub fn refused(&self) -> usize {
        self.book().refused
    }

    /// How many of its calls have not settled. One whose permit was lost stays in flight for ever.
    pub fn in_flight(&self) -> usize {
        let book = self.book();
        book.admitted - book.settled.len()
    }

    /// How often the wrapped service failed to become ready.
    pub fn unready(&self) -> usize {
        self.book().unready
    }

    /// The heads it was shown, in order.
    pub fn heads(&self) -> Vec<SeenHead> {
        self.book().heads.clone()
    }

    /// The ends it was told, in order.
    pub fn settled(&self) -> Vec<Settlement> {
        self.book().settled.clone()
    }

    /// The end of the one call there was.
    ///
    /// # Panics
    ///
    /// If there was not exactly one call, or if it did not settle exactly once.
    #[track_caller]
    pub fn only(&self) -> Settlement {
        let book = self.book();
        assert_eq!(book.admitted, 1, "calls admitted");
        assert_eq!(book.settled.len(), 1, "calls settled");
        book.settled[0].clone()
    }

    /// Forgets everything that has settled.
    pub fn forget(&self) {
        let mut book = self.book();
        let in_flight = book.admitted - book.settled.len();
        *book = Book {
            admitted: in_flight,
            ..Book::default()
        };
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, now: &Moment) {
        if self.timed {
            now.now();
        }
    }
}

impl Guard for Spy {
    type Permit = SpyPermit;

    fn enter<R>(&self, permit: &mut SpyPermit, poll: impl FnOnce() -> R) -> R {
        permit.entered += 1;
        poll()
    }

    fn head(&self, _: &mut SpyPermit, head: &mut Head<'_>) {
        self.ask(head.now);
        self.book().heads.push(SeenHead {
            status: head.status,
            outcome: head.outcome,
            evidence: head.evidence,
        });
    }

    fn settle(&self, permit: SpyPermit, end: &End<'_>) {
        let settlement = Settlement {
            outcome: end.outcome(),
            evidence: end.evidence(),
            cause: end.cause().map(text),
            status: end.status(),
            grpc_code: end.grpc_code(),
            response_bytes: end.response_bytes(),
            began: end.began(),
            ended: self.timed.then(|| end.now()),
            time_to_head: end.time_to_head(),
            entered: permit.entered,
        };
        self.book().settled.push(settlement);
    }

    fn unready(&self) {
        self.book().unready += 1;
    }
}

impl<Req> Admit<Req> for Spy {
    fn admit(&self, _: &mut Req, now: &Moment) -> Result<SpyPermit, Rejection> {
        self.ask(now);
        if let Some(refusal) = &self.refusal {
            self.book().refused += 1;
            return Err(refusal.clone());
        }
        self.book().admitted += 1;
        Ok(SpyPermit { entered: 0 })
    }
}

fn text(cause: &Cause<'_>) -> String {
    match cause {
        Cause::Error(error) => error.to_string(),
        Cause::Opaque { type_name, .. } => (*type_name).to_owned(),
        Cause::Rejection(rejection) => rejection.to_string(),
        Cause::Panic(message) => format!("panic: {message}"),
        Cause::GrpcMessage(message) => format!("grpc-message: {message}"),
        Cause::MissingGrpcStatus => "missing grpc-status".to_owned(),
        Cause::WrongLength { promised, sent } => format!("{sent} of {promised} bytes"),
    }
}
