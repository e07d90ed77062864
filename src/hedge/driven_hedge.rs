use std::{
    fmt,
    future::{Pending, pending},
};

use tokio::time::Instant;

use super::{
    Hedge, attempt_clock::AttemptClock, call::HedgeCall, hedge_attempt::HedgeAttempt,
    plan::AfterFailure,
};
use crate::{
    call::Outcome,
    retry::{Attempt, Attempts, CallConfig, DecideOnError, Reservation, RunAttempts, SpentRetry},
};

/// An attempt without work, whose result comes from outside.
type NoWork = Pending<Result<(), Outcome>>;
type DrivenAttempts = RunAttempts<(), fn(Attempt) -> NoWork, DecideOnError<Outcome>>;

/// A call whose attempts are made by somebody else than a [`HedgeFuture`](super::HedgeFuture): by a simulator, which has no
/// futures. What follows an attempt is decided by the same state. Attempts that run when it is dropped have lost.
pub(crate) struct DrivenHedge {
    call: HedgeCall<Result<(), Outcome>>,
    attempts: DrivenAttempts,
    first_clock: AttemptClock,
    hedges: Vec<HedgeAttempt<NoWork>>,
}

/// The step that follows the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterAttempt {
    /// The call ends with this outcome, and the attempts that still run have lost.
    End(Outcome),
    /// Another attempt may still have a result.
    Wait,
    /// The attempt with this number begins at once.
    Start(u32),
}

impl DrivenHedge {
    /// Begins the first attempt of a call.
    pub(crate) fn begin(hedge: &Hedge) -> Self {
        let retry = &hedge.shared.retry;
        let (mut call, mut first_clock) = (
            HedgeCall::new(CallConfig::new(retry)),
            AttemptClock::new(hedge.clone()),
        );
        let mut attempts: DrivenAttempts = RunAttempts::new(
            retry.clone(),
            (),
            |_| pending(),
            |settings, outcome| (*outcome, settings.decide(*outcome, None)),
        );
        call.start_first(
            &mut attempts,
            &mut first_clock,
            None,
            |attempts, attempt, context| attempts.start(attempt, context),
        );
        DrivenHedge {
            call,
            attempts,
            first_clock,
            hedges: Vec::new(),
        }
    }

    /// Returns the time at which a hedge is due beside the latest attempt, if one is.
    pub(crate) fn due_at(&mut self) -> Option<Instant> {
        let delay = self.call.plan.delay()?;
        Some(*self.call.latest_start.get_or_insert_with(Instant::now) + delay)
    }

    /// Begins the hedge that is due, if one is. Returns its number.
    pub(crate) fn start_due(&mut self) -> Option<u32> {
        let is_due = self.due_at().is_some_and(|at| at <= Instant::now());
        // An attempt that takes long counts as one that times out.
        is_due.then(|| self.start(Outcome::TimedOut)).flatten()
    }

    /// Counts the end of the attempt with this number, from 1, and decides what follows.
    pub(crate) fn on_attempt_end(&mut self, number: u32, outcome: Outcome) -> AfterAttempt {
        let (attempt, spent) = self.end_attempt(number, outcome);
        let mut result = match outcome {
            Outcome::Success => Ok(()),
            outcome => Err(outcome),
        };
        let (attempts, call) = (&mut self.attempts, &mut self.call);
        let shared = &self.first_clock.hedge.shared;
        let Err(failed) = attempts.classify(result, attempt, &mut call.config) else {
            if let Some(completion) = call.on_success(shared, attempt, spent) {
                attempts.complete_success(&mut result, completion);
            }
            return AfterAttempt::End(outcome);
        };
        let keeps_other = call.has_better_failure(outcome);
        let next = call.on_failure(shared, attempt, spent, (outcome, failed.decision));
        if next == AfterFailure::Return && !keeps_other {
            return AfterAttempt::End(outcome);
        }
        call.keep_failure(failed.output, attempt, outcome);
        match next {
            AfterFailure::Return => self.fail(),
            AfterFailure::Hedge => match self.start(outcome) {
                Some(number) => AfterAttempt::Start(number),
                None if self.call.plan.is_running() => AfterAttempt::Wait,
                None => self.fail(),
            },
            // A simulated peer asks for no wait.
            AfterFailure::Wait | AfterFailure::WaitFor(_) => AfterAttempt::Wait,
        }
    }

    /// Ends the attempt with this number. Returns it, with what was paid for it.
    fn end_attempt(&mut self, number: u32, outcome: Outcome) -> (Attempt, Option<SpentRetry>) {
        self.call.plan.end();
        let mut hedges = self.hedges.iter();
        let Some(index) = hedges.position(|hedge| hedge.attempt.number() == number) else {
            self.first_clock.finish(outcome);
            return (self.call.first_attempt(None), None);
        };
        let mut hedge = self.hedges.swap_remove(index);
        hedge.clock.finish(outcome);
        (hedge.attempt, hedge.spent.take())
    }

    /// Begins another attempt, unless something speaks against it. Returns its number.
    fn start(&mut self, after: Outcome) -> Option<u32> {
        let hedge = &self.first_clock.hedge;
        match self.call.reserve(&hedge.shared, &mut self.attempts, after) {
            Ok(reservation) => {
                let spent = reservation.map(Reservation::spend);
                let started = self.call.start_hedge(&mut self.attempts, hedge, spent);
                let number = started.attempt.number();
                self.hedges.push(started);
                Some(number)
            }
            Err(reason) => {
                self.call.skip(&hedge.shared, reason);
                None
            }
        }
    }

    /// Ends the call with the failure that was kept.
    fn fail(&mut self) -> AfterAttempt {
        let kept = self.call.take_failure().and_then(|kept| kept.output.err());
        AfterAttempt::End(kept.unwrap_or(Outcome::Rejected))
    }
}

impl fmt::Debug for DrivenHedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrivenHedge")
            .field("hedge", &self.first_clock.hedge.name())
            .field("plan", &self.call.plan)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::{hedge::HedgeBuilder, retry::Budget};
    use AfterAttempt::{End, Start, Wait};
    use Outcome::{Failure, Rejected, Success};

    const DELAY: Duration = Duration::from_millis(50);

    fn builder() -> HedgeBuilder {
        Hedge::builder("driven").delay(DELAY).max_hedges(2)
    }

    fn hedge(builder: HedgeBuilder) -> Hedge {
        builder.build().expect("valid")
    }

    #[tokio::test(start_paused = true)]
    async fn driven_hedge_begins_when_it_is_due_and_its_success_is_that_of_the_call() {
        let hedge = hedge(builder());
        let mut call = DrivenHedge::begin(&hedge);
        assert_eq!(call.due_at(), Some(Instant::now() + DELAY));
        assert_eq!(call.start_due(), None);
        advance(DELAY).await;
        assert_eq!(call.start_due(), Some(2));
        assert_eq!(call.start_due(), None, "another delay later");
        advance(DELAY).await;
        assert_eq!(call.start_due(), Some(3));
        assert_eq!(call.due_at(), None, "that was the last");
        assert_eq!(call.on_attempt_end(2, Success), End(Success));
        assert_eq!((hedge.stats().sent, hedge.stats().won), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn driven_hedge_begins_at_once_after_a_failure() {
        let hedge = hedge(builder());
        let mut call = DrivenHedge::begin(&hedge);
        assert_eq!(call.on_attempt_end(1, Failure), Start(2));
        // The delay counts from the latest attempt.
        advance(DELAY / 2).await;
        assert_eq!(call.on_attempt_end(2, Failure), Start(3));
        assert_eq!(call.on_attempt_end(3, Failure), End(Failure));
    }

    #[tokio::test(start_paused = true)]
    async fn driven_hedge_that_is_rejected_gives_way_to_what_the_peer_has_said() {
        let hedge = hedge(builder());
        let mut call = DrivenHedge::begin(&hedge);
        advance(DELAY).await;
        assert_eq!(call.start_due(), Some(2));
        assert_eq!(call.on_attempt_end(2, Rejected), Wait);
        advance(DELAY).await;
        assert_eq!(call.start_due(), Some(3));
        assert_eq!(call.on_attempt_end(1, Failure), Wait);
        assert_eq!(call.on_attempt_end(3, Rejected), End(Failure));
    }

    #[tokio::test(start_paused = true)]
    async fn driven_hedge_is_paid_from_the_budget() {
        let budget = Budget::window().ratio(0.1).per_second(0.0).build();
        let hedge = hedge(builder().max_hedges(1).budget(budget.expect("valid")));
        let mut hedged = 0;
        for _ in 0..100 {
            let mut call = DrivenHedge::begin(&hedge);
            advance(DELAY).await;
            hedged += u32::from(call.start_due().is_some());
            assert_eq!(call.on_attempt_end(1, Success), End(Success));
        }
        assert_eq!(hedged, 10);
        assert_eq!(hedge.stats().not_sent, 90);
    }

    #[tokio::test(start_paused = true)]
    async fn driven_hedge_knows_the_percentile_of_attempts_that_have_lost_as_well() {
        let hedge = hedge(Hedge::builder("driven").budget(None));
        for index in 0..200 {
            let mut call = DrivenHedge::begin(&hedge);
            let slow = index % 25 == 0;
            advance(if slow { 2 * DELAY } else { DELAY }).await;
            if slow && let Some(number) = call.start_due() {
                call.on_attempt_end(number, Success);
            } else {
                call.on_attempt_end(1, Success);
            }
        }
        let delay = hedge.stats().delay.expect("known");
        assert!(delay >= DELAY && delay < 2 * DELAY, "{delay:?}");
        assert!(hedge.stats().won > 0 && hedge.stats().samples > 200);
    }
}
