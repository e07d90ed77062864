use std::sync::Arc;

use super::{
    Chaos,
    injection::{ErrorFn, Injection},
    request_match::{RequestMatch, RequestMatched},
};

/// The settings of a [`ChaosLayer`](super::ChaosLayer), shared by its services.
#[derive(Clone)]
pub struct ChaosConfig<P, M> {
    pub(super) chaos: Chaos,
    pub(super) protocol: P,
    pub(super) requests: M,
    pub(super) error: Option<Arc<ErrorFn>>,
}

impl<P, M> ChaosConfig<P, M> {
    /// Returns what is injected into the call of a request, if anything.
    #[inline]
    pub(super) fn inject<Req>(&self, request: &mut Req) -> Option<Box<Injection>>
    where
        M: RequestMatch<Req>,
    {
        match self.chaos.is_on() {
            // The path of all calls in ordinary times: one load, and nothing else.
            false => None,
            true => self.inject_now(request),
        }
    }

    #[cold]
    fn inject_now<Req>(&self, request: &mut Req) -> Option<Box<Injection>>
    where
        M: RequestMatch<Req>,
    {
        let plan = match self.requests.find(request) {
            RequestMatched::No => return None,
            RequestMatched::Yes => self.chaos.shared.plan_next(),
            RequestMatched::Requested(plan) => plan,
        };
        Injection::begin(&self.chaos.shared, plan, self.error.as_ref())
    }
}
