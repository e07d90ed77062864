use http::HeaderMap;
use tokio::time::Instant;

use super::{WaitLimit, target::LimitTarget, too_many::pause_of_response};
use crate::protocol::{Protocol, ResponseHead, Side, WireFormat};

/// The limit of a call for which its response matters: that of a client, which obeys its peer, and of a server that sends the
/// fields with every response. Empty for others, which need not count a reference.
pub(super) struct LimitObserver(Option<LimitTarget>);

impl LimitObserver {
    #[inline]
    pub(super) fn new<P: Protocol, Req>(limit: &impl WaitLimit<Req>, request: &Req) -> Self {
        let is_needed = P::SIDE == Side::Client || limit.has_fields(false);
        LimitObserver(is_needed.then(|| limit.target(request)).flatten())
    }

    /// Creates the observer of a call that was rejected, whose response may have the fields.
    pub(super) fn of_rejection(target: Option<LimitTarget>) -> Self {
        LimitObserver(target.filter(|target| target.control().fields.has(true)))
    }

    /// Empties the limit of a client whose peer says that it is called too often.
    #[inline]
    pub(super) fn on_head<P: Protocol>(&self, head: Option<ResponseHead<'_>>, wire: WireFormat) {
        if P::SIDE == Side::Client
            && let (Some(target), Some(head)) = (&self.0, head)
            && let Some(pause) = pause_of_response(head, wire)
        {
            target.empty_for_peer(Instant::now(), pause);
        }
    }

    /// Adds the fields to a response of a server.
    #[inline]
    pub(super) fn append_fields<P: Protocol>(&self, headers: &mut HeaderMap, wire: WireFormat) {
        if P::SIDE == Side::Server
            && !wire.is_grpc()
            && let Some(target) = &self.0
        {
            target.append_fields(headers, Instant::now());
        }
    }
}
