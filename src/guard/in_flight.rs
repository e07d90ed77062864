use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::Instant;

use super::{Guard, Head, Measure, run_in_scope, run_unscoped};
use crate::{
    call::{
        CallClock, CallEnd, CapturedPanic, CatchScope, Cause, Classification, Evidence,
        PackedOption, PanicDetails, PanicPayload, Rejection, Timings, catch_service,
        current_timeout,
    },
    // All that is asked of a module further up: deadlines are part of a context.
    context::{TimeBudget, caller_deadline},
    protocol::{CallState, Protocol},
};

/// Clocks differ, and what is sent on is rounded.
const DEADLINE_SLACK: Duration = Duration::from_millis(100);

/// Guards and protocol, shared by every clone of a service and by each of its calls.
pub(crate) struct GuardStack<G, P> {
    /// Shared once more, so that one set of guards can stand in layers of several protocols.
    pub(crate) guards: Arc<G>,
    pub(crate) protocol: P,
    pub(crate) measure: Measure,
}

/// A call on its way: what its guards granted, and what is known of it. Settles exactly once, at the latest
/// when it is dropped.
///
/// Passed from the future to the body; opaque outside of this crate.
#[must_use = "dropping it reports the call as cancelled"]
pub struct InFlightCall<G: Guard, P: Protocol> {
    shared: Arc<GuardStack<G, P>>,
    permit: Option<G::Permit>,
    exchange: P::Call,
    admitted_at: Option<Instant>,
    /// From there to the head of the response.
    time_to_head: PackedOption,
    /// Apart, since hardly anybody wants it.
    timings: Option<Box<Timings>>,
}

impl<G: Guard, P: Protocol> InFlightCall<G, P> {
    #[inline]
    pub(super) fn new(
        shared: Arc<GuardStack<G, P>>,
        permit: Option<G::Permit>,
        notes: P::Call,
        began: Option<Instant>,
        wait: Option<Duration>,
    ) -> Self {
        let spent = (shared.measure.poll_time || wait.is_some()).then(|| {
            Box::new(Timings {
                // Nothing yet, and nothing in the end if the call is refused.
                poll_time: shared.measure.poll_time.then_some(Duration::ZERO),
                readiness_wait: wait,
                called: None,
            })
        });
        InFlightCall {
            shared,
            permit,
            exchange: notes,
            admitted_at: began,
            time_to_head: PackedOption::NONE,
            timings: spent,
        }
    }

    /// Returns when a call begins, if somebody wants to know.
    #[inline]
    pub(super) fn admission_time(notes: &P::Call, now: &CallClock) -> Option<Instant> {
        if notes.time_limit().is_some() {
            now.now();
        }
        TimeBudget::started_at(now)
    }

    /// Shows the guards the request's body, which is watched.
    #[cold]
    pub(super) fn on_upload(&mut self, inside: &CatchScope) {
        if let (Some(permit), Some(upload)) = (&mut self.permit, self.exchange.upload()) {
            inside.catch_hook(|| self.shared.guards.on_upload(permit, &upload));
        }
    }

    /// The call waits for the service, and is made once this says so.
    pub(super) fn set_called_flag(&mut self, made: Arc<AtomicBool>) {
        self.timings.get_or_insert_default().called = Some(made);
    }

    fn was_never_called(&self) -> bool {
        self.timings
            .as_deref()
            .is_some_and(Timings::was_never_called)
    }

    #[inline]
    pub(super) fn exchange(&self) -> &P::Call {
        &self.exchange
    }

    #[inline]
    pub(super) fn exchange_mut(&mut self) -> (&mut P::Call, &P) {
        (&mut self.exchange, &self.shared.protocol)
    }

    /// Polls the service inside the guards. A panic is caught, for the caller to settle and pass on.
    #[inline]
    pub(super) fn run_caught(
        &mut self,
        inside: &CatchScope,
        mut poll: impl FnMut(),
    ) -> Result<(), PanicPayload> {
        if self.shared.measure.poll_time {
            return self.run_timed(inside, poll);
        }
        // Written to by a panic only: what was there before would have to be dropped.
        let mut thrown = None;
        self.enter(inside, || {
            if let Err(payload) = catch_service(&mut poll) {
                thrown = Some(payload);
            }
        });
        thrown.map_or(Ok(()), Err)
    }

    /// Drops what is left of the service's part inside the guards. A panic settles the call, and goes on unless another
    /// is under way.
    #[inline]
    pub(super) fn drop_inside(&mut self, inside: &CatchScope, drop: impl FnMut()) {
        if let Err(thrown) = self.run_caught(inside, drop) {
            let payload = CapturedPanic::new(thrown);
            self.complete_panicked(inside, &payload, &CallClock::default());
            if !std::thread::panicking() {
                payload.resume();
            }
        }
    }

    fn run_timed(
        &mut self,
        inside: &CatchScope,
        mut poll: impl FnMut(),
    ) -> Result<(), PanicPayload> {
        let (mut result, mut spent) = (Ok(()), Duration::ZERO);
        self.enter(inside, || {
            let start = Instant::now();
            result = catch_service(&mut poll);
            spent = start.elapsed();
        });
        let busy = &mut self.timings.get_or_insert_default().poll_time;
        *busy = Some(busy.unwrap_or_default() + spent);
        result
    }

    #[inline]
    fn enter(&mut self, inside: &CatchScope, work: impl FnMut()) {
        match &mut self.permit {
            Some(permit) => run_in_scope(inside, &*self.shared.guards, permit, work),
            None => run_unscoped(work),
        }
    }

    /// Takes account of the caller's own deadline where a peer says that time ran out: in its head or its trailers.
    #[inline]
    pub(super) fn excuse_timeout(&mut self, inside: &CatchScope) {
        if self.exchange.is_unexplained_timeout() && self.is_deadline_reached(inside) {
            self.exchange.excuse_timeout();
        }
    }

    /// Returns whether the caller of the call waits no longer, or hardly. The peer was told a little less and began
    /// earlier.
    #[cold]
    fn is_deadline_reached(&mut self, inside: &CatchScope) -> bool {
        let mut deadline = None;
        // Inside of the guards, since one of them may have read the deadline from the request.
        self.enter(inside, || deadline = caller_deadline());
        let now = Instant::now();
        let sent = self.exchange.time_limit();
        let left = deadline.map(|at| at.saturating_duration_since(now));
        match (sent, self.admitted_at, left) {
            (Some(sent), Some(began), _) if began + sent <= now + DEADLINE_SLACK => true,
            // What was sent is shorter than what is known here, and nobody knows since when.
            (Some(sent), None, left) if left.is_none_or(|left| sent < left) => true,
            (_, _, left) => left.is_some_and(|left| left <= DEADLINE_SLACK),
        }
    }

    /// Shows the head of the response to the guards. `now` is theirs to read.
    #[inline]
    pub(super) fn on_head(
        &mut self,
        inside: &CatchScope,
        parts: &mut http::response::Parts,
        judged: Classification,
        now: &CallClock,
    ) {
        let Some(permit) = &mut self.permit else {
            return;
        };
        // Not held against the service: a caller may send as slowly as it likes.
        let began = self
            .admitted_at
            .map(|began| began + self.exchange.upload_wait());
        let mut head = Head {
            wire: self.exchange.wire(),
            status: parts.status,
            version: parts.version,
            headers: &mut parts.headers,
            extensions: &mut parts.extensions,
            outcome: judged.outcome,
            evidence: judged.evidence,
            clock: now,
            admitted_at: began,
        };
        let guards = &self.shared.guards;
        inside.catch_hook(|| guards.on_head(permit, &mut head));
        let to_head = began.zip(now.peek());
        self.time_to_head = PackedOption::from_duration(
            to_head.map(|(began, now)| now.saturating_duration_since(began)),
        );
    }

    /// The call is over; its guards learn how. Where it lies: a large value is not moved only to be done with.
    #[inline]
    pub(super) fn complete(
        &mut self,
        inside: &CatchScope,
        judged: Classification,
        cause: Option<Cause<'_>>,
        now: &CallClock,
    ) {
        self.finish(inside, judged, cause, None, now);
    }

    /// A guard of this very call has refused it.
    pub(super) fn complete_rejected(&mut self, inside: &CatchScope, why: &Rejection) {
        let cause = Some(Cause::Rejection(why));
        self.complete(
            inside,
            Classification::REJECTED,
            cause,
            &CallClock::default(),
        );
    }

    pub(super) fn complete_panicked(
        &mut self,
        inside: &CatchScope,
        payload: &CapturedPanic,
        now: &CallClock,
    ) {
        let cause = Some(Cause::Panic(payload.message()));
        let judged = self.exchange.on_panic();
        self.finish(inside, judged, cause, payload.details(), now);
    }

    #[inline]
    fn finish(
        &mut self,
        inside: &CatchScope,
        judged: Classification,
        cause: Option<Cause<'_>>,
        panic: Option<&PanicDetails>,
        now: &CallClock,
    ) {
        if self.permit.is_none() {
            return;
        }
        let mut end = CallEnd {
            admitted_at: self.admitted_at,
            time_to_head: self.time_to_head.as_duration(),
            timings: self.timings.as_deref(),
            cause,
            panic,
            is_service_call: true,
            evidence: judged.evidence,
            ..CallEnd::new(judged.outcome, now)
        };
        self.exchange.write_end(&mut end);
        if self.was_never_called() {
            // Nor was the peer slow.
            end.upload_wait = end.elapsed().unwrap_or_default();
        }
        let (guards, permit) = (&self.shared.guards, &mut self.permit);
        inside.catch_hook(|| {
            // Taken where it is needed: it may be large.
            if let Some(permit) = permit.take() {
                guards.on_end(permit, &end);
            }
        });
    }
}

impl<G: Guard, P: Protocol> Drop for InFlightCall<G, P> {
    #[inline]
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.dropped();
        }
    }
}

impl<G: Guard, P: Protocol> InFlightCall<G, P> {
    /// The call was given up before its end.
    #[cold]
    #[inline(never)]
    fn dropped(&mut self) {
        let now = CallClock::default();
        let given_up = current_timeout().map(|why| why.classify(self.admitted_at, || now.now()));
        let mut judged = self.exchange.classify_drop(given_up);
        if self.was_never_called() {
            judged.evidence = Evidence::Inconclusive;
        }
        self.finish(&CatchScope::enter_call(), judged, None, None, &now);
    }
}
