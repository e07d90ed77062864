use http::{HeaderName, Request};

use super::RequestIdPolicy;
use crate::{
    context::{Baggage, Context, IdFormat, PRIORITY_HEADER, Priority, TraceFormat},
    util::headers::{remove_rare_header, set_or_remove_header},
};

/// Checked settings of a [`Propagate`](super::Propagate).
#[derive(Clone, Debug)]
pub(super) struct PropagateConfig {
    pub(super) request_id_header: HeaderName,
    pub(super) correlation_id_header: HeaderName,
    pub(super) request_id_policy: RequestIdPolicy,
    pub(super) id_format: IdFormat,
    pub(super) trace_formats: Vec<TraceFormat>,
    /// Removed before the trace is written: those of `trace_formats` that writing does not replace.
    pub(super) stale_headers: Vec<HeaderName>,
    pub(super) baggage: bool,
    pub(super) priority_header: HeaderName,
    pub(super) priority: bool,
}

impl Default for PropagateConfig {
    fn default() -> Self {
        PropagateConfig {
            request_id_header: HeaderName::from_static("x-request-id"),
            correlation_id_header: HeaderName::from_static("x-correlation-id"),
            request_id_policy: RequestIdPolicy::default(),
            id_format: IdFormat::default(),
            trace_formats: vec![TraceFormat::W3c],
            stale_headers: Vec::new(),
            baggage: false,
            priority_header: PRIORITY_HEADER,
            priority: true,
        }
    }
}

impl PropagateConfig {
    pub(super) fn child_context<B>(&self, request: &Request<B>) -> Context {
        // The context of the request itself: the thread may work on another call by now.
        let call = match request.extensions().get::<Context>() {
            Some(context) => Some(context.clone()),
            None => Context::current(),
        };
        // A request of no call begins a trace with its own span, which nothing is the parent of.
        let Some(call) = call else {
            let root = Context::new_root_with(self.id_format, true);
            inherit_priority(&root);
            return root;
        };
        let child = call.child_request(match self.request_id_policy {
            RequestIdPolicy::Generate => Some(self.id_format.generate()),
            RequestIdPolicy::Reuse => None,
        });
        inherit_priority(&child);
        child
    }

    pub(super) fn write_headers<B>(&self, context: &Context, request: &mut Request<B>) {
        let headers = request.headers_mut();
        let (request_id, correlation_id) = context.ids();
        let differs = correlation_id != request_id;
        let value = differs.then(|| correlation_id.header_value().clone());
        set_or_remove_header(headers, &self.correlation_id_header, value);
        // After the other ID, since the request ID counts where both have the same header.
        headers.insert(&self.request_id_header, request_id.header_value().clone());
        // Before the formats are written, since some of these names are theirs.
        for name in &self.stale_headers {
            remove_rare_header(headers, name);
        }
        for format in &self.trace_formats {
            format.write(context.trace_context(), headers);
        }
        // A copied header is what another caller has sent, whom nobody may have trusted.
        let priority = context.priority().filter(|_| self.priority);
        let priority = priority.map(Priority::to_header_value);
        set_or_remove_header(headers, &self.priority_header, priority);
        // Where none is sent, a copied header is removed: third parties must not see it.
        let baggage = context.baggage().filter(|_| self.baggage);
        let baggage = baggage.and_then(|baggage| baggage.to_header_value());
        set_or_remove_header(headers, &Baggage::HEADER, baggage);
    }
}

/// Takes the priority that a prioritizer around the client has found, unless the context has another one.
#[inline]
fn inherit_priority(context: &Context) {
    if let Some(current) = Priority::current()
        && context.priority().is_none_or(|own| current.is_leveled(own))
    {
        context.set_priority(current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::PriorityClass;

    fn propagated(request: &Request<()>) -> Context {
        PropagateConfig::default().child_context(request)
    }

    #[test]
    fn request_without_a_context_begins_a_trace_with_its_own_span() {
        let context = propagated(&Request::new(()));
        assert_eq!(context.parent_id(), None);
        assert_eq!(context.request_id(), context.correlation_id());
        assert!(context.trace_flags().is_sampled());
    }

    #[test]
    fn request_is_a_child_of_its_own_context_or_else_of_the_current_one() {
        let (own, current) = (Context::new_root(), Context::new_root());
        let mut request = Request::new(());
        let parent = |request: &Request<()>| current.run(|| propagated(request)).parent_id();
        assert_eq!(parent(&request), Some(current.span_id()));
        request.extensions_mut().insert(own.clone());
        assert_eq!(parent(&request), Some(own.span_id()));
    }

    #[test]
    fn priority_is_sent_on_and_a_copied_header_is_not() {
        let sent = |config: &PropagateConfig, context: &Context| {
            let copied = Request::builder().header(PRIORITY_HEADER, "critical");
            let mut request = copied.body(()).expect("a request");
            let child = context.run(|| config.child_context(&request));
            config.write_headers(&child, &mut request);
            let value = request.headers().get(PRIORITY_HEADER);
            value.map(|value| value.to_str().expect("ASCII").to_owned())
        };
        let config = PropagateConfig::default();
        let (none, low) = (Context::new_root(), Context::new_root());
        low.set_priority(Priority::new(PriorityClass::Low).with_level(7));
        assert_eq!(sent(&config, &none), None);
        assert_eq!(sent(&config, &low).as_deref(), Some("low;level=7"));
        let off = PropagateConfig {
            priority: false,
            ..config
        };
        assert_eq!(sent(&off, &low), None);
    }

    #[test]
    fn request_gets_an_id_of_its_own_if_configured() {
        let call = Context::new_root();
        for (policy, is_same) in [
            (RequestIdPolicy::Reuse, true),
            (RequestIdPolicy::Generate, false),
        ] {
            let config = PropagateConfig {
                request_id_policy: policy,
                ..PropagateConfig::default()
            };
            let sent = call.run(|| config.child_context(&Request::new(())));
            assert_eq!(sent.request_id() == call.request_id(), is_same);
            assert_eq!(sent.correlation_id(), call.correlation_id());
        }
    }
}
