use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::Instant;

use super::{Completion, Guard, GuardStack, Head, enter_scope};
use crate::{
    call::{
        CallClock, CallEnd, CapturedPanic, CatchScope, Cause, Classification, Evidence,
        PackedOption, PanicDetails, PanicPayload, Rejection, Timings, catch_nested_hook,
        catch_service, current_timeout,
    },
    // All that is asked of a module further up: deadlines are part of a context.
    context::{TimeBudget, caller_deadline},
    protocol::{CallState, Protocol},
    util::sharded_arc::ShardedRef,
};

/// The tolerance when a deadline is compared: clocks differ, and what is sent on is rounded.
const DEADLINE_SLACK: Duration = Duration::from_millis(100);

/// A call between admission and completion: the permit of its guards, the state of its exchange, and its clock.
///
/// Completes exactly once, at the latest when it is dropped. The future owns it until the head of the response, and then
/// the body does.
#[must_use = "dropping it reports the call as cancelled"]
pub struct InFlightCall<G: Guard, P: Protocol> {
    stack: ShardedRef<GuardStack<G, P>>,
    // None once the call is complete, or if `admit` has panicked.
    permit: Option<G::Permit>,
    exchange: P::Call,
    admitted_at: Option<Instant>,
    time_to_head: PackedOption,
    // Boxed, since hardly any guard asks for it.
    timings: Option<Box<Timings>>,
}

impl<G: Guard, P: Protocol> InFlightCall<G, P> {
    /// Creates a call that is not admitted yet. Always inlined, so that it is built where it stays.
    #[inline(always)]
    pub(super) fn new(
        stack: ShardedRef<GuardStack<G, P>>,
        exchange: P::Call,
        readiness_wait: Option<Duration>,
    ) -> Self {
        let timings = (stack.measure.poll_time || readiness_wait.is_some()).then(|| {
            Box::new(Timings {
                poll_time: stack.measure.poll_time.then_some(Duration::ZERO),
                readiness_wait,
                called: None,
            })
        });
        InFlightCall {
            stack,
            permit: None,
            exchange,
            admitted_at: None,
            time_to_head: PackedOption::NONE,
            timings,
        }
    }

    /// Has `admit` ask the guards, and begins the call. After a rejection a part of the guards may hold permits, and learns of
    /// it.
    #[inline]
    pub(super) fn admit(
        &mut self,
        admit: impl FnOnce(&G, &CallClock, &mut Option<G::Permit>) -> Option<Rejection>,
    ) -> Option<Rejection> {
        let clock = &self.start_phase().with_side(P::SIDE);
        let guards = &self.stack.guards;
        // Stored where it stays: a permit may be large, and is copied at each move.
        let rejection = admit(guards, clock, &mut self.permit);
        if self.exchange.time_limit().is_some() {
            clock.now();
        }
        self.admitted_at = TimeBudget::started_at(clock);
        rejection
    }

    /// Begins a phase of the call (a poll, the drop), in which the clock is read at most once. It is not kept between phases: a
    /// call is moved with its response, and each byte of it costs.
    #[inline]
    pub(super) fn start_phase(&self) -> CallClock {
        self.exchange.clock()
    }

    /// Returns whether the call has not completed.
    #[inline]
    pub(super) fn is_in_flight(&self) -> bool {
        self.permit.is_some()
    }

    #[inline]
    pub(super) fn exchange(&self) -> &P::Call {
        &self.exchange
    }

    /// Returns the exchange, and the protocol that classifies it.
    #[inline]
    pub(super) fn exchange_mut(&mut self) -> (&mut P::Call, &P) {
        (&mut self.exchange, &self.stack.protocol)
    }

    /// Shows the guards the request's body, which is watched.
    #[cold]
    pub(super) fn on_upload(&mut self) {
        if let (Some(permit), Some(upload)) = (&mut self.permit, self.exchange.upload()) {
            catch_nested_hook(|| self.stack.guards.on_upload(permit, &upload));
        }
    }

    /// Sets the flag that tells when the wrapped service is called, for a call that waits for its readiness.
    pub(super) fn set_called_flag(&mut self, called: Arc<AtomicBool>) {
        self.timings.get_or_insert_default().called = Some(called);
    }

    /// Runs a part of the service (its call, a poll, a drop) in the scopes of the guards, and catches its panic.
    #[inline]
    pub(super) fn run_service<R>(&mut self, work: impl FnOnce() -> R) -> Result<R, PanicPayload> {
        let _scope = enter_scope(&*self.stack.guards, self.permit.as_mut());
        let started = self.stack.measure.poll_time.then(Instant::now);
        let result = catch_service(work);
        if let Some(started) = started {
            let poll_time = &mut self.timings.get_or_insert_default().poll_time;
            *poll_time = Some(poll_time.unwrap_or_default() + started.elapsed());
        }
        result
    }

    /// Makes a response in the service's place in the scopes of the guards, whose context decides what its caller may see.
    pub(super) fn respond_in_scope<R>(&mut self, respond: impl FnOnce(&P::Call) -> R) -> R {
        let _scope = enter_scope(&*self.stack.guards, self.permit.as_mut());
        respond(&self.exchange)
    }

    /// Drops what is left of the service in the scopes of the guards, before the call completes. A panic completes the
    /// call, and goes on unless the thread unwinds already.
    pub(super) fn drop_service(&mut self, clock: &CallClock, drop: impl FnOnce()) {
        if let Err(payload) = self.run_service(drop) {
            let panic = CapturedPanic::new(payload);
            self.complete(Completion::Panicked(&panic), clock);
            if !std::thread::panicking() {
                panic.resume();
            }
        }
    }

    /// Clears the peer of a timeout that it reports (in the head or in the trailers) at the caller's own deadline.
    #[inline]
    pub(super) fn excuse_timeout(&mut self) {
        if self.exchange.is_unexplained_timeout() && self.is_deadline_reached() {
            self.exchange.excuse_timeout();
        }
    }

    /// Returns whether the caller's deadline is over, or nearly. The peer was told a little less and began earlier.
    #[cold]
    fn is_deadline_reached(&mut self) -> bool {
        let deadline = {
            // A guard may have read the deadline from the request.
            let _scope = enter_scope(&*self.stack.guards, self.permit.as_mut());
            caller_deadline()
        };
        let now = Instant::now();
        let sent = self.exchange.time_limit();
        let left = deadline.map(|at| at.saturating_duration_since(now));
        match (sent, self.admitted_at, left) {
            (Some(sent), Some(began), _) if began + sent <= now + DEADLINE_SLACK => true,
            // The request's own limit is shorter than the known deadline, and its start is unknown.
            (Some(sent), None, left) if left.is_none_or(|left| sent < left) => true,
            (_, _, left) => left.is_some_and(|left| left <= DEADLINE_SLACK),
        }
    }

    /// Shows the head of the response to the guards.
    #[inline]
    pub(super) fn on_head(
        &mut self,
        parts: &mut http::response::Parts,
        classification: Classification,
        clock: &CallClock,
    ) {
        let Some(permit) = &mut self.permit else {
            return;
        };
        // Not held against the service: a caller may send as slowly as it likes.
        let upload_wait = self.exchange.upload_wait();
        let admitted_at = self.admitted_at.map(|at| at + upload_wait);
        let mut head = Head {
            wire: self.exchange.wire(),
            status: parts.status,
            version: parts.version,
            headers: &mut parts.headers,
            extensions: &mut parts.extensions,
            outcome: classification.outcome,
            evidence: classification.evidence,
            clock,
            admitted_at,
        };
        let guards = &self.stack.guards;
        catch_nested_hook(|| guards.on_head(permit, &mut head));
        let times = admitted_at.zip(clock.peek());
        let time_to_head = times.map(|(from, to)| to.saturating_duration_since(from));
        self.time_to_head = PackedOption::from_duration(time_to_head);
    }

    /// Completes the call, and passes its end to the guards. The first completion counts; further ones do nothing.
    #[inline]
    pub(super) fn complete(&mut self, completion: Completion<'_>, clock: &CallClock) {
        if self.permit.is_none() {
            return;
        }
        let (classification, cause, panic) = self.classify(completion, clock);
        let mut end = CallEnd {
            admitted_at: self.admitted_at,
            time_to_head: self.time_to_head.as_duration(),
            timings: self.timings.as_deref(),
            cause,
            panic,
            is_service_call: true,
            evidence: classification.evidence,
            ..CallEnd::new(classification.outcome, clock)
        };
        self.exchange.write_end(&mut end);
        if self.was_never_called() {
            // Nor was the peer slow.
            end.upload_wait = end.elapsed().unwrap_or_default();
        }
        let (guards, permit) = (&self.stack.guards, &mut self.permit);
        catch_nested_hook(|| {
            // Taken where it is used: a permit may be large, and is copied at each move.
            if let Some(permit) = permit.take() {
                guards.on_end(permit, &end);
            }
        });
    }

    #[inline]
    fn classify<'a>(
        &mut self,
        completion: Completion<'a>,
        clock: &CallClock,
    ) -> (Classification, Option<Cause<'a>>, Option<&'a PanicDetails>) {
        match completion {
            Completion::Response => (self.exchange.classification(), None, None),
            Completion::Error(cause) => (self.exchange.classification(), Some(cause), None),
            Completion::Rejected(rejection) => {
                let cause = Cause::Rejection(rejection);
                (Classification::REJECTED, Some(cause), None)
            }
            Completion::Panicked(panic) => {
                let cause = Cause::Panic(panic.message());
                (self.exchange.on_panic(), Some(cause), panic.details())
            }
            Completion::Dropped => (self.classify_drop(clock), None, None),
        }
    }

    #[cold]
    fn classify_drop(&mut self, clock: &CallClock) -> Classification {
        let timeout = current_timeout();
        let timeout = timeout.map(|why| why.classify(self.admitted_at, || clock.now()));
        let mut classification = self.exchange.classify_drop(timeout);
        if self.was_never_called() {
            classification.evidence = Evidence::Inconclusive;
        }
        classification
    }

    fn was_never_called(&self) -> bool {
        let timings = self.timings.as_deref();
        timings.is_some_and(Timings::was_never_called)
    }
}

impl<G: Guard, P: Protocol> Drop for InFlightCall<G, P> {
    #[inline]
    fn drop(&mut self) {
        if self.is_in_flight() {
            let _scope = CatchScope::enter_call();
            let clock = self.start_phase();
            self.complete(Completion::Dropped, &clock);
        }
    }
}
