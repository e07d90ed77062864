use std::sync::Mutex;

use tokio::sync::Notify;

use super::shared::lock;

/// A request for a run, shared by those who ask and the task that runs the check.
#[derive(Debug, Default)]
pub(super) struct RunSignal {
    state: Mutex<RunState>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RunState {
    #[default]
    Idle,
    Wanted,
    Running,
}

impl RunSignal {
    /// Asks for a run, unless one is wanted already or in progress.
    pub(super) fn request(&self) {
        let mut state = lock(&self.state);
        if *state != RunState::Idle {
            return;
        }
        *state = RunState::Wanted;
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until a run is wanted.
    pub(super) async fn wanted(&self) {
        while *lock(&self.state) != RunState::Wanted {
            // May be an old notification, of a run that has begun for another reason.
            self.changed.notified().await;
        }
    }

    /// Tells that a run begins, which is the one that was wanted.
    pub(super) fn begin(&self) {
        *lock(&self.state) = RunState::Running;
    }

    /// Tells that the run has ended.
    pub(super) fn end(&self) {
        *lock(&self.state) = RunState::Idle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn run_is_wanted_once_however_many_ask_and_not_while_one_is_in_progress() {
        let signal = RunSignal::default();
        let is_wanted = || signal.wanted().now_or_never().is_some();
        assert!(!is_wanted());
        signal.request();
        signal.request();
        assert!(is_wanted() && is_wanted(), "until it begins");
        signal.begin();
        assert!(!is_wanted());
        signal.request();
        assert!(!is_wanted(), "in progress");
        signal.end();
        assert!(!is_wanted(), "old notifications count for nothing");
        signal.request();
        assert!(is_wanted());
    }
}
