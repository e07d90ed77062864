use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Guard, Head, Wants, entered};
use crate::{
    call::{
        Cause, End, Moment, Outcome, Payload, Rejection, Seen, Thrown, caught_service, quietly,
    },
    protocol::{Notes, Protocol},
};

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
    head_at: Option<Instant>,
    busy: Duration,
    readiness_wait: Option<Duration>,
}

impl<G: Guard, P: Protocol> Held<G, P> {
    #[inline]
    pub(super) fn new(
        shared: Arc<Shared<G, P>>,
        permit: Option<G::Permit>,
        notes: P::Call,
        now: &Moment,
    ) -> Self {
        let began = match notes.time_limit() {
            Some(_) => Some(now.now()),
            None => now.known(),
        };
        Held {
            shared,
            permit,
            notes,
            began,
            head_at: None,
            busy: Duration::ZERO,
            readiness_wait: None,
        }
    }

    pub(super) fn waited(&mut self, wait: Option<Duration>) {
        self.readiness_wait = wait;
    }

    #[inline]
    pub(super) fn protocol(&self) -> &P {
        &self.shared.protocol
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
    pub(super) fn run<R>(&mut self, poll: impl FnOnce() -> R) -> Result<R, Thrown> {
        if self.shared.wants.busy {
            return self.run_timed(poll);
        }
        self.inside(|| caught_service(poll))
    }

    fn run_timed<R>(&mut self, poll: impl FnOnce() -> R) -> Result<R, Thrown> {
        let (result, spent) = self.inside(|| {
            let start = Instant::now();
            let result = caught_service(poll);
            (result, start.elapsed())
        });
        self.busy += spent;
        result
    }

    #[inline]
    fn inside<R>(&mut self, work: impl FnOnce() -> R) -> R {
        match &mut self.permit {
            Some(permit) => entered(&*self.shared.guards, permit, work),
            None => work(),
        }
    }

    /// Shows the head of the response to the guards. `now` is theirs to read.
    #[inline]
    pub(super) fn show(
        &mut self,
        parts: &mut http::response::Parts,
        verdict: Outcome,
        now: &Moment,
    ) {
        let Some(permit) = &mut self.permit else {
            return;
        };
        let mut head = Head {
            status: parts.status,
            version: parts.version,
            headers: &mut parts.headers,
            extensions: &mut parts.extensions,
            verdict,
            now,
            began: self.began,
        };
        let guards = &self.shared.guards;
        quietly(|| guards.head(permit, &mut head));
        self.head_at = now.known();
    }

    /// The call is over; its guards learn how.
    #[inline]
    pub(super) fn settle(mut self, outcome: Outcome, cause: Option<Cause<'_>>, now: &Moment) {
        self.finish(outcome, cause, None, now);
    }

    /// A guard of this very call has refused it.
    pub(super) fn settle_refused(self, why: &Rejection) {
        let cause = Some(Cause::Rejection(why));
        self.settle(Outcome::Rejected, cause, &Moment::default());
    }

    pub(super) fn settle_panicked(mut self, payload: &Payload, now: &Moment) {
        let cause = Some(Cause::Panic(payload.message()));
        self.finish(Outcome::Panicked, cause, payload.seen(), now);
    }

    #[inline]
    fn finish(
        &mut self,
        outcome: Outcome,
        cause: Option<Cause<'_>>,
        panic: Option<&Seen>,
        now: &Moment,
    ) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let mut end = End {
            began: self.began,
            head_at: self.head_at,
            busy: self.shared.wants.busy.then_some(self.busy),
            readiness_wait: self.readiness_wait,
            cause,
            panic,
            of_call: true,
            ..End::new(outcome, now)
        };
        self.notes.fill(&mut end);
        let guards = &self.shared.guards;
        quietly(|| guards.settle(permit, &end));
    }
}

/// Whether a call that was dropped after so long had no time left.
///
/// Whoever sent it runs a clock of its own, began a little earlier and resets the call when that one says so: a twentieth
/// of the limit is allowed for, at most 100 ms.
fn is_up(limit: Duration, elapsed: Duration) -> bool {
    elapsed >= limit - (limit / 20).min(Duration::from_millis(100))
}

impl<G: Guard, P: Protocol> Drop for Held<G, P> {
    #[inline]
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        let now = Moment::default();
        let late = || match (self.notes.time_limit(), self.began) {
            (Some(limit), Some(began)) => is_up(limit, now.now().saturating_duration_since(began)),
            _ => false,
        };
        let outcome = self.notes.dropped(late);
        self.finish(outcome, None, None, &now);
    }
}
