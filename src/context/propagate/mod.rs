mod builder;
mod config;
mod request_id_policy;

use std::sync::Arc;

use http::Request;

use super::{Context, scope::ContextScope};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard},
};
use config::PropagateConfig;

pub use builder::PropagateBuilder;
pub use request_id_policy::RequestIdPolicy;

/// A guard that sends a call's [`Context`] on: writes its IDs, its trace (`traceparent` and `tracestate`, or what
/// [`trace_formats`](PropagateBuilder::trace_formats) says), its [priority](crate::priority) if it has one and, by option, `baggage` into
/// outgoing requests.
///
/// The context is that of the request's extensions, which the outgoing one then replaces; else the current one; else a
/// new one, whose span has no parent. The current one is read in `Service::call`, so call a client inside of the scope:
/// `context.scope(async { client.call(request).await })`, not `context.scope(client.call(request))`. Each attempt gets
/// a span ID of its own, so a retry outside of this guard shows as several spans. Headers of the same names are
/// replaced. Never rejects a call.
///
/// ```
/// use tower_keep::{GuardLayer, context::Propagate};
///
/// let layer = GuardLayer::client(Propagate::default());
/// # let _ = layer;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Propagate(Arc<PropagateConfig>);

impl Propagate {
    /// Returns a builder with the defaults.
    ///
    /// Each request gets an ID of its own:
    ///
    /// ```
    /// use tower_keep::context::{Propagate, RequestIdPolicy};
    ///
    /// let propagate = Propagate::builder().request_id_policy(RequestIdPolicy::Generate).build()?;
    /// # let _ = propagate;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder() -> PropagateBuilder {
        PropagateBuilder::default()
    }
}

impl Guard for Propagate {
    type Permit = Option<Context>;

    #[inline]
    fn enter(&self, permit: &mut Option<Context>) -> impl Sized {
        ContextScope::enter(permit)
    }

    #[inline]
    fn on_end(&self, _: Option<Context>, _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Propagate {
    fn admit(&self, request: &mut Request<B>, _: &CallClock) -> Result<Option<Context>, Rejection> {
        let context = self.0.child_context(request);
        self.0.write_headers(&context, request);
        // Layers further in that read the extensions work for this request, not for the call that it is made for.
        if let Some(current) = request.extensions_mut().get_mut::<Context>() {
            *current = context.clone();
        }
        Ok(Some(context))
    }
}
