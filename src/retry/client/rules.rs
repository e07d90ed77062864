use std::{error::Error, fmt, sync::Arc, time::SystemTime};

use http::{request::Parts, response};

use super::super::Hint;
use crate::{
    call::{Unsent, quietly, unsent},
    protocol::{REPLAY_CAP, may_be_done_twice},
};

type Repeatable = dyn Fn(&Parts) -> bool + Send + Sync;
type NeverSent = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;
type ReadHint = dyn Fn(&response::Parts) -> Option<Hint> + Send + Sync;

/// How requests are sent again, whatever their protocol.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) cap: usize,
    pub(super) repeatable: Option<Arc<Repeatable>>,
    pub(super) announce: bool,
    pub(super) free_repeats: bool,
    pub(super) never_sent: Option<Arc<NeverSent>>,
    pub(super) hint: Option<Arc<ReadHint>>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            cap: REPLAY_CAP,
            repeatable: None,
            announce: true,
            free_repeats: false,
            never_sent: None,
            hint: None,
        }
    }
}

impl Rules {
    /// Whether the request may be sent twice.
    pub(super) fn may_repeat(&self, request: &Parts) -> bool {
        match &self.repeatable {
            // One that panics does not send anything twice.
            Some(which) => quietly(|| which(request)).unwrap_or(false),
            None => may_be_done_twice(&request.method, &request.headers),
        }
    }

    /// Returns whether there are errors upon which any request is sent again.
    pub(super) fn repeats_unsent(&self) -> bool {
        self.free_repeats || self.never_sent.is_some()
    }

    /// Returns whether the error proves that the peer never began the request, as far as that may be acted upon.
    pub(super) fn unsent(&self, error: &(dyn Error + 'static)) -> Option<Unsent> {
        let proof = || unsent(error).filter(|_| self.free_repeats);
        let configured = || {
            let never_sent = self.never_sent.as_ref()?;
            // One that panics proves nothing.
            let proves = quietly(|| never_sent(error)).unwrap_or(false);
            proves.then_some(Unsent::Unconnected)
        };
        proof().or_else(configured)
    }

    /// Returns what the head of a failed response says about another attempt.
    pub(super) fn hint(&self, head: &response::Parts, now: SystemTime) -> Option<Hint> {
        let configured = || quietly(|| self.hint.as_ref()?(head)).flatten();
        configured().or_else(|| Hint::from_headers(&head.headers, now))
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("cap", &self.cap)
            .field("announce", &self.announce)
            .field("free_repeats", &self.free_repeats)
            .finish_non_exhaustive()
    }
}
