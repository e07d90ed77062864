use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http_body::SizeHint;
use tokio::time::Instant;

use super::{UploadReporter, progress::UploadProgress};
use crate::protocol::grpc_framing::{FrameScanner, FramingError};

/// The progress of one request's body, for whoever judges a call that sends it. A clone tells of the same body.
///
/// Lives in the extensions of its request, where inner layers find it.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    shared: Arc<Mutex<UploadProgress>>,
    /// How long the body had been waited for when the call began that this is for.
    waited_before: Duration,
}

impl Upload {
    /// Returns the same body, for a call that begins now: what was waited for it so far is not counted. None if it is over,
    /// well or badly.
    pub(crate) fn for_new_call(&self) -> Option<Self> {
        let progress = *self.lock();
        let is_over = progress.is_complete() || progress.is_broken();
        (!is_over).then(|| Upload {
            shared: self.shared.clone(),
            waited_before: progress.waited(),
        })
    }

    /// Returns what reports on the body, unless there is one already: a body is reported on once.
    pub(crate) fn reporter(
        &self,
        hint: &SizeHint,
        frames: Option<FrameScanner>,
    ) -> Option<UploadReporter> {
        let is_first = self.lock().claim_reporter();
        is_first.then(|| UploadReporter::new(self.clone(), hint, frames))
    }

    /// Returns whether the body failed, was reset, or ended before the length that it had promised.
    pub(crate) fn is_broken(&self) -> bool {
        self.lock().is_broken()
    }

    /// Returns how long the caller was waited for so far.
    pub(crate) fn waited(&self) -> Duration {
        let waited = self.lock().waited_until(Instant::now);
        waited.saturating_sub(self.waited_before)
    }

    /// Returns whether its gRPC messages had a [`framing_error`](Self::framing_error).
    pub(crate) fn is_malformed(&self) -> bool {
        self.framing_error().is_some()
    }

    /// Returns what was wrong with its gRPC messages, if somebody looked. Known at the first byte that cannot be right,
    /// else at the end; nothing is known of a body that was not read so far.
    pub(crate) fn framing_error(&self) -> Option<FramingError> {
        self.lock().framing_error()
    }

    /// Returns whether time that ran out for a call is the caller's doing: it has broken off, more of the body was
    /// awaited, or had been for more than half of the time.
    ///
    /// To be asked when the time is up; that the call has been dropped in the meantime, and its body with it, changes
    /// nothing.
    pub(crate) fn blames_caller_for_timeout(&self, began: Instant, now: Instant) -> bool {
        self.lock().blames_caller(self.waited_before, began, now)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, UploadProgress> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body that the consumer waits for, or takes as it comes.
    #[cfg(test)]
    pub(crate) fn stalled(stalled: bool) -> Self {
        let upload = Upload::default();
        if stalled {
            upload.lock().start_wait(Instant::now());
        }
        upload
    }

    #[cfg(test)]
    pub(super) fn ptr_eq(&self, other: &Upload) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}
