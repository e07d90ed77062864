//! A tuple of guards is a guard: the first is the outermost.

use super::{Admission, Admit, Guard, Head, Wants, entered};
use crate::call::{End, Moment, Outcome, Rejection, quietly};

/// Runs `$work` inside `enter` of each guard that holds a permit, the first outermost.
macro_rules! nest {
    ($all:ident $work:expr;) => { $work };
    ($all:ident $work:expr; $permit:ident $i:tt $($rest:tt)*) => {{
        let mut inner = || nest!($all $work; $($rest)*);
        match &mut *$permit {
            // Each by itself: a hook that panics must not unwind through the next one, which may panic again.
            Some(permit) => entered(&$all.$i, permit, inner),
            None => inner(),
        }
    }};
}

/// Shows the head innermost first, to each guard inside `enter` of the earlier ones.
macro_rules! show {
    ($all:ident $head:ident; $permit:ident $i:tt) => {
        if let Some(permit) = &mut *$permit {
            quietly(|| $all.$i.head(permit, $head));
        }
    };
    ($all:ident $head:ident; $permit:ident $i:tt $($rest:tt)+) => {
        match &mut *$permit {
            Some(permit) => {
                entered(&$all.$i, permit, || { show!($all $head; $($rest)+); });
                quietly(|| $all.$i.head(permit, $head));
            }
            None => { show!($all $head; $($rest)+); }
        }
    };
}

/// Settles innermost first, each guard inside `enter` of the earlier ones. Permits are taken where they are needed:
/// a closure that owned one would copy it on its way there.
macro_rules! settle {
    ($all:ident $end:ident; $permit:ident $i:tt) => {
        quietly(|| {
            if let Some(permit) = $permit.take() {
                $all.$i.settle(permit, $end);
            }
        });
    };
    ($all:ident $end:ident; $permit:ident $i:tt $($rest:tt)+) => {
        match &mut $permit {
            Some(permit) => entered(&$all.$i, permit, || { settle!($all $end; $($rest)+); }),
            None => { settle!($all $end; $($rest)+); }
        }
        settle!($all $end; $permit $i);
    };
}

/// Admits first to last, each guard inside `enter` of the earlier ones, until one refuses.
macro_rules! admit {
    ($all:ident $req:ident $now:ident $refused:ident; $permit:ident $i:tt) => {
        let admission = $all.$i.admit_partly($req, $now);
        $permit = admission.permit;
        $refused = admission.refused;
    };
    ($all:ident $req:ident $now:ident $refused:ident; $permit:ident $i:tt $($rest:tt)+) => {
        let admission = $all.$i.admit_partly($req, $now);
        $permit = admission.permit;
        match (admission.refused, &mut $permit) {
            (Some(why), _) => $refused = Some(why),
            (None, Some(permit)) => entered(&$all.$i, permit, || {
                admit!($all $req $now $refused; $($rest)+);
            }),
            (None, None) => { admit!($all $req $now $refused; $($rest)+); }
        }
    };
}

macro_rules! tuple {
    ($($guard:ident $i:tt),*) => {
        impl<$($guard: Guard),*> Guard for ($($guard,)*) {
            type Permit = ($(Option<$guard::Permit>,)*);

            fn wants(&self) -> Wants {
                Wants::default()$(.or(self.$i.wants()))*
            }

            #[inline]
            #[allow(non_snake_case)]
            fn enter<R>(&self, permits: &mut Self::Permit, poll: impl FnOnce() -> R) -> R {
                let ($($guard,)*) = permits;
                let (mut poll, mut result) = (Some(poll), None);
                nest!(self { result = poll.take().map(|poll| poll()); }; $($guard $i)*);
                result.expect("guards are entered once")
            }

            #[inline]
            #[allow(non_snake_case)]
            fn head(&self, permits: &mut Self::Permit, head: &mut Head<'_>) {
                let ($($guard,)*) = permits;
                show!(self head; $($guard $i)*);
            }

            #[inline]
            #[allow(non_snake_case)]
            fn settle(&self, permits: Self::Permit, end: &End<'_>) {
                let ($(mut $guard,)*) = permits;
                settle!(self end; $($guard $i)*);
            }

            fn unready(&self) {
                $(quietly(|| self.$i.unready());)*
            }
        }

        impl<Req, $($guard: Admit<Req>),*> Admit<Req> for ($($guard,)*) {
            fn admit(&self, request: &mut Req, now: &Moment) -> Result<Self::Permit, Rejection> {
                let admission = self.admit_partly(request, now);
                let Some(why) = admission.refused else {
                    return Ok(admission.permit.unwrap_or_default());
                };
                if let Some(permits) = admission.permit {
                    self.settle(permits, &End::new(Outcome::Rejected, now));
                }
                Err(why)
            }

            #[inline]
            // The first guard's permit has no default: it is always assigned.
            #[allow(non_snake_case, unused_assignments)]
            fn admit_partly(&self, request: &mut Req, now: &Moment) -> Admission<Self::Permit> {
                let mut refused = None;
                $(let mut $guard: Option<$guard::Permit> = None;)*
                admit!(self request now refused; $($guard $i)*);
                Admission { permit: Some(($($guard,)*)), refused }
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// A guard that may be left out.
impl<G: Guard> Guard for Option<G> {
    type Permit = Option<G::Permit>;

    fn wants(&self) -> Wants {
        self.as_ref().map(G::wants).unwrap_or_default()
    }

    #[inline]
    fn enter<R>(&self, permit: &mut Self::Permit, poll: impl FnOnce() -> R) -> R {
        match (self, permit) {
            (Some(guard), Some(permit)) => guard.enter(permit, poll),
            _ => poll(),
        }
    }

    #[inline]
    fn head(&self, permit: &mut Self::Permit, head: &mut Head<'_>) {
        if let (Some(guard), Some(permit)) = (self, permit) {
            guard.head(permit, head);
        }
    }

    #[inline]
    fn settle(&self, permit: Self::Permit, end: &End<'_>) {
        if let (Some(guard), Some(permit)) = (self, permit) {
            guard.settle(permit, end);
        }
    }

    fn unready(&self) {
        if let Some(guard) = self {
            guard.unready();
        }
    }
}

impl<Req, G: Admit<Req>> Admit<Req> for Option<G> {
    #[inline]
    fn admit(&self, request: &mut Req, now: &Moment) -> Result<Self::Permit, Rejection> {
        self.as_ref()
            .map(|guard| guard.admit(request, now))
            .transpose()
    }

    #[inline]
    fn admit_partly(&self, request: &mut Req, now: &Moment) -> Admission<Self::Permit> {
        let Some(guard) = self else {
            return Admission::granted(None);
        };
        let admission = guard.admit_partly(request, now);
        Admission {
            permit: Some(admission.permit),
            refused: admission.refused,
        }
    }
}
