use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{Run, WorkflowId, Workflows};

/// A run that its future, its steps and those who look share. Its lock is held for no more than one change or one copy.
pub(crate) struct LiveRun {
    pub(crate) id: WorkflowId,
    workflows: Weak<Workflows>,
    started: Instant,
    run: Mutex<Run>,
    /// True if it has changed since it was written to the file.
    is_dirty: AtomicBool,
}

impl LiveRun {
    pub(crate) fn new(run: Run, started: Instant, workflows: Weak<Workflows>) -> Self {
        LiveRun {
            id: run.id,
            workflows,
            started,
            run: Mutex::new(run),
            is_dirty: AtomicBool::new(false),
        }
    }

    /// Looks at the run.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Run) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the run: the closure gets the time since the start, and whether there is memory for more.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Run, Duration, bool) -> R) -> R {
        let workflows = self.workflows.upgrade();
        let has_room = workflows.as_ref().is_none_or(|all| all.has_room());
        let now = Instant::now();
        let mut run = self.lock();
        let (bytes, dropped) = (run.bytes(), run.dropped);
        // After the lock, so that steps begin in the order of their times.
        let result = change(
            &mut run,
            now.saturating_duration_since(self.started),
            has_room,
        );
        let (bytes, dropped) = (run.bytes().wrapping_sub(bytes), run.dropped - dropped);
        drop(run);
        self.is_dirty.store(true, Ordering::Relaxed);
        if let Some(all) = workflows {
            all.account(bytes, dropped);
        }
        result
    }

    /// Says that a state has changed.
    pub(super) fn notify(&self) {
        if let Some(all) = self.workflows.upgrade() {
            all.notify();
        }
    }

    /// Returns the workflows that it belongs to, if they are still there.
    pub(super) fn workflows(&self) -> Option<std::sync::Arc<Workflows>> {
        self.workflows.upgrade()
    }

    /// Returns true if it has changed since it was asked before.
    pub(super) fn take_dirty(&self) -> bool {
        self.is_dirty.swap(false, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LiveRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveRun")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
