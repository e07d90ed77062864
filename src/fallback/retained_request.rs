use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::Body;
use tokio::time::Instant;

use super::FailedCall;
use crate::{
    context::{Context, min_some},
    protocol::{DEFAULT_MAX_REPLAY_BYTES, is_idempotent, set_grpc_timeout},
    retry::ReplayBody,
};

/// The retained part of a request that may have to be sent to another service.
pub struct RetainedRequest<B> {
    parts: Parts,
    body: RetainedBody<B>,
    is_idempotent: bool,
    /// The deadline of the request's context.
    deadline: Option<Instant>,
    /// The end of the request's `grpc-timeout`.
    grpc_deadline: Option<Instant>,
}

/// The body of a retained request. Releases the buffer when dropped, since an upload may go on for hours after the call has
/// been responded to.
struct RetainedBody<B>(Option<ReplayBody<B>>);

impl<B: Body<Data = Bytes>> RetainedRequest<B> {
    /// Splits a request into what is sent and what is retained of it.
    pub(super) fn retain(
        request: Request<B>,
        time_limit: Option<Duration>,
    ) -> (Request<ReplayBody<B>>, Self) {
        let (parts, body) = request.into_parts();
        let is_idempotent = is_idempotent(&parts.method, &parts.headers);
        // A request that must not be repeated is only sent to another service if nothing of it was read.
        let body = ReplayBody::new(
            body,
            if is_idempotent {
                DEFAULT_MAX_REPLAY_BYTES
            } else {
                0
            },
        );
        let sent = body.replay().expect("a new body is unread");
        let retained = RetainedRequest {
            deadline: parts.extensions.get().and_then(Context::deadline),
            // The clock is read only for a request with a limit.
            grpc_deadline: time_limit.and_then(|time| Instant::now().checked_add(time)),
            // The first service may change its copy.
            parts: parts.clone(),
            body: RetainedBody(Some(body)),
            is_idempotent,
        };
        (Request::from_parts(parts, sent), retained)
    }
}

impl<B> RetainedRequest<B> {
    /// Returns whether the request may be sent to another service after this failure.
    pub(super) fn may_resend(&self, failed: &FailedCall<'_>) -> bool {
        let Some(body) = &self.body.0 else {
            return false;
        };
        if self.is_idempotent {
            return body.is_replayable();
        }
        // A handler that has done half of its work can respond with a rejection, too. An unread body proves that it has
        // not begun, but an empty one proves nothing.
        let is_proof = !(failed.is_server && body.is_empty());
        let was_rejected = is_proof && failed.was_rejected();
        body.is_unread() && (was_rejected || failed.was_not_sent())
    }

    /// Returns when the caller stops waiting, if the request says so.
    pub(super) fn caller_deadline(&self) -> Option<Instant> {
        min_some(self.deadline, self.grpc_deadline)
    }

    /// Returns the request for another service, which ends reading the body for the first. None if the body is no longer
    /// replayable.
    pub(super) fn into_request(self) -> Option<Request<ReplayBody<B>>> {
        // From here on the first service can read no more of the body.
        let body = self.body.0.as_ref()?.replay()?;
        let mut parts = self.parts;
        // The other service only has the time that is left.
        if let Some(deadline) = self.grpc_deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            set_grpc_timeout(&mut parts.headers, left);
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
        f.debug_struct("RetainedRequest")
            .field("is_idempotent", &self.is_idempotent)
            .finish_non_exhaustive()
    }
}
