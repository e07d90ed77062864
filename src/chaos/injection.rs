use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    FaultKind, InjectedFault,
    delayed_call::DelayedCall,
    plan::{BodyFault, InPlace, Plan},
    shared::ChaosShared,
    wait::{DelayEnd, Wait},
};
use crate::{
    call::{BoxError, catch_hook},
    protocol::InjectedFailure,
};

/// A user's closure that makes the error of a call.
pub(super) type ErrorFn = dyn Fn(InjectedFault) -> BoxError + Send + Sync;

/// The faults that are injected into one call.
pub struct Injection {
    chaos: Arc<ChaosShared>,
    wait: Option<Wait>,
    in_place: Option<InPlace>,
    body: Option<BodyFault>,
    error: Option<Arc<ErrorFn>>,
}

impl Injection {
    /// Begins what is planned for a call. What would delay too many calls is left out; `None` if nothing is left.
    pub(super) fn begin(
        chaos: &Arc<ChaosShared>,
        mut plan: Plan,
        error: Option<&Arc<ErrorFn>>,
    ) -> Option<Box<Self>> {
        let is_hanging = plan.in_place == Some(InPlace::Hang);
        // A call that hangs is not late as well.
        let latency = plan.latency.take().filter(|_| !is_hanging);
        let mut wait = None;
        if is_hanging || latency.is_some() {
            wait = DelayedCall::new(chaos).map(|delayed| Wait::new(delayed, latency));
            match (&wait, is_hanging) {
                (Some(_), true) => _ = chaos.record(FaultKind::Hang),
                (Some(_), false) => _ = chaos.record(FaultKind::Latency),
                (None, true) => plan.in_place = None,
                (None, false) => {}
            }
        }
        (wait.is_some() || !plan.is_empty()).then(|| {
            Box::new(Injection {
                chaos: chaos.clone(),
                wait,
                in_place: plan.in_place,
                body: plan.body,
                error: error.cloned(),
            })
        })
    }

    /// Begins what is planned for work that is no request. Without an error to fail with, faults that need one are skipped, and
    /// counted.
    #[cold]
    pub(super) fn begin_work(chaos: &Arc<ChaosShared>, can_fail: bool) -> Option<Box<Self>> {
        let mut plan = chaos.plan_next();
        // It has no body.
        plan.body = None;
        let needs_error = plan.in_place.is_some_and(|fault| fault != InPlace::Panic);
        if needs_error && !can_fail {
            plan.in_place = None;
            chaos.count_skipped();
        }
        Injection::begin(chaos, plan, None)
    }

    /// Returns whether the service is not called.
    pub(super) fn is_in_place(&self) -> bool {
        self.in_place.is_some()
    }

    /// Waits until the response is handed on, and releases the call then.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            let end = ready!(wait.poll(cx));
            debug_assert!(self.in_place != Some(InPlace::Hang) || end == DelayEnd::SwitchedOff);
            self.wait = None;
        }
        Poll::Ready(())
    }

    /// Counts the fault in the service's place, and returns it.
    ///
    /// # Panics
    ///
    /// If that is the fault.
    pub(super) fn fault(&self) -> InjectedFault {
        match self.in_place {
            Some(InPlace::Panic) => panic!("{}", self.chaos.record(FaultKind::Panic)),
            Some(InPlace::Response { .. }) => self.chaos.record(FaultKind::Response),
            // Counted when it began. The chaos is off now, and the request is gone.
            Some(InPlace::Hang) => InjectedFault::new(self.chaos.name.clone(), FaultKind::Hang),
            Some(InPlace::Error) | None => self.chaos.record(FaultKind::Error),
        }
    }

    /// Returns the failure in the service's place.
    ///
    /// # Panics
    ///
    /// If that is the fault.
    pub(super) fn failure(&self) -> (InjectedFault, InjectedFailure) {
        let fault = self.fault();
        let failure = match self.in_place {
            Some(InPlace::Response { status, code }) => InjectedFailure {
                error: fault.clone().into(),
                response: Some((status, code)),
            },
            _ => self.error(fault.clone()),
        };
        (fault, failure)
    }

    /// Returns a failure without a response.
    fn error(&self, fault: InjectedFault) -> InjectedFailure {
        let custom = self.error.as_ref();
        let custom = custom.and_then(|make| catch_hook(|| make(fault.clone())));
        InjectedFailure {
            error: custom.unwrap_or_else(|| fault.into()),
            response: None,
        }
    }

    /// Returns what becomes of the body of the response.
    pub(super) fn body(&self) -> Option<(&Arc<ChaosShared>, BodyFault)> {
        self.body.map(|fault| (&self.chaos, fault))
    }
}
