use http::Extensions;
use tokio::time::Instant;

// INTEGRATE: goes, and `crate::guard::upload::Upload` takes its place; see `Upload::of` for where it is found.
/// How far the body of a request has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Upload {
    stalled: bool,
}

impl Upload {
    /// Finds that of a request.
    #[inline]
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }

    /// Whether the time from `began` to `now` was spent waiting for the caller.
    pub(super) fn blames_caller_for_timeout(&self, _began: Instant, _now: Instant) -> bool {
        self.stalled
    }

    #[cfg(test)]
    pub(super) fn stalled(stalled: bool) -> Self {
        Upload { stalled }
    }
}
