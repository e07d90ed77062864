use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

use crate::{
    call::{CallClock, CallEnd, Cause, Evidence, GrpcCode, Outcome, Rejection},
    guard::{Admit, Guard, Head},
};

/// A guard that writes down what guards are told: admissions, heads, settlements.
///
/// For tests of services and of guards of one's own: put it before or behind them in a tuple. Clones write into
/// the same book. By itself it changes nothing, and reads no clock.
///
/// ```
/// use tower::{Layer, ServiceExt};
/// use tower_keep::{GuardLayer, Outcome, testing::{Reply, Script, RecordingGuard}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
/// let spy = RecordingGuard::new();
/// let script: Script = Script::new([Reply::status(404)]);
/// let service = GuardLayer::client(spy.clone()).layer(script);
///
/// service.oneshot(http::Request::new(String::new())).await?;
/// assert_eq!(spy.single().outcome, Outcome::ClientError);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordingGuard {
    records: Arc<Mutex<Records>>,
    timed: bool,
    rejection: Option<Rejection>,
}

#[derive(Debug, Default)]
struct Records {
    admitted: usize,
    rejected: usize,
    readiness_failures: usize,
    heads: Vec<RecordedHead>,
    completed: Vec<RecordedEnd>,
}

/// The head of a response, as a [`RecordingGuard`] was shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedHead {
    /// The status.
    pub status: StatusCode,
    /// What the head said about the call.
    pub outcome: Outcome,
    /// The evidence of the peer's health that the head gave.
    pub evidence: Evidence,
}

/// The end of a call, as a [`RecordingGuard`] was told it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedEnd {
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
    pub admitted_at: Option<Instant>,
    /// When it was over, if the spy is [timed](RecordingGuard::timed).
    pub completed_at: Option<Instant>,
    /// From admission to the head, if any guard asked for the time at both.
    pub time_to_head: Option<Duration>,
    /// How often it was entered: for each poll and drop of the service, and round what later guards do.
    pub times_entered: usize,
}

/// What a [`RecordingGuard`] holds of a call.
#[derive(Debug)]
pub struct RecordingPermit {
    times_entered: usize,
}

impl RecordedEnd {
    /// From admission to the end, if both are known.
    pub fn elapsed(&self) -> Option<Duration> {
        Some(self.completed_at? - self.admitted_at?)
    }
}

impl RecordingGuard {
    /// A spy that lets every call pass.
    pub fn new() -> Self {
        RecordingGuard::default()
    }

    /// A spy that asks for the time at admission, at the head and at the end.
    pub fn timed() -> Self {
        RecordingGuard {
            timed: true,
            ..RecordingGuard::default()
        }
    }

    /// A spy that refuses every call.
    pub fn rejecting(refusal: Rejection) -> Self {
        RecordingGuard {
            rejection: Some(refusal),
            ..RecordingGuard::default()
        }
    }

    /// How many calls it let pass.
    pub fn admitted(&self) -> usize {
        self.records().admitted
    }

    /// How many calls it refused itself.
    pub fn rejected(&self) -> usize {
        self.records().rejected
    }

    /// How many of its calls have not settled. One whose permit was lost stays in flight for ever.
    pub fn in_flight(&self) -> usize {
        let book = self.records();
        book.admitted - book.completed.len()
    }

    /// How often the wrapped service failed to become ready.
    pub fn readiness_failures(&self) -> usize {
        self.records().readiness_failures
    }

    /// The heads it was shown, in order.
    pub fn heads(&self) -> Vec<RecordedHead> {
        self.records().heads.clone()
    }

    /// The ends it was told, in order.
    pub fn completed(&self) -> Vec<RecordedEnd> {
        self.records().completed.clone()
    }

    /// The end of the one call there was.
    ///
    /// # Panics
    ///
    /// If there was not exactly one call, or if it did not settle exactly once.
    #[track_caller]
    pub fn single(&self) -> RecordedEnd {
        let book = self.records();
        assert_eq!(book.admitted, 1, "calls admitted");
        assert_eq!(book.completed.len(), 1, "calls settled");
        book.completed[0].clone()
    }

    /// Forgets everything that has settled.
    pub fn clear(&self) {
        let mut book = self.records();
        let in_flight = book.admitted - book.completed.len();
        *book = Records {
            admitted: in_flight,
            ..Records::default()
        };
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_clock(&self, now: &CallClock) {
        if self.timed {
            now.now();
        }
    }
}

impl Guard for RecordingGuard {
    type Permit = RecordingPermit;

    fn enter(&self, permit: &mut RecordingPermit) -> impl Sized {
        permit.times_entered += 1;
    }

    fn on_head(&self, _: &mut RecordingPermit, head: &mut Head<'_>) {
        self.read_clock(head.clock);
        self.records().heads.push(RecordedHead {
            status: head.status,
            outcome: head.outcome,
            evidence: head.evidence,
        });
    }

    fn on_end(&self, permit: RecordingPermit, end: &CallEnd<'_>) {
        let settlement = RecordedEnd {
            outcome: end.outcome(),
            evidence: end.evidence(),
            cause: end.cause().map(cause_text),
            status: end.status(),
            grpc_code: end.grpc_code(),
            response_bytes: end.response_bytes(),
            admitted_at: end.admitted_at(),
            completed_at: self.timed.then(|| end.now()),
            time_to_head: end.time_to_head(),
            times_entered: permit.times_entered,
        };
        self.records().completed.push(settlement);
    }

    fn on_not_ready(&self) {
        self.records().readiness_failures += 1;
    }
}

impl<Req> Admit<Req> for RecordingGuard {
    fn admit(&self, _: &mut Req, now: &CallClock) -> Result<RecordingPermit, Rejection> {
        self.read_clock(now);
        if let Some(refusal) = &self.rejection {
            self.records().rejected += 1;
            return Err(refusal.clone());
        }
        self.records().admitted += 1;
        Ok(RecordingPermit { times_entered: 0 })
    }
}

fn cause_text(cause: &Cause<'_>) -> String {
    match cause {
        Cause::Error(error) => error.to_string(),
        Cause::Opaque { type_name, .. } => (*type_name).to_owned(),
        Cause::Rejection(rejection) => rejection.to_string(),
        Cause::Panic(message) => format!("panic: {message}"),
        Cause::GrpcMessage(message) => format!("grpc-message: {message}"),
        Cause::MissingGrpcStatus => "missing grpc-status".to_owned(),
        Cause::WrongLength {
            content_length: promised,
            bytes_sent: sent,
        } => format!("{sent} of {promised} bytes"),
    }
}
