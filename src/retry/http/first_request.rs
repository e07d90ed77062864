use http::request::Parts;

use crate::context::Context;

/// A request that is about to be sent for the first time.
pub(crate) struct FirstRequest<B> {
    pub(super) parts: Parts,
    pub(super) body: B,
    /// `true` if it may be sent again.
    pub(super) is_buffered: bool,
}

impl<B> FirstRequest<B> {
    /// Returns the context of the request. A request that may be retried gets a new one if there is none at all.
    #[inline]
    pub(super) fn shared_context(&self) -> Option<Context> {
        let context = self.parts.extensions.get::<Context>();
        if self.is_buffered && context.is_none() && Context::peek(|current| current.is_none()) {
            // Otherwise a layer inside would begin a trace for each attempt.
            return Some(Context::new_root());
        }
        context.cloned()
    }
}

/// Shows the context of the attempt to layers that look for it in the request.
pub(super) fn set_request_context(parts: &mut Parts, context: Option<&Context>) {
    let stored = parts.extensions.get_mut::<Context>();
    if let (Some(stored), Some(context)) = (stored, context) {
        *stored = context.clone();
    }
}
