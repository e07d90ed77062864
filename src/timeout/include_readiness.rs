use tower_layer::Layer;

use super::{TimeoutLayer, TimeoutService, lazy_ready::LazyReady};

/// A [`TimeoutLayer`] whose calls include the wait for readiness; made by
/// [`TimeoutLayer::include_readiness`].
#[derive(Clone, Debug)]
pub struct IncludeReadinessLayer<P>(pub(super) TimeoutLayer<P>);

impl<S, P> Layer<S> for IncludeReadinessLayer<P> {
    type Service = TimeoutService<LazyReady<S>, P>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(LazyReady::new(inner))
    }
}
