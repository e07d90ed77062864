use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    recorded_end::{RecordedEnd, cause_text},
    recorded_head::RecordedHead,
};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, Head},
};

/// A guard that records admissions, response heads and ends of calls.
///
/// Use it in tests of services and of custom guards: put it before or after them in a pair. Clones share the records. It
/// changes nothing about calls, and reads no clock unless it is [timed](Self::timed).
///
/// ```
/// use tower::{Layer, ServiceExt};
/// use tower_keep::{GuardLayer, Outcome, testing::{Reply, Script, RecordingGuard}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
/// let guard = RecordingGuard::new();
/// let script: Script = Script::new([Reply::status(404)]);
/// let service = GuardLayer::client(guard.clone()).layer(script);
///
/// service.oneshot(http::Request::new(String::new())).await?;
/// assert_eq!(guard.single().outcome, Outcome::ClientError);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordingGuard {
    records: Arc<Mutex<Records>>,
    timed: bool,
    rejection: Option<Rejection>,
}

/// The records that all clones share.
#[derive(Debug, Default)]
struct Records {
    admitted: usize,
    rejected: usize,
    readiness_failures: usize,
    heads: Vec<RecordedHead>,
    completed: Vec<RecordedEnd>,
}

/// The permit of a [`RecordingGuard`].
#[derive(Debug)]
pub struct RecordingPermit {
    times_entered: usize,
}

impl RecordingGuard {
    /// Creates a guard that admits every call.
    ///
    /// A guard that has recorded nothing yet:
    ///
    /// ```
    /// use tower_keep::{GuardLayer, testing::RecordingGuard};
    ///
    /// let guard = RecordingGuard::new();
    /// let layer = GuardLayer::server(guard.clone());
    /// # let _ = layer;
    /// assert_eq!((guard.admitted(), guard.in_flight()), (0, 0));
    /// ```
    pub fn new() -> Self {
        RecordingGuard::default()
    }

    /// Creates a guard that reads the clock at admission, at the response head and at the end.
    ///
    /// The duration of a call on a paused clock:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower::{Layer, ServiceExt};
    /// use tower_keep::{GuardLayer, testing::{RecordingGuard, Reply, Script}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let guard = RecordingGuard::timed();
    /// let script: Script = Script::new([Reply::ok().after(Duration::from_secs(1))]);
    /// GuardLayer::client(guard.clone()).layer(script).oneshot(http::Request::new(())).await?;
    /// assert_eq!(guard.single().elapsed(), Some(Duration::from_secs(1)));
    /// # Ok(()) }
    /// ```
    pub fn timed() -> Self {
        RecordingGuard {
            timed: true,
            ..RecordingGuard::default()
        }
    }

    /// Creates a guard that rejects every call.
    ///
    /// A server that responds to every call with 503:
    ///
    /// ```
    /// use tower::{Layer, ServiceExt};
    /// use tower_keep::{GuardLayer, Rejection, testing::{RecordingGuard, Script, ScriptedBody}};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let guard = RecordingGuard::rejecting(Rejection::overloaded("maintenance"));
    /// let service = GuardLayer::server(guard).layer(Script::<std::io::Error>::new([]));
    /// let response = service.oneshot(http::Request::new(ScriptedBody::new())).await.unwrap();
    /// assert_eq!(response.status(), 503);
    /// # }
    /// ```
    pub fn rejecting(rejection: Rejection) -> Self {
        RecordingGuard {
            rejection: Some(rejection),
            ..RecordingGuard::default()
        }
    }

    /// Returns the number of admitted calls.
    pub fn admitted(&self) -> usize {
        self.records().admitted
    }

    /// Returns the number of calls that the guard itself rejected.
    pub fn rejected(&self) -> usize {
        self.records().rejected
    }

    /// Returns the number of admitted calls that have not ended. A call whose permit is leaked stays in flight forever.
    pub fn in_flight(&self) -> usize {
        let records = self.records();
        records.admitted - records.completed.len()
    }

    /// Returns how often the wrapped service failed to become ready.
    pub fn readiness_failures(&self) -> usize {
        self.records().readiness_failures
    }

    /// Returns the recorded response heads, in order.
    pub fn heads(&self) -> Vec<RecordedHead> {
        self.records().heads.clone()
    }

    /// Returns the recorded ends, in order.
    pub fn completed(&self) -> Vec<RecordedEnd> {
        self.records().completed.clone()
    }

    /// Returns the end of the only call.
    ///
    /// # Panics
    ///
    /// Panics unless there was exactly one call and it ended exactly once.
    #[track_caller]
    pub fn single(&self) -> RecordedEnd {
        // An assertion that fails poisons the lock, which does not matter: see `records`.
        let records = self.records();
        assert_eq!(records.admitted, 1, "calls admitted");
        assert_eq!(records.completed.len(), 1, "calls ended");
        records.completed[0].clone()
    }

    /// Removes all records of calls that have ended.
    pub fn clear(&self) {
        let mut records = self.records();
        // Calls in flight stay admitted, so that `in_flight` remains true.
        let in_flight = records.admitted - records.completed.len();
        *records = Records {
            admitted: in_flight,
            ..Records::default()
        };
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the clock if the guard is timed.
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
        // Before the lock, since the text of a cause may be code of others.
        let recorded = RecordedEnd {
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
        self.records().completed.push(recorded);
    }

    fn on_not_ready(&self) {
        self.records().readiness_failures += 1;
    }
}

impl<Req> Admit<Req> for RecordingGuard {
    fn admit(&self, _: &mut Req, now: &CallClock) -> Result<RecordingPermit, Rejection> {
        self.read_clock(now);
        if let Some(rejection) = &self.rejection {
            self.records().rejected += 1;
            return Err(rejection.clone());
        }
        self.records().admitted += 1;
        Ok(RecordingPermit { times_entered: 0 })
    }
}
