//! A pair of guards is a guard: the first stands outside of the second.

use super::{Admit, Guard, Head, Measure, ReadySignal, Rejects, enter_scope};
use crate::{
    call::{CallClock, CallEnd, Outcome, Rejection, catch_hook, catch_nested_hook},
    protocol::upload::Upload,
};

/// Two guards as one; more of them nest, as in `(a, (b, c))`.
///
/// Whatever the second guard does happens in the scope of the first, so that its events carry the IDs of the call. Each
/// hook is caught on its own: a panic must not unwind through the other guard, which may panic again.
impl<A: Guard, B: Guard> Guard for (A, B) {
    /// A guard whose `admit` panicked holds no permit.
    type Permit = (Option<A::Permit>, Option<B::Permit>);

    fn measure(&self) -> Measure {
        self.0.measure().union(self.1.measure())
    }

    #[inline]
    fn rejects(&self, clock: &CallClock) -> Rejects {
        self.0.rejects(clock).stricter(self.1.rejects(clock))
    }

    #[inline]
    fn rejects_any(&self, clock: &CallClock) -> bool {
        self.0.rejects_any(clock) || self.1.rejects_any(clock)
    }

    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        self.0.ready_signals(add);
        self.1.ready_signals(add);
    }

    #[inline]
    fn enter(&self, (first, second): &mut Self::Permit) -> impl Sized {
        let outer = enter_scope(&self.0, first.as_mut());
        let inner = enter_scope(&self.1, second.as_mut());
        // Dropped in this order: the inner scope closes first.
        (inner, outer)
    }

    #[inline]
    fn on_head(&self, (first, second): &mut Self::Permit, head: &mut Head<'_>) {
        if let Some(second) = second {
            let _scope = enter_scope(&self.0, first.as_mut());
            catch_nested_hook(|| self.1.on_head(second, head));
        }
        if let Some(first) = first {
            catch_nested_hook(|| self.0.on_head(first, head));
        }
    }

    #[inline]
    fn on_end(&self, (mut first, second): Self::Permit, end: &CallEnd<'_>) {
        if let Some(second) = second {
            let _scope = enter_scope(&self.0, first.as_mut());
            catch_nested_hook(|| self.1.on_end(second, end));
        }
        if let Some(first) = first {
            catch_nested_hook(|| self.0.on_end(first, end));
        }
    }

    fn on_not_ready(&self) {
        catch_hook(|| self.0.on_not_ready());
        catch_hook(|| self.1.on_not_ready());
    }

    fn on_upload(&self, (first, second): &mut Self::Permit, upload: &Upload) {
        if let Some(first) = first {
            catch_hook(|| self.0.on_upload(first, upload));
        }
        if let Some(second) = second {
            catch_hook(|| self.1.on_upload(second, upload));
        }
    }
}

impl<Req, A: Admit<Req>, B: Admit<Req>> Admit<Req> for (A, B) {
    fn admit(&self, request: &mut Req, clock: &CallClock) -> Result<Self::Permit, Rejection> {
        let mut permits = None;
        let rejection = self.try_admit(request, clock, &mut permits);
        let permits = permits.unwrap_or_default();
        let Some(rejection) = rejection else {
            return Ok(permits);
        };
        // The caller gets the rejection alone, and could not complete what the first guard has admitted.
        self.on_end(permits, &CallEnd::new(Outcome::Rejected, clock));
        Err(rejection)
    }

    #[inline]
    fn try_admit(
        &self,
        request: &mut Req,
        clock: &CallClock,
        permits: &mut Option<Self::Permit>,
    ) -> Option<Rejection> {
        let (first, second) = permits.insert((None, None));
        let rejection = self.0.try_admit(request, clock, first);
        if rejection.is_some() {
            return rejection;
        }
        let _scope = enter_scope(&self.0, first.as_mut());
        self.1.try_admit(request, clock, second)
    }
}
