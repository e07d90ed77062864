use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http_body::SizeHint;
use tokio::time::Instant;

use super::{UploadReporter, progress::UploadProgress};
use crate::protocol::grpc_framing::{FrameScanner, FramingError};

/// The progress of one request's body, by which calls that send it are classified. Clones share the same body.
///
/// Lives in the extensions of its request, where inner layers find it.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    shared: Arc<Mutex<UploadProgress>>,
    /// The time spent waiting for the body before this call began.
    waited_before: Duration,
}

impl Upload {
    /// Returns the same body for a call that begins now, without the time spent waiting so far. `None` if the body has ended or
    /// failed.
    pub(crate) fn for_new_call(&self) -> Option<Self> {
        let progress = *self.lock();
        let is_over = progress.is_complete() || progress.is_broken();
        (!is_over).then(|| Upload {
            shared: self.shared.clone(),
            waited_before: progress.waited(),
        })
    }

    /// Returns the reporter of the body, unless there is one already.
    pub(crate) fn reporter(
        &self,
        hint: &SizeHint,
        frames: Option<FrameScanner>,
    ) -> Option<UploadReporter> {
        let is_first = self.lock().claim_reporter();
        is_first.then(|| UploadReporter::new(self.clone(), hint, frames))
    }

    /// Returns whether the body failed, was reset, or was shorter than its announced length.
    pub(crate) fn is_broken(&self) -> bool {
        self.lock().is_broken()
    }

    /// Returns the time spent waiting for the caller so far.
    pub(crate) fn waited(&self) -> Duration {
        let waited = self.lock().waited_until(Instant::now);
        waited.saturating_sub(self.waited_before)
    }

    /// Returns whether its gRPC messages had a [`framing_error`](Self::framing_error).
    pub(crate) fn is_malformed(&self) -> bool {
        self.framing_error().is_some()
    }

    /// Returns the framing error of its gRPC messages, if they are scanned. Known at the first invalid byte, otherwise at the end;
    /// unknown as long as the body is not read.
    pub(crate) fn framing_error(&self) -> Option<FramingError> {
        self.lock().framing_error()
    }

    /// Returns whether a timeout of the call is the caller's fault: its body broke off, more of it was waited for, or had been for
    /// more than half of the time.
    ///
    /// To be called when the time is up; that the call has been dropped meanwhile, with its body, changes nothing.
    pub(crate) fn blames_caller_for_timeout(&self, began: Instant, now: Instant) -> bool {
        self.lock().blames_caller(self.waited_before, began, now)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, UploadProgress> {
        // The drop of a reporter takes it, and must not panic.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a body that the consumer waits for, or takes as it comes.
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
