use std::{error::Error, fmt, sync::Arc};

use http::request::Parts;

use super::{super::policy::Unsent, unsent::proof};
use crate::{call::quietly, resilience::may_be_done_twice};

/// What is kept of a request body by default, in bytes: more than most have, little enough for thousands of calls.
const DEFAULT_CAP: usize = 64 * 1024;

type Repeatable = dyn Fn(&Parts) -> bool + Send + Sync;
type NeverSent = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

/// How requests are sent again, whatever their protocol.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) cap: usize,
    pub(super) repeatable: Option<Arc<Repeatable>>,
    pub(super) announce: bool,
    pub(super) free_repeats: bool,
    pub(super) never_sent: Option<Arc<NeverSent>>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            cap: DEFAULT_CAP,
            repeatable: None,
            announce: true,
            free_repeats: true,
            never_sent: None,
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

    /// Whether the error proves that nothing has come of the request.
    pub(super) fn unsent(&self, error: &(dyn Error + 'static)) -> Option<Unsent> {
        let told = || {
            let never_sent = self.never_sent.as_ref()?;
            // One that panics proves nothing.
            let told = quietly(|| never_sent(error)).unwrap_or(false);
            told.then_some(Unsent::Unconnected)
        };
        proof(error).or_else(told).filter(|_| self.free_repeats)
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
