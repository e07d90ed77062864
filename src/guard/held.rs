use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::Instant;

use super::{Guard, Head, Wants, entered, outside};
use crate::{
    call::{
        Cause, End, Evidence, Inside, Judged, Moment, Payload, Rejection, Seen, Small, Spent,
        Thrown, caught_service, given_up,
    },
    // All that is asked of a module further up: deadlines are part of a context.
    context::{TimeScope, callers_deadline},
    protocol::{Notes, Protocol},
};

/// Clocks differ, and what is sent on is rounded.
const SLACK: Duration = Duration::from_millis(100);

/// Guards and protocol, shared by every clone of a service and by each of its calls.
pub(crate) struct Shared<G, P> {
    /// Shared once more, so that one set of guards can stand in layers of several protocols.
    pub(crate) guards: Arc<G>,
    pub(crate) protocol: P,
    pub(crate) wants: Wants,
}

/// A call on its way: what its guards granted, and what is known of it. Settles exactly once, at the latest
/// when it is dropped.
///
/// Passed from the future to the body; opaque outside of this crate.
#[must_use = "dropping it reports the call as cancelled"]
pub struct Held<G: Guard, P: Protocol> {
    shared: Arc<Shared<G, P>>,
    permit: Option<G::Permit>,
    notes: P::Call,
    began: Option<Instant>,
    /// From there to the head of the response.
    to_head: Small,
    /// Apart, since hardly anybody wants it.
    spent: Option<Box<Spent>>,
}

impl<G: Guard, P: Protocol> Held<G, P> {
    #[inline]
    pub(super) fn new(
        shared: Arc<Shared<G, P>>,
        permit: Option<G::Permit>,
        notes: P::Call,
        began: Option<Instant>,
        wait: Option<Duration>,
    ) -> Self {
        let spent = (shared.wants.busy || wait.is_some()).then(|| {
            Box::new(Spent {
                // Nothing yet, and nothing in the end if the call is refused.
                busy: shared.wants.busy.then_some(Duration::ZERO),
                readiness_wait: wait,
                made: None,
            })
        });
        Held {
            shared,
            permit,
            notes,
            began,
            to_head: Small::NONE,
            spent,
        }
    }

    /// Returns when a call begins, if somebody wants to know.
    #[inline]
    pub(super) fn began(notes: &P::Call, now: &Moment) -> Option<Instant> {
        if notes.time_limit().is_some() {
            now.now();
        }
        TimeScope::began(now)
    }

    /// Shows the guards the request's body, which is watched.
    #[cold]
    pub(super) fn show_upload(&mut self, inside: &Inside) {
        if let (Some(permit), Some(upload)) = (&mut self.permit, self.notes.upload()) {
            inside.quietly(|| self.shared.guards.watch_upload(permit, &upload));
        }
    }

    /// The call waits for the service, and is made once this says so.
    pub(super) fn made_when(&mut self, made: Arc<AtomicBool>) {
        self.spent.get_or_insert_default().made = Some(made);
    }

    fn was_never_begun(&self) -> bool {
        self.spent.as_deref().is_some_and(Spent::was_never_begun)
    }

    #[inline]
    pub(super) fn notes(&self) -> &P::Call {
        &self.notes
    }

    #[inline]
    pub(super) fn judge(&mut self) -> (&mut P::Call, &P) {
        (&mut self.notes, &self.shared.protocol)
    }

    /// Polls the service inside the guards. A panic is caught, for the caller to settle and pass on.
    #[inline]
    pub(super) fn run(&mut self, inside: &Inside, mut poll: impl FnMut()) -> Result<(), Thrown> {
        if self.shared.wants.busy {
            return self.run_timed(inside, poll);
        }
        // Written to by a panic only: what was there before would have to be dropped.
        let mut thrown = None;
        self.enter(inside, || {
            if let Err(payload) = caught_service(&mut poll) {
                thrown = Some(payload);
            }
        });
        thrown.map_or(Ok(()), Err)
    }

    /// Drops what is left of the service's part inside the guards. A panic settles the call, and goes on unless another
    /// is under way.
    #[inline]
    pub(super) fn drop_inside(&mut self, inside: &Inside, drop: impl FnMut()) {
        if let Err(thrown) = self.run(inside, drop) {
            let payload = Payload::new(thrown);
            self.settle_panicked(inside, &payload, &Moment::default());
            if !std::thread::panicking() {
                payload.resume();
            }
        }
    }

    fn run_timed(&mut self, inside: &Inside, mut poll: impl FnMut()) -> Result<(), Thrown> {
        let (mut result, mut spent) = (Ok(()), Duration::ZERO);
        self.enter(inside, || {
            let start = Instant::now();
            result = caught_service(&mut poll);
            spent = start.elapsed();
        });
        let busy = &mut self.spent.get_or_insert_default().busy;
        *busy = Some(busy.unwrap_or_default() + spent);
        result
    }

    #[inline]
    fn enter(&mut self, inside: &Inside, work: impl FnMut()) {
        match &mut self.permit {
            Some(permit) => entered(inside, &*self.shared.guards, permit, work),
            None => outside(work),
        }
    }

    /// Takes account of the caller's own deadline where a peer says that time ran out: in its head or its trailers.
    #[inline]
    pub(super) fn excuse_lateness(&mut self, inside: &Inside) {
        if self.notes.is_late() && self.is_at_deadline(inside) {
            self.notes.excuse_lateness();
        }
    }

    /// Returns whether the caller of the call waits no longer, or hardly. The peer was told a little less and began
    /// earlier.
    #[cold]
    fn is_at_deadline(&mut self, inside: &Inside) -> bool {
        let mut deadline = None;
        // Inside of the guards, since one of them may have read the deadline from the request.
        self.enter(inside, || deadline = callers_deadline());
        let now = Instant::now();
        let sent = self.notes.time_limit();
        let left = deadline.map(|at| at.saturating_duration_since(now));
        match (sent, self.began, left) {
            (Some(sent), Some(began), _) if began + sent <= now + SLACK => true,
            // What was sent is shorter than what is known here, and nobody knows since when.
            (Some(sent), None, left) if left.is_none_or(|left| sent < left) => true,
            (_, _, left) => left.is_some_and(|left| left <= SLACK),
        }
    }

    /// Shows the head of the response to the guards. `now` is theirs to read.
    #[inline]
    pub(super) fn show(
        &mut self,
        inside: &Inside,
        parts: &mut http::response::Parts,
        judged: Judged,
        now: &Moment,
    ) {
        let Some(permit) = &mut self.permit else {
            return;
        };
        // Not held against the service: a caller may send as slowly as it likes.
        let began = self.began.map(|began| began + self.notes.waited());
        let mut head = Head {
            wire: self.notes.wire(),
            status: parts.status,
            version: parts.version,
            headers: &mut parts.headers,
            extensions: &mut parts.extensions,
            outcome: judged.outcome,
            evidence: judged.evidence,
            now,
            began,
        };
        let guards = &self.shared.guards;
        inside.quietly(|| guards.head(permit, &mut head));
        let to_head = began.zip(now.known());
        self.to_head =
            Small::of_time(to_head.map(|(began, now)| now.saturating_duration_since(began)));
    }

    /// The call is over; its guards learn how. Where it lies: a large value is not moved only to be done with.
    #[inline]
    pub(super) fn settle(
        &mut self,
        inside: &Inside,
        judged: Judged,
        cause: Option<Cause<'_>>,
        now: &Moment,
    ) {
        self.finish(inside, judged, cause, None, now);
    }

    /// A guard of this very call has refused it.
    pub(super) fn settle_refused(&mut self, inside: &Inside, why: &Rejection) {
        let cause = Some(Cause::Rejection(why));
        self.settle(inside, Judged::REJECTED, cause, &Moment::default());
    }

    pub(super) fn settle_panicked(&mut self, inside: &Inside, payload: &Payload, now: &Moment) {
        let cause = Some(Cause::Panic(payload.message()));
        let judged = self.notes.panicked();
        self.finish(inside, judged, cause, payload.seen(), now);
    }

    #[inline]
    fn finish(
        &mut self,
        inside: &Inside,
        judged: Judged,
        cause: Option<Cause<'_>>,
        panic: Option<&Seen>,
        now: &Moment,
    ) {
        if self.permit.is_none() {
            return;
        }
        let mut end = End {
            began: self.began,
            to_head: self.to_head.time(),
            spent: self.spent.as_deref(),
            cause,
            panic,
            of_call: true,
            evidence: judged.evidence,
            ..End::new(judged.outcome, now)
        };
        self.notes.fill(&mut end);
        if self.was_never_begun() {
            // Nor was the peer slow.
            end.waited = end.elapsed().unwrap_or_default();
        }
        let (guards, permit) = (&self.shared.guards, &mut self.permit);
        inside.quietly(|| {
            // Taken where it is needed: it may be large.
            if let Some(permit) = permit.take() {
                guards.settle(permit, &end);
            }
        });
    }
}

impl<G: Guard, P: Protocol> Drop for Held<G, P> {
    #[inline]
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.dropped();
        }
    }
}

impl<G: Guard, P: Protocol> Held<G, P> {
    /// The call was given up before its end.
    #[cold]
    #[inline(never)]
    fn dropped(&mut self) {
        let now = Moment::default();
        let given_up = given_up().map(|why| why.judge(self.began, || now.now()));
        let mut judged = self.notes.dropped(given_up);
        if self.was_never_begun() {
            judged.evidence = Evidence::Inconclusive;
        }
        self.finish(&Inside::call(), judged, None, None, &now);
    }
}
