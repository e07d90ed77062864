use std::{fmt, sync::Arc};

use http::Request;

use super::RequestHead;
use crate::call::catch_hook;

/// A user's closure that chooses requests.
#[derive(Clone)]
pub(crate) struct RequestPredicate(Arc<dyn Fn(&RequestHead<'_>) -> bool + Send + Sync>);

impl RequestPredicate {
    pub(crate) fn new(
        predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        RequestPredicate(Arc::new(predicate))
    }

    /// Returns what the closure says; `false` if it panics.
    pub(crate) fn matches<B>(&self, request: &Request<B>) -> bool {
        // Nobody is trusted, and nothing is shown or left out, because a predicate panics.
        catch_hook(|| (self.0)(&RequestHead::from_request(request))).unwrap_or(false)
    }
}

impl fmt::Debug for RequestPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestPredicate")
    }
}
