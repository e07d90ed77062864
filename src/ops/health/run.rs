//! One run of a check: in a task of its own, within its time limit.

use std::time::Duration;

use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, timeout},
};

use super::{CheckResult, check::CheckFn};
use crate::call::panic_message;

/// The task of the last run, which may not have ended: a future that blocks its thread cannot be stopped.
pub(super) struct LastRun(Option<JoinHandle<(CheckResult, Duration)>>);

impl LastRun {
    pub(super) fn none() -> Self {
        LastRun(None)
    }

    /// Runs the check once. Returns its result, and how long it took.
    pub(super) async fn run(
        &mut self,
        check: &CheckFn,
        limit: Duration,
    ) -> (CheckResult, Duration) {
        let begin = Instant::now();
        if let Some(earlier) = &mut self.0
            && !earlier.is_finished()
            && timeout(limit, earlier).await.is_err()
        {
            let text = "the run before has not ended: the check blocks its thread";
            return (CheckResult::unhealthy(text), begin.elapsed());
        }
        let future = check();
        // In a task of its own, so that one that panics or blocks its thread leaves this one alone. The time is measured
        // there, or the wait of this task would count.
        let task = self.0.insert(tokio::spawn(async move {
            let begin = Instant::now();
            let result = future.await;
            (result, begin.elapsed())
        }));
        // A second task makes tokio wake another worker, which drives timers and connections if the check blocks this one.
        tokio::spawn(async {});
        match timeout(limit, &mut *task).await {
            Ok(Ok(ran)) => ran,
            Ok(Err(error)) => (result_of(Err(error)), begin.elapsed()),
            Err(_) => {
                task.abort();
                let text = format!("no answer within {limit:?}");
                (CheckResult::unhealthy(text), begin.elapsed())
            }
        }
    }
}

impl Drop for LastRun {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Returns the result of a task: one that panicked has failed.
pub(super) fn result_of(task: Result<CheckResult, JoinError>) -> CheckResult {
    match task.map_err(JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(payload)) => {
            CheckResult::unhealthy(format!("panicked: {}", panic_message(&*payload)))
        }
        Err(Err(_)) => CheckResult::unknown("cancelled"),
    }
}
