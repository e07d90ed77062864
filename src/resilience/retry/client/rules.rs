use std::{fmt, sync::Arc};

use http::{HeaderName, request::Parts};

use crate::call::quietly;

/// What is kept of a request body by default, in bytes: more than most have, little enough for thousands of calls.
const DEFAULT_CAP: usize = 64 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

type Repeatable = dyn Fn(&Parts) -> bool + Send + Sync;

/// How requests are sent again, whatever their protocol.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) cap: usize,
    pub(super) repeatable: Option<Arc<Repeatable>>,
    pub(super) announce: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            cap: DEFAULT_CAP,
            repeatable: None,
            announce: true,
        }
    }
}

impl Rules {
    /// Whether the request may be sent twice.
    pub(super) fn may_repeat(&self, request: &Parts) -> bool {
        match &self.repeatable {
            // One that panics does not send anything twice.
            Some(which) => quietly(|| which(request)).unwrap_or(false),
            None => request.method.is_idempotent() || request.headers.contains_key(IDEMPOTENCY_KEY),
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("cap", &self.cap)
            .field("announce", &self.announce)
            .finish_non_exhaustive()
    }
}
