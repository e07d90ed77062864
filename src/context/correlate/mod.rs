mod builder;
mod config;
mod inbound_id;

use std::sync::Arc;

use http::Request;

use super::{Context, Traceparent, scope::ContextScope};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, Head},
    util::headers::set_or_remove_header,
};
use config::CorrelateConfig;

pub use builder::CorrelateBuilder;

/// A guard that gives each inbound call its [`Context`]: accepts or generates its IDs, puts the context into the request's
/// extensions, and adds the IDs to the response.
///
/// A request that has a context already, from a layer further out in the same process, keeps it. Never rejects a call.
///
/// ```
/// use tower_keep::{GuardLayer, context::Correlate};
///
/// let layer = GuardLayer::server(Correlate::default());
/// # let _ = layer;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Correlate(Arc<CorrelateConfig>);

impl Correlate {
    /// Returns a builder with the defaults.
    ///
    /// Generated IDs that sort by time:
    ///
    /// ```
    /// use tower_keep::context::{Correlate, IdFormat};
    ///
    /// let correlate = Correlate::builder().id_format(IdFormat::UuidV7).build()?;
    /// # let _ = correlate;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder() -> CorrelateBuilder {
        CorrelateBuilder::default()
    }

    /// Returns the guard with another setting of [`CorrelateBuilder::rejection_details`].
    pub(crate) fn with_rejection_details(mut self, shown: bool) -> Self {
        Arc::make_mut(&mut self.0).rejection_details = shown;
        self
    }

    /// Returns the guard for a place right outside of a tracker, which then needs no entry of its own in the request.
    pub(crate) fn with_tracker(mut self) -> Self {
        Arc::make_mut(&mut self.0).has_tracker = true;
        self
    }

    fn echo_ids(&self, context: &Context, head: &mut Head<'_>) {
        let config = &*self.0;
        if !config.echo || (head.wire.is_grpc() && !config.echo_grpc) {
            return;
        }
        if let Some(name) = config.correlation_id_headers.first() {
            // Where there is none to send, that of a handler is removed: it would contradict the log.
            let value = context
                .other_correlation_id()
                .map(|id| id.header_value().clone());
            set_or_remove_header(head.headers, name, value);
        }
        // Last, since the request ID counts where both IDs have the same header.
        if let Some(name) = config.request_id_headers.first() {
            let (request_id, _) = context.ids();
            head.headers.insert(name, request_id.header_value().clone());
        }
    }
}

/// The permit of [`Correlate`] for a call.
#[doc(hidden)]
#[derive(Debug)]
pub struct CorrelatePermit {
    context: Option<Context>,
    respond_traceparent: bool,
}

impl Guard for Correlate {
    type Permit = CorrelatePermit;

    #[inline]
    fn enter(&self, permit: &mut CorrelatePermit) -> impl Sized {
        ContextScope::enter(&mut permit.context)
    }

    fn on_head(&self, permit: &mut CorrelatePermit, head: &mut Head<'_>) {
        let Some(context) = &permit.context else {
            return;
        };
        self.echo_ids(context, head);
        if permit.respond_traceparent {
            let value = context.traceparent().to_header_value();
            head.headers.insert(Traceparent::HEADER, value);
        }
    }

    #[inline]
    fn on_end(&self, _: CorrelatePermit, _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Correlate {
    fn admit(&self, request: &mut Request<B>, _: &CallClock) -> Result<CorrelatePermit, Rejection> {
        let predicate = self.0.respond_traceparent.as_ref();
        // Before the context is made: that may replace ID headers, and the predicate sees what the caller sent.
        let respond_traceparent = predicate.is_some_and(|predicate| predicate.matches(request));
        // A layer further out has made it: one call has one context.
        let context = match request.extensions().get::<Context>() {
            Some(context) => context.clone(),
            None => {
                let context = self.0.create_context(request);
                request.extensions_mut().insert(context.clone());
                context
            }
        };
        Ok(CorrelatePermit {
            context: Some(context),
            respond_traceparent,
        })
    }
}
