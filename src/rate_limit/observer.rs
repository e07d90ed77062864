use std::{error::Error, fmt, time::Duration};

use http::HeaderMap;
use tokio::time::Instant;

use super::{
    target::LimitTarget,
    too_many::{pause_of_failure, pause_of_response, pause_of_trailers},
    wait_limit::WaitLimit,
};
use crate::protocol::{Protocol, ResponseHead, Side, WireFormat, error_outcome};

/// The limit of a call for which its response matters: that of a client, which obeys its peer, and of a server that sends the
/// fields with every response. Empty for others, which need not count a reference.
#[derive(Default)]
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
    pub(super) fn on_head<P: Protocol>(
        &mut self,
        head: Option<ResponseHead<'_>>,
        wire: WireFormat,
    ) {
        if P::SIDE == Side::Client
            && self.0.is_some()
            && let Some(pause) = head.and_then(|head| pause_of_response(head, wire))
        {
            self.empty(pause);
        }
    }

    /// Does the same for an error, such as a `tonic::Status`.
    pub(super) fn on_error<P: Protocol>(&mut self, error: Option<&(dyn Error + 'static)>) {
        if P::SIDE == Side::Client
            && self.0.is_some()
            && let Some(error) = error
            && let Some(pause) = pause_of_failure(error_outcome(error), Some(error))
        {
            self.empty(pause);
        }
    }

    /// Does the same for trailers, which have the status of a gRPC call that had a body.
    pub(super) fn on_trailers(&mut self, trailers: &HeaderMap) {
        if self.0.is_some()
            && let Some(pause) = pause_of_trailers(trailers)
        {
            self.empty(pause);
        }
    }

    /// Empties the limit, once for a call.
    #[cold]
    fn empty(&mut self, pause: Option<Duration>) {
        if let Some(target) = self.0.take() {
            target.empty_for_peer(Instant::now(), pause);
        }
    }

    /// Adds the fields to the head of a server's response. Returns what is left to observe: the trailers of a client's gRPC call.
    #[inline]
    pub(super) fn pass_head<P: Protocol>(
        self,
        headers: &mut HeaderMap,
        wire: WireFormat,
    ) -> LimitObserver {
        self.append_fields::<P>(headers, wire);
        match P::SIDE == Side::Client && wire.is_grpc() {
            true => self,
            false => LimitObserver::default(),
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

impl fmt::Debug for LimitObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_ref().map(LimitTarget::name);
        f.debug_tuple("LimitObserver").field(&name).finish()
    }
}
