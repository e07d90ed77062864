use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    CoalesceFuture, caller_deadline::CallerDeadline, common_request::remove_deadline,
    future::Spare, key_source::KeySource, layer::LayerConfig, reserved_bytes::ReservedBytes,
    share::Share, share_rules::ShareRules, shared::Joined, wrap_body::WrapCoalesced,
};
use crate::{
    call::catch_hook,
    context::WithoutDeadline,
    protocol::{ReadRequest, Respond, Side},
};

/// A service under which identical calls in flight are one call. Made by [`CoalesceLayer`](super::CoalesceLayer).
pub struct CoalesceService<S, P, K> {
    inner: S,
    config: Arc<LayerConfig<P, K>>,
}

impl<S, P, K> CoalesceService<S, P, K> {
    pub(super) fn new(inner: S, config: Arc<LayerConfig<P, K>>) -> Self {
        CoalesceService { inner, config }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, P, K, Req> Service<Req> for CoalesceService<S, P, K>
where
    // The wrapped service, whose calls go on in other callers.
    S: Service<Req, Future: Send + 'static> + Clone,
    // What identifies a request.
    K: KeySource<Req>,
    // How results are shared.
    P: ReadRequest<Req> + Share<S::Response, S::Error>,
    P::Collect<S::Future>: Send + 'static,
{
    type Response = <P as Respond<S::Response, S::Error>>::Response<WrapCoalesced>;
    type Error = P::Error;
    type Future = CoalesceFuture<S, Req, P, K::Key>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let LayerConfig {
            coalesce,
            protocol,
            keys,
            timeout_header,
        } = &*self.config;
        let call = protocol.read(&mut request);
        // A closure that panics leaves the call to itself.
        let key = catch_hook(|| keys.key(&request)).flatten();
        let deadline = CallerDeadline::of_request::<P, Req>(&call, &request);
        match coalesce.shared.join(key, &deadline) {
            Joined::Alone => CoalesceFuture::alone(call, self.inner.call(request)),
            Joined::Leads(seat) => {
                let rules = ShareRules {
                    max_bytes: coalesce.settings().max_body_bytes as usize,
                    is_for_unknown_callers: K::IS_HEAD && matches!(P::SIDE, Side::Server),
                };
                remove_deadline::<P, Req>(&mut request, timeout_header.as_ref());
                let reserved = ReservedBytes::new(coalesce.shared.clone());
                // The seat is there already: if the service panics, those that wait learn of it.
                seat.start(WithoutDeadline::new(|| {
                    P::collect(self.inner.call(request), rules, reserved)
                }));
                CoalesceFuture::leading(call, seat, deadline)
            }
            Joined::Joins(seat) => {
                let spare = Spare::new(self.release_inner(), request);
                CoalesceFuture::waiting(call, seat, deadline, spare)
            }
            Joined::Rejected(rejection) => {
                self.release_inner();
                CoalesceFuture::rejected(call, rejection)
            }
        }
    }
}

impl<S: Clone, P, K> CoalesceService<S, P, K> {
    /// Gives back what this handle holds of the wrapped service, which others need meanwhile. Returns a handle that holds nothing.
    fn release_inner(&mut self) -> S {
        self.inner = self.inner.clone();
        self.inner.clone()
    }
}

/// A clone shares the calls in flight, but not the readiness.
impl<S: Clone, P, K> Clone for CoalesceService<S, P, K> {
    fn clone(&self) -> Self {
        CoalesceService::new(self.inner.clone(), self.config.clone())
    }
}

impl<S: fmt::Debug, P, K> fmt::Debug for CoalesceService<S, P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceService")
            .field("inner", &self.inner)
            .field("coalesce", &self.config.coalesce)
            .finish_non_exhaustive()
    }
}
