//! An optional guard is a guard.

use super::{Admit, Guard, Head, Measure, ReadySignal, Rejects};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    protocol::upload::Upload,
};

/// `None` admits every call and does nothing.
impl<G: Guard> Guard for Option<G> {
    type Permit = Option<G::Permit>;

    fn measure(&self) -> Measure {
        self.as_ref().map(G::measure).unwrap_or_default()
    }

    #[inline]
    fn rejects(&self, clock: &CallClock) -> Rejects {
        match self {
            Some(guard) => guard.rejects(clock),
            None => Rejects::None,
        }
    }

    #[inline]
    fn rejects_any(&self, clock: &CallClock) -> bool {
        self.as_ref().is_some_and(|guard| guard.rejects_any(clock))
    }

    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        if let Some(guard) = self {
            guard.ready_signals(add);
        }
    }

    #[inline]
    fn enter(&self, permit: &mut Self::Permit) -> impl Sized {
        let guard = self.as_ref().zip(permit.as_mut());
        guard.map(|(guard, permit)| guard.enter(permit))
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
    fn admit(&self, request: &mut Req, clock: &CallClock) -> Result<Self::Permit, Rejection> {
        self.as_ref()
            .map(|guard| guard.admit(request, clock))
            .transpose()
    }

    #[inline]
    fn try_admit(
        &self,
        request: &mut Req,
        clock: &CallClock,
        permit: &mut Option<Self::Permit>,
    ) -> Option<Rejection> {
        // The outer option says that it was admitted, also by no guard.
        let permit = permit.insert(None);
        self.as_ref()?.try_admit(request, clock, permit)
    }
}
