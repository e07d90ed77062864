//! Makes a request the common one of all that share its call.

use http::HeaderName;

use crate::{
    context::Context,
    protocol::{ReadRequest, remove_grpc_timeout},
};

/// Removes how long the caller waits: others wait for the same call, and maybe longer.
pub(super) fn remove_deadline<P: ReadRequest<Req>, Req>(
    request: &mut Req,
    timeout_header: Option<&HeaderName>,
) {
    if let Some(context) = P::extensions_mut(request).and_then(|all| all.get_mut::<Context>()) {
        *context = context.without_deadline();
    }
    let Some(headers) = P::headers_mut(request) else {
        return;
    };
    // Whether or not it means anything to us: the peer, or a proxy before it, may read it in another way.
    remove_grpc_timeout(headers);
    if let Some(name) = timeout_header {
        headers.remove(name);
    }
}
