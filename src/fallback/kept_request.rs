use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::Body;
use tokio::time::Instant;

use super::Failed;
use crate::{
    context::{Context, earlier},
    protocol::{GRPC_TIMEOUT, REPLAY_CAP, may_be_done_twice, write_grpc_timeout},
    retry::ReplayBody,
};

/// A request that may have to go to another service.
pub struct KeptRequest<B> {
    parts: Parts,
    body: KeptBody<B>,
    repeatable: bool,
    /// When the deadline of the request's context is.
    deadline: Option<Instant>,
    /// When its `grpc-timeout` is over.
    told: Option<Instant>,
}

/// Nobody wants it again once this is dropped: an upload may run on for hours after it was answered.
struct KeptBody<B>(Option<ReplayBody<B>>);

impl<B: Body<Data = Bytes>> KeptRequest<B> {
    /// Returns what is to be sent, and what is kept of it.
    pub(super) fn of(
        request: Request<B>,
        time_limit: Option<Duration>,
    ) -> (Request<ReplayBody<B>>, Self) {
        let (parts, body) = request.into_parts();
        let repeatable = may_be_done_twice(&parts.method, &parts.headers);
        // One that must not be done twice only goes to another service as long as nothing was read of it.
        let body = ReplayBody::new(body, if repeatable { REPLAY_CAP } else { 0 });
        let sent = body.again().expect("nothing was read of it");
        let kept = KeptRequest {
            deadline: parts.extensions.get().and_then(Context::deadline),
            told: time_limit.and_then(|time| Instant::now().checked_add(time)),
            parts: parts.clone(),
            body: KeptBody(Some(body)),
            repeatable,
        };
        (Request::from_parts(parts, sent), kept)
    }
}

impl<B> KeptRequest<B> {
    /// Returns whether another service may be sent it, after this failure.
    pub(super) fn may_go_again(&self, failed: &Failed<'_>) -> bool {
        let Some(body) = &self.body.0 else {
            return false;
        };
        if self.repeatable {
            return body.can_go_again();
        }
        // A handler that has done half of its work can answer with a refusal, too. That it has read nothing tells nothing
        // where there is nothing to read.
        let telling = !(failed.at_server && body.is_empty());
        let was_refused = telling && failed.was_refused();
        body.is_untouched() && (was_refused || failed.never_reached())
    }

    /// Until when it is waited for, as far as it says so itself.
    pub(super) fn until(&self) -> Option<Instant> {
        earlier(self.deadline, self.told)
    }

    /// The request once more, of which any earlier sending ends. None if its body was read, and is gone.
    pub(super) fn again(self) -> Option<Request<ReplayBody<B>>> {
        let body = self.body.0.as_ref()?.again()?;
        let mut parts = self.parts;
        // The time that has passed is gone for the other service, too.
        if let Some(told) = self.told {
            let left = write_grpc_timeout(told.saturating_duration_since(Instant::now()));
            parts.headers.insert(GRPC_TIMEOUT, left);
        }
        Some(Request::from_parts(parts, body))
    }
}

impl<B> Drop for KeptBody<B> {
    fn drop(&mut self) {
        if let Some(body) = self.0.take() {
            body.release();
        }
    }
}

impl<B> fmt::Debug for KeptRequest<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRequest")
            .field("repeatable", &self.repeatable)
            .finish_non_exhaustive()
    }
}
