use super::*;
use crate::{
    registry::{Snapshot, Stat},
    retry::{Backoff, Budget, RetryBuilder},
};

const SECOND: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_millis(10);

fn builder() -> RetryBuilder {
    Retry::builder("state").backoff(Backoff::constant(WAIT))
}

fn unbounded() -> Retry {
    builder().budget(None).build().expect("valid")
}

/// A budget for this many retries.
fn small_budget(attempts: u32) -> Budget {
    let bucket = Budget::bucket().capacity(10).cost(10 / attempts);
    bucket.build().expect("valid")
}

fn available(budget: &Budget) -> Option<u64> {
    budget.available(&CallClock::default())
}

fn stat(retry: &Retry, name: &str) -> Option<Stat> {
    let snapshot = Snapshot::new(&*retry.shared);
    let mut stats = snapshot.stats().iter();
    let found = stats.find(|(known, _)| *known == name);
    found.map(|(_, stat)| stat.clone())
}

fn new_state(retry: &Retry) -> RetryState {
    RetryState::new(CallConfig::new(retry))
}

/// A call whose first attempt has begun.
fn started_call(retry: &Retry) -> RetryState {
    let (mut state, now) = (new_state(retry), CallClock::default());
    assert!(state.start_call(None, None, &now));
    assert_eq!(state.start_first_attempt(retry, None, &now), None);
    state
}

fn fail_attempt(
    state: &mut RetryState,
    retry: &Retry,
    not_sent: Option<NotSent>,
) -> Option<Duration> {
    state.on_failure(retry, Outcome::Failure, RetryDecision::Retry, not_sent)
}

/// Fails the attempt, and begins the next.
fn retry_once(state: &mut RetryState, retry: &Retry, not_sent: Option<NotSent>) {
    fail_attempt(state, retry, not_sent).expect("another attempt");
    state.start_next_attempt(retry, None);
}

#[tokio::test(start_paused = true)]
async fn unsent_retry_does_not_wait() {
    let retry = unbounded();
    let mut failed = started_call(&retry);
    assert_eq!(fail_attempt(&mut failed, &retry, None), Some(WAIT));
    assert!(!failed.is_unsent_retry());
    let mut not_sent = started_call(&retry);
    let delay = fail_attempt(&mut not_sent, &retry, Some(NotSent::ClosedIdle));
    assert_eq!(delay, Some(Duration::ZERO));
    assert!(not_sent.is_unsent_retry());
}

#[tokio::test]
async fn last_attempt_is_not_retried() {
    let retry = builder()
        .max_attempts(2)
        .budget(None)
        .build()
        .expect("valid");
    let mut state = started_call(&retry);
    assert!(!state.attempt().is_last);
    retry_once(&mut state, &retry, None);
    assert!(state.attempt().is_last);
    assert_eq!(state.attempt().number(), 2);
    assert!(fail_attempt(&mut state, &retry, None).is_none());
    assert_eq!(
        stat(&retry, "not_retried_max_attempts"),
        Some(Stat::Count(1))
    );
}

#[tokio::test]
async fn unsent_retry_is_no_attempt_and_only_the_first_is_free() {
    let budget = small_budget(1);
    let retry = builder().budget(budget.clone()).build().expect("valid");
    let mut state = started_call(&retry);
    retry_once(&mut state, &retry, Some(NotSent::ClosedIdle));
    assert_eq!(available(&budget), Some(1));
    retry_once(&mut state, &retry, Some(NotSent::ClosedIdle));
    assert_eq!(available(&budget), Some(0));
    assert_eq!(state.attempt().number(), 1);
    assert_eq!(stat(&retry, "unsent_retries"), Some(Stat::Count(2)));
    assert_eq!(stat(&retry, "retries"), Some(Stat::Count(0)));

    let mut charged = started_call(&retry);
    retry_once(&mut charged, &retry, Some(NotSent::ClosedIdle));
    assert!(fail_attempt(&mut charged, &retry, Some(NotSent::ClosedIdle)).is_none());
}

#[tokio::test]
async fn budget_reservation_is_refunded_unless_spent() {
    let budget = small_budget(1);
    let retry = builder().budget(budget.clone()).build().expect("valid");
    let mut state = started_call(&retry);
    fail_attempt(&mut state, &retry, None).expect("a retry");
    assert_eq!(available(&budget), Some(0));
    state.cancel_retry();
    assert_eq!(available(&budget), Some(1), "cancelled");
    fail_attempt(&mut state, &retry, None).expect("a retry");
    assert_eq!(available(&budget), Some(0));
    drop(state);
    assert_eq!(available(&budget), Some(1), "dropped in the wait");
    let mut state = started_call(&retry);
    retry_once(&mut state, &retry, None);
    assert!(
        fail_attempt(&mut state, &retry, None).is_none(),
        "the retry failed, too"
    );
    assert_eq!(available(&budget), Some(0));
    assert_eq!(stat(&retry, "not_retried_budget"), Some(Stat::Count(1)));
}

#[tokio::test]
async fn success_completes_with_the_budget_and_counts_as_recovered() {
    for (outcome, left, recovered) in [(Outcome::Success, 1, 1), (Outcome::Failure, 0, 0)] {
        let budget = small_budget(1);
        let retry = builder().budget(budget.clone()).build().expect("valid");
        let mut state = started_call(&retry);
        retry_once(&mut state, &retry, None);
        let completion = state.on_success().expect("a retry");
        completion.complete(&retry, outcome);
        assert_eq!(available(&budget), Some(left), "{outcome:?}");
        assert_eq!(stat(&retry, "recovered"), Some(Stat::Count(recovered)));
    }
    let retry = unbounded();
    assert!(started_call(&retry).on_success().is_none());
    assert_eq!(stat(&retry, "recovered"), Some(Stat::Count(0)));
}

#[tokio::test]
async fn first_attempt_outcome_reaches_throttle() {
    let budget = Budget::throttle().build().expect("valid");
    let retry = builder().budget(budget).build().expect("valid");
    for _ in 0..100 {
        let completion = started_call(&retry).on_success();
        let completion = completion.expect("a budget");
        assert!(completion.is_needed(&retry));
        completion.complete(&retry, Outcome::Failure);
    }
    assert!(fail_attempt(&mut started_call(&retry), &retry, None).is_none());
    assert_eq!(stat(&retry, "not_retried_budget"), Some(Stat::Count(1)));
}

#[tokio::test]
async fn completion_is_needed_after_a_retry_or_by_the_budget() {
    let standard = builder().build().expect("valid");
    let is_needed = |state: &mut RetryState, retry: &Retry| {
        let completion = state.on_success();
        completion.is_some_and(|completion| completion.is_needed(retry))
    };
    for retry in [unbounded(), standard] {
        assert!(!is_needed(&mut started_call(&retry), &retry));
        for not_sent in [None, Some(NotSent::ClosedIdle)] {
            let mut state = started_call(&retry);
            retry_once(&mut state, &retry, not_sent);
            assert!(is_needed(&mut state, &retry), "{not_sent:?}");
        }
    }
}

#[tokio::test]
async fn call_deposits_when_it_begins() {
    let budget = Budget::window().ratio(1.0).per_second(0.0);
    let budget = budget.build().expect("valid");
    let retry = builder().budget(budget.clone()).build().expect("valid");
    started_call(&retry);
    assert_eq!(available(&budget), Some(1));
}

/// Starts a call. Returns whether it is too late, its deadline, and that of its caller.
fn open_call(
    retry: &Retry,
    limit: Option<Duration>,
    own: Option<&Context>,
) -> (bool, [Option<Duration>; 2]) {
    let (mut state, now) = (new_state(retry), CallClock::default());
    let late = !state.start_call(limit, own, &now);
    let ends = [state.deadline(), state.caller_deadline];
    (
        late,
        ends.map(|end| Some(end?.saturating_duration_since(now.now()))),
    )
}

#[tokio::test(start_paused = true)]
async fn deadline_is_the_earliest_and_max_elapsed_is_not_the_callers() {
    let (retry, due) = (unbounded(), |seconds: u32| {
        Context::new_root().with_deadline(Instant::now() + seconds * SECOND)
    });
    let ends = |all: u32, callers: Option<u32>| {
        let callers = callers.map(|seconds| seconds * SECOND);
        (all == 0, [Some(all * SECOND), callers])
    };
    assert_eq!(open_call(&retry, None, None), (false, [None, None]));
    assert_eq!(open_call(&retry, Some(2 * SECOND), None), ends(2, Some(2)));
    assert_eq!(open_call(&retry, None, Some(&due(3))), ends(3, Some(3)));
    let both = open_call(&retry, Some(4 * SECOND), Some(&due(3)));
    assert_eq!(both, ends(3, Some(3)));
    let around = due(1).run(|| open_call(&retry, Some(2 * SECOND), Some(&due(3))));
    assert_eq!(around, ends(1, Some(1)));
    assert_eq!(open_call(&retry, None, Some(&due(0))), ends(0, Some(0)));

    let limited = builder().max_elapsed(2 * SECOND).build().expect("valid");
    assert_eq!(open_call(&limited, None, None), ends(2, None));
    assert_eq!(open_call(&limited, None, Some(&due(3))), ends(2, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn deadline_that_becomes_known_later_is_kept() {
    let (retry, soon) = (unbounded(), Instant::now() + WAIT);
    let mut set = started_call(&retry);
    set.cap_deadline(soon);
    assert_eq!(set.attempt().deadline(), Some(soon));
    assert!(fail_attempt(&mut set, &retry, None).is_none());
    assert_eq!(stat(&retry, "not_retried_deadline"), Some(Stat::Count(1)));

    let mut around = started_call(&retry);
    let due = Context::new_root().with_deadline(soon);
    assert!(
        due.run(|| fail_attempt(&mut around, &retry, None))
            .is_none()
    );

    let mut resumed = started_call(&retry);
    fail_attempt(&mut resumed, &retry, None).expect("a retry");
    resumed.start_next_attempt(&retry, Some(&due));
    assert_eq!(resumed.caller_deadline, Some(soon));
}

#[tokio::test]
async fn attempt_runs_in_the_context_of_the_call_with_its_number() {
    let (retry, now) = (unbounded(), CallClock::default());
    let first = |own: Option<&Context>| new_state(&retry).start_first_attempt(&retry, own, &now);
    let (own, other) = (Context::new_root(), Context::new_root());
    assert_eq!(first(None), None, "there is none");
    assert_eq!(first(Some(&own)), Some(own.clone()));
    assert_eq!(other.run(|| first(Some(&own))), Some(own.clone()));
    // The current one is the right one as it is.
    assert_eq!(own.run(|| first(Some(&own))), None);
    assert_eq!(own.run(|| first(None)), None);

    let numbered = |call: Option<Context>| {
        let call = call.expect("a context");
        (call.attempt(), call.request_id() == own.request_id())
    };
    let third = own.with_attempt(3);
    assert_eq!(numbered(third.run(|| first(None))), (1, true));
    let mut state = started_call(&retry);
    fail_attempt(&mut state, &retry, None).expect("a retry");
    let second = own.run(|| state.start_next_attempt(&retry, None));
    assert_eq!(numbered(second), (2, true));
}
