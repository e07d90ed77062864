//! Two guards are a guard: the first stands outside of the second.

use super::{
    Admit, Admitted, Guard, Head, Measure, ReadySignal, Rejects, run_in_scope, run_unscoped,
};
use crate::{
    call::{CallClock, CallEnd, CatchScope, Outcome, Rejection, catch_hook},
    protocol::upload::Upload,
};

/// Two guards as one. Tuples nest it: `(A, B, C)` is a pair of `A` and a pair of `B` and `C`.
///
/// Whatever the second guard does runs inside `enter` of the first, each hook caught by itself: one that panics must not
/// unwind through the other, which may panic again.
#[derive(Clone, Copy, Debug)]
pub struct Pair<A, B>(pub(super) A, pub(super) B);

/// Runs `work` inside of the guard, if it holds a permit.
#[inline]
fn enter<G: Guard>(
    inside: &CatchScope,
    guard: &G,
    permit: &mut Option<G::Permit>,
    work: impl FnMut(),
) {
    match permit {
        Some(permit) => run_in_scope(inside, guard, permit, work),
        None => run_unscoped(work),
    }
}

impl<A: Guard, B: Guard> Guard for Pair<A, B> {
    /// A guard whose `admit` panicked holds none.
    type Permit = (Option<A::Permit>, Option<B::Permit>);

    fn measure(&self) -> Measure {
        self.0.measure().union(self.1.measure())
    }

    #[inline]
    fn rejects(&self, now: &CallClock) -> Rejects {
        self.0.rejects(now).stricter(self.1.rejects(now))
    }

    #[inline]
    fn rejects_any(&self, now: &CallClock) -> bool {
        self.0.rejects_any(now) || self.1.rejects_any(now)
    }

    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        self.0.ready_signals(add);
        self.1.ready_signals(add);
    }

    #[inline]
    fn enter<R>(&self, permits: &mut Self::Permit, poll: impl FnOnce() -> R) -> R {
        let (first, second) = permits;
        // The result leaves by a variable: handed up through the closures, it would be copied by each of them.
        let (mut poll, mut result) = (Some(poll), None);
        let inside = &CatchScope::enter();
        enter(inside, &self.0, first, || {
            enter(inside, &self.1, second, || {
                result = poll.take().map(|poll| poll());
            });
        });
        result.expect("guards are entered once")
    }

    #[inline]
    fn on_head(&self, permits: &mut Self::Permit, head: &mut Head<'_>) {
        let (first, second) = permits;
        let inside = &CatchScope::enter();
        if let Some(second) = second {
            enter(inside, &self.0, first, || {
                inside.catch_hook(|| self.1.on_head(second, head));
            });
        }
        if let Some(first) = first {
            inside.catch_hook(|| self.0.on_head(first, head));
        }
    }

    #[inline]
    fn on_end(&self, permits: Self::Permit, end: &CallEnd<'_>) {
        let (mut first, mut second) = permits;
        let inside = &CatchScope::enter();
        enter(inside, &self.0, &mut first, || {
            inside.catch_hook(|| {
                // Taken here: a closure that owned the permit would copy it on its way.
                if let Some(second) = second.take() {
                    self.1.on_end(second, end);
                }
            });
        });
        inside.catch_hook(|| {
            if let Some(first) = first.take() {
                self.0.on_end(first, end);
            }
        });
    }

    fn on_not_ready(&self) {
        catch_hook(|| self.0.on_not_ready());
        catch_hook(|| self.1.on_not_ready());
    }

    fn on_upload(&self, permits: &mut Self::Permit, upload: &Upload) {
        let (first, second) = permits;
        if let Some(first) = first {
            catch_hook(|| self.0.on_upload(first, upload));
        }
        if let Some(second) = second {
            catch_hook(|| self.1.on_upload(second, upload));
        }
    }
}

impl<Req, A: Admit<Req>, B: Admit<Req>> Admit<Req> for Pair<A, B> {
    fn admit(&self, request: &mut Req, now: &CallClock) -> Result<Self::Permit, Rejection> {
        let admission = self.try_admit(request, now, &CatchScope::enter());
        let Some(why) = admission.rejection else {
            return Ok(admission.permit.unwrap_or_default());
        };
        if let Some(permits) = admission.permit {
            self.on_end(permits, &CallEnd::new(Outcome::Rejected, now));
        }
        Err(why)
    }

    #[inline]
    fn try_admit(
        &self,
        request: &mut Req,
        now: &CallClock,
        inside: &CatchScope,
    ) -> Admitted<Self::Permit> {
        let Admitted {
            permit: mut first,
            rejection: mut refused,
        } = self.0.try_admit(request, now, inside);
        let mut second = None;
        if refused.is_none() {
            enter(inside, &self.0, &mut first, || {
                let admission = self.1.try_admit(request, now, inside);
                second = admission.permit;
                refused = admission.rejection;
            });
        }
        Admitted {
            permit: Some((first, second)),
            rejection: refused,
        }
    }
}
