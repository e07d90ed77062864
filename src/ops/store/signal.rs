use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A signal that wakes the writer. Clones wake the same one; they do not keep the file open.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriterSignal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_due: bool,
    is_stopping: bool,
    has_stopped: bool,
}

impl WriterSignal {
    /// Wakes the writer, for a source that has enough for a batch.
    pub(crate) fn notify(&self) {
        let mut state = self.lock();
        if !state.is_due {
            state.is_due = true;
            self.0.changed.notify_all();
        }
    }

    /// Waits until there is something to do, and returns whether the writer is to stop. `in_haste` ends the wait where a source
    /// has enough.
    pub(super) fn wait(&self, time: Duration, in_haste: bool) -> bool {
        let state = self.lock();
        let waits = |state: &mut State| match in_haste {
            true => !state.is_stopping && !state.is_due,
            false => !state.is_stopping,
        };
        let waited = self.0.changed.wait_timeout_while(state, time, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_due = false;
        state.is_stopping
    }

    /// Stops the writer, and waits until it has, up to a limit. Returns whether it has. Only the first call waits.
    pub(super) fn stop(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        if std::mem::replace(&mut state.is_stopping, true) {
            return true;
        }
        self.0.changed.notify_all();
        let runs = |state: &mut State| !state.has_stopped;
        let waited = self.0.changed.wait_timeout_while(state, limit, runs);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.has_stopped
    }

    /// Tells that the writer has stopped.
    pub(super) fn stopped(&self) {
        self.lock().has_stopped = true;
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = &self.0.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
