//! Retries over HTTP and gRPC clients: which requests may be sent twice, and what a response says about retrying.

mod attempts;
mod body;
mod headers;
mod request_context;

use std::{error::Error, fmt, sync::Arc, time::SystemTime};

use http::{StatusCode, request, response};

use super::{ReplayBody, RetryAfter};
use crate::{
    call::{GrpcCode, NotSent, not_sent},
    protocol::{DEFAULT_MAX_REPLAY_BYTES, HttpExchange, is_idempotent},
    util::hook::catch_hook,
};

pub use attempts::HttpAttempts;
pub use body::RetryBody;

type RetryIfRequest = dyn Fn(&request::Parts) -> bool + Send + Sync;
type ErrorPredicate = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;
type RetryAfterReader = dyn Fn(&response::Parts) -> Option<RetryAfter> + Send + Sync;

/// The rules for retries of an HTTP client. Part of a [`RetryLayer`](super::RetryLayer)'s type.
pub struct HttpRetry<M = ()> {
    map: Arc<M>,
    pub(super) max_replay_bytes: usize,
    pub(super) retry_if_request: Option<Arc<RetryIfRequest>>,
    pub(super) send_attempt_header: bool,
    pub(super) retry_unsent: bool,
    pub(super) unsent_if: Option<Arc<ErrorPredicate>>,
    pub(super) read_retry_after: Option<Arc<RetryAfterReader>>,
}

impl HttpRetry {
    pub(super) fn new() -> Self {
        HttpRetry {
            map: Arc::new(()),
            max_replay_bytes: DEFAULT_MAX_REPLAY_BYTES,
            retry_if_request: None,
            send_attempt_header: true,
            retry_unsent: false,
            unsent_if: None,
            read_retry_after: None,
        }
    }
}

impl<M> HttpRetry<M> {
    pub(super) fn with_map<N>(&self, map: N) -> HttpRetry<N> {
        self.with_shared_map(Arc::new(map))
    }

    fn with_shared_map<N>(&self, map: Arc<N>) -> HttpRetry<N> {
        // Field by field, since the rest of another type cannot be taken over.
        HttpRetry {
            map,
            max_replay_bytes: self.max_replay_bytes,
            retry_if_request: self.retry_if_request.clone(),
            send_attempt_header: self.send_attempt_header,
            retry_unsent: self.retry_unsent,
            unsent_if: self.unsent_if.clone(),
            read_retry_after: self.read_retry_after.clone(),
        }
    }

    /// Returns whether the request may be sent twice.
    fn is_repeatable(&self, request: &request::Parts) -> bool {
        match &self.retry_if_request {
            // A closure that panics allows nothing: a payment that is made twice is worse than an error.
            Some(predicate) => catch_hook(|| predicate(request)).unwrap_or(false),
            None => is_idempotent(&request.method, &request.headers),
        }
    }

    /// Returns whether there are errors after which any request is sent again.
    fn may_retry_unsent(&self) -> bool {
        self.retry_unsent || self.unsent_if.is_some()
    }

    /// Returns the proof that the peer never began the request, if such requests are to be sent again.
    fn not_sent(&self, error: &(dyn Error + 'static)) -> Option<NotSent> {
        let proof = || not_sent(error).filter(|_| self.retry_unsent);
        let configured = || {
            let predicate = self.unsent_if.as_ref()?;
            // Treated as a connection that was never made: only a normal retry, with its backoff, follows.
            let is_unsent = catch_hook(|| predicate(error)).unwrap_or(false);
            is_unsent.then_some(NotSent::NoConnection)
        };
        // The transport's proof first: it may allow to send the request again at once.
        proof().or_else(configured)
    }

    /// Returns what the head of a failed response says about another attempt.
    fn retry_after(&self, head: &response::Parts) -> Option<RetryAfter> {
        // A closure that panics has read nothing, so the usual headers count.
        let configured = || catch_hook(|| self.read_retry_after.as_ref()?(head)).flatten();
        configured().or_else(|| RetryAfter::from_headers(&head.headers, SystemTime::now()))
    }
}

impl<M> Clone for HttpRetry<M> {
    fn clone(&self) -> Self {
        self.with_shared_map(self.map.clone())
    }
}

impl<M> fmt::Debug for HttpRetry<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRetry")
            .field("max_replay_bytes", &self.max_replay_bytes)
            .field("send_attempt_header", &self.send_attempt_header)
            .field("retry_unsent", &self.retry_unsent)
            .finish_non_exhaustive()
    }
}

/// Returns the code of a gRPC response, or what gRPC's clients derive from its status if it has none.
fn grpc_code(exchange: &HttpExchange, status: StatusCode) -> Option<GrpcCode> {
    let derived = match status.as_u16() {
        429 | 502 | 503 | 504 => GrpcCode::UNAVAILABLE,
        _ => GrpcCode::UNKNOWN,
    };
    let code = exchange.grpc_code().unwrap_or(derived);
    exchange.is_grpc().then_some(code)
}

/// Converts the replayable request body into the body that the service takes. Closures implement it; `()` converts
/// nothing.
pub trait MapBody<B> {
    /// The body that the service takes.
    type Body;
    fn map_body(&self, body: ReplayBody<B>) -> Self::Body;
}

impl<B> MapBody<B> for () {
    type Body = ReplayBody<B>;
    fn map_body(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }
}

impl<B, F: Fn(ReplayBody<B>) -> T, T> MapBody<B> for F {
    type Body = T;
    fn map_body(&self, body: ReplayBody<B>) -> T {
        self(body)
    }
}
