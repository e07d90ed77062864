//! Two guards are a guard: the first stands outside of the second.

use super::{Admission, Admit, Guard, Head, Refuses, Signal, Wants, entered, outside};
use crate::{
    call::{End, Inside, Moment, Outcome, Rejection, quietly},
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
fn enter<G: Guard>(inside: &Inside, guard: &G, permit: &mut Option<G::Permit>, work: impl FnMut()) {
    match permit {
        Some(permit) => entered(inside, guard, permit, work),
        None => outside(work),
    }
}

impl<A: Guard, B: Guard> Guard for Pair<A, B> {
    /// A guard whose `admit` panicked holds none.
    type Permit = (Option<A::Permit>, Option<B::Permit>);

    fn wants(&self) -> Wants {
        self.0.wants().or(self.1.wants())
    }

    #[inline]
    fn refuses(&self, now: &Moment) -> Refuses {
        self.0.refuses(now).or(self.1.refuses(now))
    }

    #[inline]
    fn refuses_any(&self, now: &Moment) -> bool {
        self.0.refuses_any(now) || self.1.refuses_any(now)
    }

    fn signals(&self, add: &mut dyn FnMut(&Signal)) {
        self.0.signals(add);
        self.1.signals(add);
    }

    #[inline]
    fn enter<R>(&self, permits: &mut Self::Permit, poll: impl FnOnce() -> R) -> R {
        let (first, second) = permits;
        // The result leaves by a variable: handed up through the closures, it would be copied by each of them.
        let (mut poll, mut result) = (Some(poll), None);
        let inside = &Inside::other();
        enter(inside, &self.0, first, || {
            enter(inside, &self.1, second, || {
                result = poll.take().map(|poll| poll());
            });
        });
        result.expect("guards are entered once")
    }

    #[inline]
    fn head(&self, permits: &mut Self::Permit, head: &mut Head<'_>) {
        let (first, second) = permits;
        let inside = &Inside::other();
        if let Some(second) = second {
            enter(inside, &self.0, first, || {
                inside.quietly(|| self.1.head(second, head));
            });
        }
        if let Some(first) = first {
            inside.quietly(|| self.0.head(first, head));
        }
    }

    #[inline]
    fn settle(&self, permits: Self::Permit, end: &End<'_>) {
        let (mut first, mut second) = permits;
        let inside = &Inside::other();
        enter(inside, &self.0, &mut first, || {
            inside.quietly(|| {
                // Taken here: a closure that owned the permit would copy it on its way.
                if let Some(second) = second.take() {
                    self.1.settle(second, end);
                }
            });
        });
        inside.quietly(|| {
            if let Some(first) = first.take() {
                self.0.settle(first, end);
            }
        });
    }

    fn unready(&self) {
        quietly(|| self.0.unready());
        quietly(|| self.1.unready());
    }

    fn watch_upload(&self, permits: &mut Self::Permit, upload: &Upload) {
        let (first, second) = permits;
        if let Some(first) = first {
            quietly(|| self.0.watch_upload(first, upload));
        }
        if let Some(second) = second {
            quietly(|| self.1.watch_upload(second, upload));
        }
    }
}

impl<Req, A: Admit<Req>, B: Admit<Req>> Admit<Req> for Pair<A, B> {
    fn admit(&self, request: &mut Req, now: &Moment) -> Result<Self::Permit, Rejection> {
        let admission = self.admit_partly(request, now, &Inside::other());
        let Some(why) = admission.refused else {
            return Ok(admission.permit.unwrap_or_default());
        };
        if let Some(permits) = admission.permit {
            self.settle(permits, &End::new(Outcome::Rejected, now));
        }
        Err(why)
    }

    #[inline]
    fn admit_partly(
        &self,
        request: &mut Req,
        now: &Moment,
        inside: &Inside,
    ) -> Admission<Self::Permit> {
        let Admission {
            permit: mut first,
            mut refused,
        } = self.0.admit_partly(request, now, inside);
        let mut second = None;
        if refused.is_none() {
            enter(inside, &self.0, &mut first, || {
                let admission = self.1.admit_partly(request, now, inside);
                second = admission.permit;
                refused = admission.refused;
            });
        }
        Admission {
            permit: Some((first, second)),
            refused,
        }
    }
}
