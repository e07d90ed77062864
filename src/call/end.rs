use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

use crate::protocol::WireFormat;

use super::{CallClock, Evidence, GrpcCode, Outcome, PanicDetails, Rejection, call_depth};

/// The cause of a failed call, as far as it is known.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Cause<'a> {
    /// The service, its transport or its body gave an error.
    Error(&'a (dyn Error + 'static)),
    /// The service gave an error of a type that does not implement `Error`.
    Opaque {
        /// The type's full name.
        type_name: &'static str,
        /// The message, if the error has one.
        message: Option<&'a str>,
    },
    /// A guard rejected the call: one of this layer, or one further in.
    Rejection(&'a Rejection),
    /// The service panicked, with this message.
    Panic(&'a str),
    /// The `grpc-message` that came with the status.
    GrpcMessage(&'a str),
    /// A gRPC response ended without a status: the peer or a proxy died in the middle of it.
    MissingGrpcStatus,
    /// A body ended that was shorter or longer than its `content-length`.
    WrongLength {
        /// The `content-length`.
        content_length: u64,
        /// The bytes that came.
        bytes_sent: u64,
    },
}

impl<'a> Cause<'a> {
    /// Returns the cause for an error. A rejection anywhere in its source chain takes precedence.
    pub(crate) fn from_error(error: &'a (dyn Error + 'static)) -> Self {
        match Rejection::find(error) {
            Some(rejection) => Cause::Rejection(rejection),
            None => Cause::Error(error),
        }
    }
}

/// The end of a call, as shown to [`Guard::on_end`](crate::guard::Guard::on_end).
#[derive(Debug)]
pub struct CallEnd<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) evidence: Evidence,
    pub(crate) wire: WireFormat,
    pub(crate) clock: &'a CallClock,
    pub(crate) admitted_at: Option<Instant>,
    pub(crate) time_to_head: Option<Duration>,
    /// The time spent waiting for the caller's request, of a call without a head.
    pub(crate) upload_wait: Duration,
    pub(crate) timings: Option<&'a Timings>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc_code: Option<GrpcCode>,
    pub(crate) response_bytes: u64,
    pub(crate) cause: Option<Cause<'a>>,
    pub(crate) panic: Option<&'a PanicDetails>,
    /// True if it is the end of a guarded call, as opposed to an operation.
    pub(crate) is_service_call: bool,
}

/// Times that are only [measured](crate::guard::Measure) if a guard asks for them.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    pub(crate) poll_time: Option<Duration>,
    pub(crate) readiness_wait: Option<Duration>,
    /// True once the service was called, for a call that waits in its future for readiness.
    pub(crate) called: Option<Arc<AtomicBool>>,
}

impl Timings {
    /// Returns whether the service was never called.
    pub(crate) fn was_never_called(&self) -> bool {
        let made = self.called.as_ref();
        // Relaxed: flag and end belong to one future, which is polled and dropped by one thread at a time.
        made.is_some_and(|made| !made.load(Ordering::Relaxed))
    }
}

impl<'a> CallEnd<'a> {
    /// Creates an end with an outcome alone, for tests of a guard. The evidence follows from it.
    ///
    /// A test shows a guard the end of a call that lasted for two seconds:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    /// use tower_keep::{Outcome, call::{CallClock, CallEnd}};
    ///
    /// let began = Instant::now();
    /// let clock = CallClock::at(began + Duration::from_secs(2));
    /// let end = CallEnd::new(Outcome::Failure, &clock).with_admitted_at(began);
    /// assert_eq!(end.elapsed(), Some(Duration::from_secs(2)));
    /// ```
    pub fn new(outcome: Outcome, now: &'a CallClock) -> Self {
        CallEnd {
            outcome,
            evidence: Evidence::from_outcome(outcome, false),
            wire: WireFormat::Plain,
            clock: now,
            admitted_at: None,
            time_to_head: None,
            upload_wait: Duration::ZERO,
            timings: None,
            status: None,
            grpc_code: None,
            response_bytes: 0,
            cause: None,
            panic: None,
            is_service_call: false,
        }
    }

    /// Sets the evidence of the peer's health.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// Sets the time of admission.
    #[must_use]
    pub fn with_admitted_at(mut self, began: Instant) -> Self {
        self.admitted_at = Some(began);
        self
    }

    /// Sets the cause of the failure.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause<'a>) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Returns the outcome of the call.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns the evidence of the peer's health, decided together with the outcome.
    #[inline]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// Returns the wire format of the call.
    #[inline]
    pub fn wire(&self) -> WireFormat {
        self.wire
    }

    /// Returns the time of the end. Reads the clock unless another guard of the call has done so.
    #[inline]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Returns the time of admission, if any guard asked for the time then.
    #[inline]
    pub fn admitted_at(&self) -> Option<Instant> {
        self.admitted_at
    }

    /// Returns the time from admission to the end, if any guard asked for the time at admission.
    #[inline]
    pub fn elapsed(&self) -> Option<Duration> {
        let began = self.admitted_at?;
        Some(self.now().saturating_duration_since(began))
    }

    /// Returns the time from admission to the head of the response, if any guard asked for the time at both.
    pub fn time_to_head(&self) -> Option<Duration> {
        self.time_to_head
    }

    /// Returns the time that the peer took: to the head, or of a call without one. Waiting for the caller's upload is no part of
    /// either.
    #[inline]
    pub(crate) fn peer_time(&self) -> Option<Duration> {
        let without_upload = || Some(self.elapsed()?.saturating_sub(self.upload_wait));
        self.time_to_head.or_else(without_upload)
    }

    /// Returns the same of a call that is known to have lasted so long.
    #[inline]
    pub(crate) fn peer_time_of(&self, elapsed: Duration) -> Duration {
        let without_upload = || elapsed.saturating_sub(self.upload_wait);
        self.time_to_head.unwrap_or_else(without_upload)
    }

    /// Returns the time spent in polls of the service, if a guard has it [measured](crate::guard::Measure).
    pub fn poll_time(&self) -> Option<Duration> {
        self.timings?.poll_time
    }

    /// Returns the time spent waiting for readiness, if a guard has it [measured](crate::guard::Measure).
    pub fn readiness_wait(&self) -> Option<Duration> {
        self.timings?.readiness_wait
    }

    /// Returns the HTTP status, if there was a head.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Returns the gRPC code, from headers or trailers, if there was one.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.grpc_code
    }

    /// Returns the bytes of response body that were handed on, without trailers and framing.
    pub fn response_bytes(&self) -> u64 {
        self.response_bytes
    }

    /// Returns the cause of the failure, if it is known.
    pub fn cause(&self) -> Option<&Cause<'a>> {
        self.cause.as_ref()
    }

    /// Returns where the service panicked, as `file:line:column`, if [`capture_panics`](crate::errors::capture_panics) is on.
    pub fn panic_location(&self) -> Option<&'a str> {
        self.panic?.location()
    }

    /// Returns whether there is a guarded call around this one, which reports the end as well.
    pub(crate) fn is_nested(&self) -> bool {
        // A guarded call counts itself: its guards see the end inside of its own scope. An operation opens none.
        call_depth() > u32::from(self.is_service_call)
    }

    /// Marks the panic of this call as reported, if `heard` says that a subscriber has taken the event of this end.
    pub(crate) fn mark_panic_reported(&self, heard: impl FnOnce() -> bool) {
        // Asked only for a panic: to know whether a subscriber listens takes a lookup.
        if let Some(panic) = self.panic
            && heard()
        {
            panic.mark_reported();
        }
    }

    /// Returns the error, if the cause is one.
    pub fn error(&self) -> Option<&'a (dyn Error + 'static)> {
        match self.cause {
            Some(Cause::Error(error)) => Some(error),
            Some(Cause::Rejection(rejection)) => Some(rejection),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use super::*;
    use crate::{RejectionKind, call::CatchScope};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn end_returns_what_it_was_given() {
        let began = Instant::now();
        let now = CallClock::at(began + 3 * SECOND);
        let spent = Timings {
            poll_time: Some(SECOND),
            readiness_wait: Some(2 * SECOND),
            called: None,
        };
        let error = io::Error::other("torn");
        let end = CallEnd {
            wire: WireFormat::Grpc,
            time_to_head: Some(SECOND),
            timings: Some(&spent),
            status: Some(StatusCode::OK),
            grpc_code: Some(GrpcCode::INTERNAL),
            response_bytes: 70,
            ..CallEnd::new(Outcome::Failure, &now)
                .with_admitted_at(began)
                .with_cause(Cause::Error(&error))
        };
        assert_eq!(
            (end.outcome(), end.evidence()),
            (Outcome::Failure, Evidence::Unhealthy)
        );
        assert_eq!(
            (end.wire(), end.now()),
            (WireFormat::Grpc, began + 3 * SECOND)
        );
        assert_eq!(
            (end.admitted_at(), end.elapsed()),
            (Some(began), Some(3 * SECOND))
        );
        assert_eq!(end.time_to_head(), Some(SECOND));
        assert_eq!(
            (end.poll_time(), end.readiness_wait()),
            (Some(SECOND), Some(2 * SECOND))
        );
        assert_eq!(
            (end.status(), end.grpc_code()),
            (Some(StatusCode::OK), Some(GrpcCode::INTERNAL))
        );
        assert_eq!(end.response_bytes(), 70);
        assert!(matches!(end.cause(), Some(Cause::Error(_))));
        assert_eq!(
            end.error().map(ToString::to_string).as_deref(),
            Some("torn")
        );
        assert_eq!(end.panic_location(), None);
        let end = end.with_evidence(Evidence::Inconclusive);
        assert_eq!(end.evidence(), Evidence::Inconclusive);
    }

    #[test]
    fn end_without_figures_has_none() {
        let now = CallClock::default();
        let end = CallEnd::new(Outcome::Success, &now);
        assert_eq!(
            (end.admitted_at(), end.elapsed(), end.time_to_head()),
            (None, None, None)
        );
        assert_eq!((end.poll_time(), end.readiness_wait()), (None, None));
        assert!(end.cause().is_none() && end.error().is_none());
    }

    #[test]
    fn cause_is_a_rejection_wherever_that_is_in_the_chain() {
        let now = CallClock::default();
        let rejection = Rejection::new(RejectionKind::Overloaded, "api");
        let error = io::Error::other(rejection);
        let end = CallEnd::new(Outcome::Rejected, &now).with_cause(Cause::from_error(&error));
        assert!(matches!(end.cause(), Some(Cause::Rejection(_))));
        assert!(end.error().is_some_and(|error| error.is::<Rejection>()));
    }

    #[test]
    fn end_is_inside_a_call_if_there_is_one_around_it() {
        let now = CallClock::default();
        let (operation, mut call) = (
            CallEnd::new(Outcome::Success, &now),
            CallEnd::new(Outcome::Success, &now),
        );
        call.is_service_call = true;
        assert!(!operation.is_nested() && !call.is_nested());
        let _own = CatchScope::enter_call();
        assert!(operation.is_nested() && !call.is_nested());
        let _around = CatchScope::enter_call();
        assert!(operation.is_nested() && call.is_nested());
    }
}
