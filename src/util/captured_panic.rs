use std::{fmt, panic::resume_unwind};

use tracing::Level;

use super::{
    hook::panic_message,
    panics::{MAX_MESSAGE, PanicDetails, PanicPayload, stash, take_stashed},
    text::truncate,
};

/// A panic that was caught, with its details. Boxed, so that results do not grow for what hardly ever happens.
pub struct CapturedPanic(Box<CapturedInner>);

struct CapturedInner {
    payload: PanicPayload,
    details: Option<Box<PanicDetails>>,
}

impl CapturedPanic {
    #[cold]
    pub(crate) fn new(thrown: PanicPayload) -> Self {
        // A panic that bypassed the hook must not get the details of an earlier one that other code caught.
        // The message is truncated as the hook has done it, or a long one would never be equal.
        let message = truncate(panic_message(&*thrown), MAX_MESSAGE);
        let seen = take_stashed().filter(|seen| {
            let is_own = seen.message == message;
            if !is_own {
                seen.report_caught();
            }
            is_own
        });
        CapturedPanic(Box::new(CapturedInner {
            payload: thrown,
            details: seen,
        }))
    }

    pub(crate) fn message(&self) -> &str {
        panic_message(&*self.0.payload)
    }

    pub(crate) fn details(&self) -> Option<&PanicDetails> {
        self.0.details.as_deref()
    }

    /// Reports the panic of a hook, which no call reports.
    pub(crate) fn report_hook(&self) {
        if let Some(seen) = self.details() {
            seen.report("a hook panicked", Level::ERROR);
        }
    }

    /// Resumes the panic.
    pub(crate) fn resume(self) -> ! {
        let CapturedInner {
            payload: thrown,
            details: seen,
        } = *self.0;
        if let Some(seen) = seen {
            // For whoever catches it next: the panic hook does not run again.
            stash(seen);
        }
        resume_unwind(thrown)
    }
}

impl fmt::Debug for CapturedPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CapturedPanic")
            .field(&self.message())
            .finish()
    }
}
