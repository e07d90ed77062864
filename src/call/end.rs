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

/// What went wrong, as far as it is known.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Cause<'a> {
    /// The service, its transport or its body gave an error.
    Error(&'a (dyn Error + 'static)),
    /// The service gave an error of a type that cannot be looked into.
    Opaque {
        /// The type's full name.
        type_name: &'static str,
        /// What it says, if it says anything.
        message: Option<&'a str>,
    },
    /// A guard refused: one of this call, or one further in.
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
        /// Bytes that came.
        bytes_sent: u64,
    },
}

impl<'a> Cause<'a> {
    /// An error as a cause: a rejection anywhere in its source chain is what counts.
    pub(crate) fn from_error(error: &'a (dyn Error + 'static)) -> Self {
        match Rejection::find(error) {
            Some(rejection) => Cause::Rejection(rejection),
            None => Cause::Error(error),
        }
    }
}

/// How a call ended: what a guard is told when its permit is settled.
#[derive(Debug)]
pub struct CallEnd<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) evidence: Evidence,
    pub(crate) wire: WireFormat,
    pub(crate) clock: &'a CallClock,
    pub(crate) admitted_at: Option<Instant>,
    pub(crate) time_to_head: Option<Duration>,
    /// Time for which the caller's request was awaited, of a call without a head.
    pub(crate) upload_wait: Duration,
    pub(crate) timings: Option<&'a Timings>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc_code: Option<GrpcCode>,
    pub(crate) response_bytes: u64,
    pub(crate) cause: Option<Cause<'a>>,
    pub(crate) panic: Option<&'a PanicDetails>,
    /// Whether it is the end of a guarded call, as opposed to an operation that is no service.
    pub(crate) is_service_call: bool,
}

/// What is only measured where a guard [wants](crate::guard::Measure) it.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    pub(crate) poll_time: Option<Duration>,
    pub(crate) readiness_wait: Option<Duration>,
    /// Of a call that waits inside for the service to be ready: whether it has been made.
    pub(crate) called: Option<Arc<AtomicBool>>,
}

impl Timings {
    /// Returns whether the service was never called.
    pub(crate) fn was_never_called(&self) -> bool {
        let made = self.called.as_ref();
        made.is_some_and(|made| !made.load(Ordering::Relaxed))
    }
}

impl<'a> CallEnd<'a> {
    /// An end with nothing but an outcome, as a guard's own tests need it. The evidence follows from it.
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

    /// Sets what the call says about the peer.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// Adds when the call was admitted.
    #[must_use]
    pub fn with_admitted_at(mut self, began: Instant) -> Self {
        self.admitted_at = Some(began);
        self
    }

    /// Adds what went wrong.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause<'a>) -> Self {
        self.cause = Some(cause);
        self
    }

    /// The one judgement on this call.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns what the call says about the peer's health, decided together with the outcome.
    #[inline]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// Returns what the call spoke.
    #[inline]
    pub fn wire(&self) -> WireFormat {
        self.wire
    }

    /// The time of the end; reads the clock unless another guard of the call already has.
    #[inline]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// When the call was admitted, if any of its guards asked for the time then.
    #[inline]
    pub fn admitted_at(&self) -> Option<Instant> {
        self.admitted_at
    }

    /// From admission to now, if any guard asked for the time at admission.
    #[inline]
    pub fn elapsed(&self) -> Option<Duration> {
        let began = self.admitted_at?;
        Some(self.now().saturating_duration_since(began))
    }

    /// From admission to the response's head, if any guard asked for the time then.
    pub fn time_to_head(&self) -> Option<Duration> {
        self.time_to_head
    }

    /// Time spent inside the service's own polls, if a guard [wants](crate::guard::Measure) it measured.
    pub fn poll_time(&self) -> Option<Duration> {
        self.timings?.poll_time
    }

    /// Time that the caller waited for readiness, if a guard [wants](crate::guard::Measure) it measured.
    pub fn readiness_wait(&self) -> Option<Duration> {
        self.timings?.readiness_wait
    }

    /// The HTTP status, once there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The gRPC code of a gRPC call, once there was one, in headers or in trailers.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.grpc_code
    }

    /// Bytes of response body that were handed on, without trailers and framing.
    pub fn response_bytes(&self) -> u64 {
        self.response_bytes
    }

    /// What went wrong, if anything did and it is known.
    pub fn cause(&self) -> Option<&Cause<'a>> {
        self.cause.as_ref()
    }

    /// Where the service panicked, as `file:line:column`, if [`capture_panics`](super::capture_panics) is on.
    pub fn panic_location(&self) -> Option<&'a str> {
        self.panic?.location()
    }

    /// Whether a guarded call around this one will say how things ended.
    pub(crate) fn is_nested(&self) -> bool {
        call_depth() > u32::from(self.is_service_call)
    }

    /// The log has a line about this end, if somebody has heard it: a panic needs no other.
    pub(crate) fn mark_panic_reported(&self, heard: impl FnOnce() -> bool) {
        if let Some(panic) = self.panic
            && heard()
        {
            panic.mark_reported();
        }
    }

    /// The error, if the cause is one.
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
    fn end_tells_what_it_was_given() {
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
    fn cause_is_a_refusal_wherever_that_is_in_the_chain() {
        let now = CallClock::default();
        let refusal = Rejection::new(RejectionKind::Overloaded, "api");
        let error = io::Error::other(refusal);
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
