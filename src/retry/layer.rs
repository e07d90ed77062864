use std::fmt;

use tower_layer::Layer;

use super::{Retry, RetryService, shared_retry::RetryLayerConfig};
use crate::{
    call::{Classifier, ClassifyInput, ClassifyOutput},
    protocol::{AnyService, Protocol},
};

/// Tries requests again that failed: see the [module](super).
///
/// Requests are cloned, one for each attempt but the last, and the service too: what it gives away in `poll_ready` is
/// used by the very handle that it gave it to.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::{BoxError, retry::{Retry, RetryLayer}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
/// let calls = std::cell::Cell::new(0);
/// let service = ServiceBuilder::new()
///     .layer(RetryLayer::any(Retry::new("greeter")))
///     .service(service_fn(|name: String| {
///         calls.set(calls.get() + 1);
///         let away = calls.get() < 3;
///         async move { if away { Err(std::io::Error::other("reset")) } else { Ok(format!("hello {name}")) } }
///     }));
/// assert_eq!(service.oneshot("you".to_owned()).await?, "hello you");
/// assert_eq!(calls.get(), 3);
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// Calls panic outside of tokio's runtime when an attempt fails: the wait before the next needs its timer.
///
/// # Clones
///
/// Every service it makes, and every clone of them, shares the [`Retry`].
pub struct RetryLayer<P> {
    shared: RetryLayerConfig<P>,
}

impl<P> RetryLayer<P> {
    pub(super) fn new(retry: Retry, protocol: P) -> Self {
        RetryLayer {
            shared: RetryLayerConfig::new(retry, protocol),
        }
    }

    pub(super) fn to_parts(&self) -> (Retry, &P) {
        (self.shared.retry().clone(), self.shared.rules())
    }
}

impl RetryLayer<AnyService> {
    /// Retries over a service of any kind whose requests can be cloned; its error becomes a `BoxError`.
    pub fn any(retry: Retry) -> Self {
        RetryLayer::new(retry, AnyService::new())
    }

    /// Judges attempts by the classifier, which sees [`ClassifyInput::response`](crate::call::ClassifyInput::response) and
    /// [`ClassifyInput::error`](crate::call::ClassifyInput::error): failures, overload and timeouts are worth another attempt.
    #[must_use]
    pub fn classify<V: Into<ClassifyOutput>>(
        self,
        classify: impl Fn(&ClassifyInput<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let any = AnyService::new().with_classifier(Classifier::new(classify));
        RetryLayer::new(self.to_parts().0, any)
    }
}

impl<S, P> Layer<S> for RetryLayer<P> {
    type Service = RetryService<S, P>;

    fn layer(&self, inner: S) -> RetryService<S, P> {
        RetryService::new(inner, self.shared.clone())
    }
}

impl<P> Clone for RetryLayer<P> {
    fn clone(&self) -> Self {
        RetryLayer {
            shared: self.shared.clone(),
        }
    }
}

impl<P> fmt::Debug for RetryLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("retry", &self.shared)
            .finish_non_exhaustive()
    }
}
