//! The context of a request, which its attempts share.

use http::request::Parts;

use crate::context::Context;

/// Returns the context of a request. One that may be sent again gets a new context if there is none at all.
#[inline]
pub(super) fn shared_context(parts: &Parts, is_buffered: bool) -> Option<Context> {
    let context = parts.extensions.get::<Context>();
    if is_buffered && context.is_none() && Context::peek(|current| current.is_none()) {
        // Otherwise a layer inside would begin a trace for each attempt.
        return Some(Context::new_root());
    }
    context.cloned()
}

/// Shows the context of the attempt to layers that look for it in the request.
pub(super) fn set_request_context(parts: &mut Parts, context: Option<&Context>) {
    let stored = parts.extensions.get_mut::<Context>();
    if let (Some(stored), Some(context)) = (stored, context) {
        *stored = context.clone();
    }
}
