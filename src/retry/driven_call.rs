use std::time::Duration;

use super::{Retry, call_config::CallConfig, state::RetryState};
use crate::call::{CallClock, Outcome};

/// A call whose attempts are made by somebody else than a [`RetryFuture`](super::RetryFuture): by a simulator, which has no
/// futures. What follows an attempt is decided by the same state.
#[derive(Debug)]
pub(crate) struct DrivenCall {
    state: RetryState,
}

impl DrivenCall {
    /// Begins the first attempt of a call.
    pub(crate) fn begin(retry: &Retry) -> Self {
        let now = CallClock::default();
        let mut state = RetryState::new(CallConfig::new(retry));
        // There is no deadline yet that could have passed, and no context to run an attempt in.
        state.start_call(None, None, &now);
        state.start_first_attempt(retry, None, &now);
        DrivenCall { state }
    }

    /// Counts the end of an attempt. Returns the wait before the next one if there is one.
    pub(crate) fn on_attempt_end(&mut self, retry: &Retry, outcome: Outcome) -> Option<Duration> {
        if outcome == Outcome::Success {
            if let Some(completion) = self.state.on_success() {
                completion.complete(retry, outcome);
            }
            return None;
        }
        let decision = self.state.config.settings(retry).decide(outcome, None);
        self.state.on_failure(retry, outcome, decision, None)
    }

    /// Begins the attempt that was waited for.
    pub(crate) fn begin_next(&mut self, retry: &Retry) {
        self.state.start_next_attempt(retry, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Budget;

    fn waits(retry: &Retry, outcomes: &[Outcome]) -> usize {
        let mut call = DrivenCall::begin(retry);
        let waits = outcomes.iter().map_while(|&outcome| {
            call.on_attempt_end(retry, outcome)?;
            call.begin_next(retry);
            Some(())
        });
        waits.count()
    }

    #[tokio::test(start_paused = true)]
    async fn driven_call_has_the_attempts_that_settings_and_budget_allow() {
        use Outcome::{Failure, Overload, Rejected, Success, TimedOut};
        let budget = Budget::window().ratio(1.0).per_second(0.0).build();
        let retry = Retry::builder("driven").budget(budget.expect("valid"));
        let retry = retry.build().expect("valid");
        assert_eq!(waits(&retry, &[Success]), 0);
        assert_eq!(waits(&retry, &[Rejected]), 0);
        // The rejected call has earned nothing: the budget has one retry of the first call, and one of each that follows.
        assert_eq!(waits(&retry, &[Overload, TimedOut, Failure]), 2);
        assert_eq!(waits(&retry, &[Failure, Failure]), 1);
    }
}
