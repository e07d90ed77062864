//! A tuple of guards is a guard, the first outermost: it nests [`Pair`]s. A guard that may be left out is one, too, and
//! so is a reference to one.

use super::{Admit, Admitted, Guard, Head, Measure, Pair, ReadySignal, Rejects};
use crate::{
    call::{CallClock, CallEnd, CatchScope, Rejection},
    protocol::upload::Upload,
};

/// Has a type be the guard that an expression makes of a reference to it.
macro_rules! as_guard {
    ([$($param:ident),*] $guard:ty, permit $permit:ty, |$this:ident| $view:expr) => {
        impl<$($param: Guard),*> Guard for $guard {
            type Permit = $permit;

            fn measure(&self) -> Measure {
                let $this = self;
                $view.measure()
            }
            #[inline]
            fn rejects(&self, now: &CallClock) -> Rejects {
                let $this = self;
                $view.rejects(now)
            }
            #[inline]
            fn rejects_any(&self, now: &CallClock) -> bool {
                let $this = self;
                $view.rejects_any(now)
            }
            fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
                let $this = self;
                $view.ready_signals(add);
            }
            #[inline]
            fn enter<R>(&self, permit: &mut Self::Permit, poll: impl FnOnce() -> R) -> R {
                let $this = self;
                $view.enter(permit, poll)
            }
            #[inline]
            fn on_head(&self, permit: &mut Self::Permit, head: &mut Head<'_>) {
                let $this = self;
                $view.on_head(permit, head);
            }
            #[inline]
            fn on_end(&self, permit: Self::Permit, end: &CallEnd<'_>) {
                let $this = self;
                $view.on_end(permit, end);
            }
            fn on_not_ready(&self) {
                let $this = self;
                $view.on_not_ready();
            }
            fn on_upload(&self, permit: &mut Self::Permit, upload: &Upload) {
                let $this = self;
                $view.on_upload(permit, upload);
            }
        }

        impl<Req, $($param: Admit<Req>),*> Admit<Req> for $guard {
            #[inline]
            fn admit(&self, request: &mut Req, now: &CallClock) -> Result<Self::Permit, Rejection> {
                let $this = self;
                $view.admit(request, now)
            }
            #[inline]
            fn try_admit(
                &self,
                request: &mut Req,
                now: &CallClock,
                inside: &CatchScope,
            ) -> Admitted<Self::Permit> {
                let $this = self;
                $view.try_admit(request, now, inside)
            }
        }
    };
}

/// The permit of a pair.
type Both<A, B> = (Option<A>, Option<B>);

as_guard!([G] &G, permit G::Permit, |this| (**this));
as_guard!([A] (A,), permit A::Permit, |this| this.0);
as_guard!([A, B] (A, B), permit Both<A::Permit, B::Permit>, |this| Pair(&this.0, &this.1));
as_guard!([A, B, C] (A, B, C), permit Both<A::Permit, Both<B::Permit, C::Permit>>, |this| Pair(&this.0, Pair(&this.1, &this.2)));
as_guard!([A, B, C, D] (A, B, C, D), permit Both<A::Permit, Both<B::Permit, Both<C::Permit, D::Permit>>>, |this| Pair(&this.0, Pair(&this.1, Pair(&this.2, &this.3))));
as_guard!([A, B, C, D, E] (A, B, C, D, E), permit Both<A::Permit, Both<B::Permit, Both<C::Permit, Both<D::Permit, E::Permit>>>>, |this| Pair(&this.0, Pair(&this.1, Pair(&this.2, Pair(&this.3, &this.4)))));
as_guard!([A, B, C, D, E, F] (A, B, C, D, E, F), permit Both<A::Permit, Both<B::Permit, Both<C::Permit, Both<D::Permit, Both<E::Permit, F::Permit>>>>>, |this| Pair(&this.0, Pair(&this.1, Pair(&this.2, Pair(&this.3, Pair(&this.4, &this.5))))));
as_guard!([A, B, C, D, E, F, G] (A, B, C, D, E, F, G), permit Both<A::Permit, Both<B::Permit, Both<C::Permit, Both<D::Permit, Both<E::Permit, Both<F::Permit, G::Permit>>>>>>, |this| Pair(&this.0, Pair(&this.1, Pair(&this.2, Pair(&this.3, Pair(&this.4, Pair(&this.5, &this.6)))))));
as_guard!([A, B, C, D, E, F, G, H] (A, B, C, D, E, F, G, H), permit Both<A::Permit, Both<B::Permit, Both<C::Permit, Both<D::Permit, Both<E::Permit, Both<F::Permit, Both<G::Permit, H::Permit>>>>>>>, |this| Pair(&this.0, Pair(&this.1, Pair(&this.2, Pair(&this.3, Pair(&this.4, Pair(&this.5, Pair(&this.6, &this.7))))))));

/// A guard that may be left out.
impl<G: Guard> Guard for Option<G> {
    type Permit = Option<G::Permit>;

    fn measure(&self) -> Measure {
        self.as_ref().map(G::measure).unwrap_or_default()
    }

    #[inline]
    fn rejects(&self, now: &CallClock) -> Rejects {
        match self {
            Some(guard) => guard.rejects(now),
            None => Rejects::None,
        }
    }

    #[inline]
    fn rejects_any(&self, now: &CallClock) -> bool {
        self.as_ref().is_some_and(|guard| guard.rejects_any(now))
    }

    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        if let Some(guard) = self {
            guard.ready_signals(add);
        }
    }

    #[inline]
    fn enter<R>(&self, permit: &mut Self::Permit, poll: impl FnOnce() -> R) -> R {
        match (self, permit) {
            (Some(guard), Some(permit)) => guard.enter(permit, poll),
            _ => poll(),
        }
    }

    #[inline]
    fn on_head(&self, permit: &mut Self::Permit, head: &mut Head<'_>) {
        if let (Some(guard), Some(permit)) = (self, permit) {
            guard.on_head(permit, head);
        }
    }

    #[inline]
    fn on_end(&self, permit: Self::Permit, end: &CallEnd<'_>) {
        if let (Some(guard), Some(permit)) = (self, permit) {
            guard.on_end(permit, end);
        }
    }

    fn on_not_ready(&self) {
        if let Some(guard) = self {
            guard.on_not_ready();
        }
    }

    fn on_upload(&self, permit: &mut Self::Permit, upload: &Upload) {
        if let (Some(guard), Some(permit)) = (self, permit) {
            guard.on_upload(permit, upload);
        }
    }
}

impl<Req, G: Admit<Req>> Admit<Req> for Option<G> {
    #[inline]
    fn admit(&self, request: &mut Req, now: &CallClock) -> Result<Self::Permit, Rejection> {
        self.as_ref()
            .map(|guard| guard.admit(request, now))
            .transpose()
    }

    #[inline]
    fn try_admit(
        &self,
        request: &mut Req,
        now: &CallClock,
        inside: &CatchScope,
    ) -> Admitted<Self::Permit> {
        let Some(guard) = self else {
            return Admitted {
                permit: Some(None),
                rejection: None,
            };
        };
        let admission = guard.try_admit(request, now, inside);
        Admitted {
            permit: Some(admission.permit),
            rejection: admission.rejection,
        }
    }
}
