use std::{error::Error, fmt, sync::Arc, time::SystemTime};

use http::{request::Parts, response};

use super::super::RetryAfter;
use crate::{
    call::{NotSent, catch_hook, not_sent},
    protocol::{REPLAY_CAP, may_be_done_twice},
};

type RequestPredicate = dyn Fn(&Parts) -> bool + Send + Sync;
type UnsentPredicate = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;
type RetryAfterReader = dyn Fn(&response::Parts) -> Option<RetryAfter> + Send + Sync;

/// How requests are sent again, whatever their protocol.
#[derive(Clone)]
pub(super) struct HttpRules {
    pub(super) max_replay_bytes: usize,
    pub(super) retry_if_request: Option<Arc<RequestPredicate>>,
    pub(super) send_attempt_header: bool,
    pub(super) retry_unsent: bool,
    pub(super) unsent_if: Option<Arc<UnsentPredicate>>,
    pub(super) read_retry_after: Option<Arc<RetryAfterReader>>,
}

impl Default for HttpRules {
    fn default() -> Self {
        HttpRules {
            max_replay_bytes: REPLAY_CAP,
            retry_if_request: None,
            send_attempt_header: true,
            retry_unsent: false,
            unsent_if: None,
            read_retry_after: None,
        }
    }
}

impl HttpRules {
    /// Whether the request may be sent twice.
    pub(super) fn is_repeatable(&self, request: &Parts) -> bool {
        match &self.retry_if_request {
            // One that panics does not send anything twice.
            Some(which) => catch_hook(|| which(request)).unwrap_or(false),
            None => may_be_done_twice(&request.method, &request.headers),
        }
    }

    /// Returns whether there are errors upon which any request is sent again.
    pub(super) fn may_retry_unsent(&self) -> bool {
        self.retry_unsent || self.unsent_if.is_some()
    }

    /// Returns whether the error proves that the peer never began the request, as far as that may be acted upon.
    pub(super) fn not_sent(&self, error: &(dyn Error + 'static)) -> Option<NotSent> {
        let proof = || not_sent(error).filter(|_| self.retry_unsent);
        let configured = || {
            let never_sent = self.unsent_if.as_ref()?;
            // One that panics proves nothing.
            let proves = catch_hook(|| never_sent(error)).unwrap_or(false);
            proves.then_some(NotSent::NoConnection)
        };
        proof().or_else(configured)
    }

    /// Returns what the head of a failed response says about another attempt.
    pub(super) fn retry_after(
        &self,
        head: &response::Parts,
        now: SystemTime,
    ) -> Option<RetryAfter> {
        let configured = || catch_hook(|| self.read_retry_after.as_ref()?(head)).flatten();
        configured().or_else(|| RetryAfter::from_headers(&head.headers, now))
    }
}

impl fmt::Debug for HttpRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("cap", &self.max_replay_bytes)
            .field("announce", &self.send_attempt_header)
            .field("free_repeats", &self.retry_unsent)
            .finish_non_exhaustive()
    }
}
