use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::Body;
use tokio::time::Instant;

use super::FailedCall;
use crate::{
    context::{Context, min_some},
    protocol::{GRPC_TIMEOUT, REPLAY_CAP, may_be_done_twice, write_grpc_timeout},
    retry::ReplayBody,
};

/// A request that may have to go to another service.
pub struct RetainedRequest<B> {
    parts: Parts,
    body: RetainedBody<B>,
    is_idempotent: bool,
    /// When the deadline of the request's context is.
    deadline: Option<Instant>,
    /// When its `grpc-timeout` is over.
    grpc_deadline: Option<Instant>,
}

/// Nobody wants it again once this is dropped: an upload may run on for hours after it was answered.
struct RetainedBody<B>(Option<ReplayBody<B>>);

impl<B: Body<Data = Bytes>> RetainedRequest<B> {
    /// Returns what is to be sent, and what is kept of it.
    pub(super) fn retain(
        request: Request<B>,
        time_limit: Option<Duration>,
    ) -> (Request<ReplayBody<B>>, Self) {
        let (parts, body) = request.into_parts();
        let repeatable = may_be_done_twice(&parts.method, &parts.headers);
        // One that must not be done twice only goes to another service as long as nothing was read of it.
        let body = ReplayBody::new(body, if repeatable { REPLAY_CAP } else { 0 });
        let sent = body.replay().expect("nothing was read of it");
        let kept = RetainedRequest {
            deadline: parts.extensions.get().and_then(Context::deadline),
            grpc_deadline: time_limit.and_then(|time| Instant::now().checked_add(time)),
            parts: parts.clone(),
            body: RetainedBody(Some(body)),
            is_idempotent: repeatable,
        };
        (Request::from_parts(parts, sent), kept)
    }
}

impl<B> RetainedRequest<B> {
    /// Returns whether another service may be sent it, after this failure.
    pub(super) fn may_resend(&self, failed: &FailedCall<'_>) -> bool {
        let Some(body) = &self.body.0 else {
            return false;
        };
        if self.is_idempotent {
            return body.is_replayable();
        }
        // A handler that has done half of its work can answer with a refusal, too. That it has read nothing tells nothing
        // where there is nothing to read.
        let telling = !(failed.is_server && body.is_empty());
        let was_refused = telling && failed.was_rejected();
        body.is_unread() && (was_refused || failed.was_not_sent())
    }

    /// Until when it is waited for, as far as it says so itself.
    pub(super) fn caller_deadline(&self) -> Option<Instant> {
        min_some(self.deadline, self.grpc_deadline)
    }

    /// The request once more, of which any earlier sending ends. None if its body was read, and is gone.
    pub(super) fn into_request(self) -> Option<Request<ReplayBody<B>>> {
        let body = self.body.0.as_ref()?.replay()?;
        let mut parts = self.parts;
        // The time that has passed is gone for the other service, too.
        if let Some(told) = self.grpc_deadline {
            let left = write_grpc_timeout(told.saturating_duration_since(Instant::now()));
            parts.headers.insert(GRPC_TIMEOUT, left);
        }
        Some(Request::from_parts(parts, body))
    }
}

impl<B> Drop for RetainedBody<B> {
    fn drop(&mut self) {
        if let Some(body) = self.0.take() {
            body.release_buffer();
        }
    }
}

impl<B> fmt::Debug for RetainedRequest<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRequest")
            .field("repeatable", &self.is_idempotent)
            .finish_non_exhaustive()
    }
}
