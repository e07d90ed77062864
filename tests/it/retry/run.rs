//! Work that is tried again, on a paused clock.

use std::{cell::Cell, io::Error, sync::Arc, time::Duration};

use proptest::prelude::*;
use tokio::{
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tower_keep::{
    BoxError, Rejection,
    call::GrpcCode,
    retry::{Attempt, Backoff, Budget, Jitter, Retry, RetryBuilder},
};

use crate::support::logs::logs;

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn success_runs_once_without_delay() {
    let (began, tries) = (Instant::now(), AttemptCounter::default());
    let answer = constant_backoff(3)
        .run(|attempt| tries.fail(attempt, 0))
        .await;
    assert_eq!(answer.unwrap(), 1);
    assert_eq!((tries.count(), began.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn backoff_spaces_numbered_attempts() {
    let began = Instant::now();
    let doubling = Backoff::exponential(millis(50)).jitter(Jitter::None);
    let retry = builder(4).backoff(doubling).build().unwrap();
    let times = std::cell::RefCell::new(Vec::new());
    let answer = retry
        .run(|attempt| {
            let seen = (attempt.number(), attempt.is_retry(), began.elapsed());
            times.borrow_mut().push(seen);
            async { Err::<(), _>(Error::other("down")) }
        })
        .await;
    assert_eq!(answer.unwrap_err().to_string(), "down");
    let expected = [
        (1, false, millis(0)),
        (2, true, millis(50)),
        (3, true, millis(150)),
        (4, true, millis(350)),
    ];
    assert_eq!(*times.borrow(), expected);
    assert_eq!(
        began.elapsed(),
        millis(350),
        "nothing is slept after the last"
    );
}

/// It was logged as 0.9798459999999999.
#[tokio::test(start_paused = true)]
async fn backoff_is_logged_in_milliseconds_with_three_decimals() {
    let logs = logs();
    let backoff = Backoff::constant(Duration::from_nanos(979_846)).jitter(Jitter::None);
    let retry = builder(2).backoff(backoff).build().unwrap();
    let tries = AttemptCounter::default();
    let answer = retry.run(|attempt| tries.fail(attempt, 1)).await;
    assert_eq!(answer.unwrap(), 2);
    let [event] = &logs.events("tower_keep::retry")[..] else {
        panic!("one event expected");
    };
    assert_eq!(event.get("delay_ms"), "0.98");
}

#[tokio::test(start_paused = true)]
async fn deadline_rejects_wait_beyond_it() {
    let began = Instant::now();
    let retry = builder(10).max_elapsed(millis(250)).build().unwrap();
    let tries = AttemptCounter::default();
    let answer = retry
        .run(|attempt| {
            assert_eq!(attempt.deadline(), Some(began + millis(250)));
            tries.fail(attempt, 9)
        })
        .await;
    assert!(answer.is_err());
    // At 0, 100 and 200 ms; the next would be at 300 ms, and nobody waits for that.
    assert_eq!((tries.count(), began.elapsed()), (3, millis(200)));
}

#[tokio::test(start_paused = true)]
async fn deadline_is_the_earlier_of_two() {
    let began = Instant::now();
    let retry = builder(10).max_elapsed(millis(250)).build().unwrap();
    for (given, until) in [(120, 120), (900, 250)] {
        let began = Instant::now();
        let seen = Cell::new(None);
        let work = |attempt: Attempt| {
            seen.set(attempt.deadline());
            async { Ok::<_, Error>(()) }
        };
        retry
            .run(work)
            .deadline(began + millis(given))
            .await
            .unwrap();
        assert_eq!(seen.get(), Some(began + millis(until)));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn rejection_is_not_retried_by_default() {
    let tries = AttemptCounter::default();
    let rejected = |_: Attempt| {
        tries.add();
        async { Err::<(), _>(Rejection::overloaded("shed").with_retry_after(millis(700))) }
    };
    let _ = constant_backoff(3).run(rejected).await;
    assert_eq!(tries.count(), 1);

    let began = Instant::now();
    let told = builder(3).retry_rejections(true).build().unwrap();
    let _ = told.run(rejected).await;
    assert_eq!(tries.count(), 4);
    assert_eq!(began.elapsed(), millis(1_400), "as long as it asks for");
}

#[tokio::test(start_paused = true)]
async fn non_std_errors_can_be_retried() {
    let tries = AttemptCounter::default();
    let boxed = |attempt: Attempt| {
        let work = tries.fail(attempt, 1);
        async { Ok::<_, BoxError>(work.await?) }
    };
    assert_eq!(constant_backoff(3).run_any_error(boxed).await.unwrap(), 2);
    let text = |_: Attempt| async { Err::<(), _>("down".to_owned()) };
    assert_eq!(
        constant_backoff(3).run_any_error(text).await.unwrap_err(),
        "down"
    );
    // What can be looked into, is.
    let tries = AttemptCounter::default();
    let shed = |_: Attempt| {
        tries.add();
        async { Err::<(), BoxError>(Rejection::overloaded("shed").into()) }
    };
    let _ = constant_backoff(3).run_any_error(shed).await;
    assert_eq!(tries.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_panic_stops_retrying() {
    let tries = AttemptCounter::default();
    let work = constant_backoff(3).run(|attempt| tries.fail(attempt, 9));
    let answer = work.when(|_: &Error| -> bool { panic!("a bug") }).await;
    assert!(answer.is_err());
    assert_eq!(tries.count(), 1);
}

/// Connections and buffers of a failed attempt were held all through the backoff.
#[tokio::test(start_paused = true)]
async fn failed_attempt_is_dropped_before_the_wait() {
    #[derive(Debug)]
    struct Holding(#[allow(dead_code)] Arc<()>);
    let held = Arc::new(());
    let work = |_: Attempt| {
        let (future, error) = (held.clone(), held.clone());
        async move {
            yield_now().await;
            drop(future);
            Err::<(), _>(Holding(error))
        }
    };
    let retry = constant_backoff(2);
    let mut work = Box::pin(retry.run_any_error(work));
    assert!(timeout(millis(50), &mut work).await.is_err(), "in its wait");
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(work.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn jitter_differs_between_calls() {
    let retry = builder(2)
        .backoff(Backoff::exponential(Duration::from_secs(1)))
        .seed(11);
    let retry = retry.build().unwrap();
    let mut waits = std::collections::HashSet::new();
    for _ in 0..50 {
        let (began, tries) = (Instant::now(), AttemptCounter::default());
        let clone = retry.clone();
        clone.run(|attempt| tries.fail(attempt, 1)).await.unwrap();
        waits.insert(began.elapsed());
    }
    assert!(waits.len() > 40, "{}", waits.len());
}

#[test]
fn invalid_settings_are_named() {
    let says = |builder: RetryBuilder| builder.build().unwrap_err().to_string();
    let begin = || Retry::builder("peer");
    let table = [
        (
            begin().max_attempts(1_000),
            r#"retry "peer": max_attempts is 1000, must be 1 to 100"#,
        ),
        (
            begin().max_elapsed(Duration::ZERO),
            r#"retry "peer": max_elapsed is 0ns, must be longer than zero"#,
        ),
        (
            begin().max_retry_after(Duration::MAX),
            r#"retry "peer": max_retry_after is 18446744073709551615.999999999s, must be at most a day"#,
        ),
        (
            begin().grpc_codes([GrpcCode::UNAVAILABLE, GrpcCode::OK]),
            r#"retry "peer": grpc_codes is OK, must be codes of failures"#,
        ),
        (
            begin().backoff(Backoff::default().factor(f64::NAN)),
            r#"retry "peer", backoff: factor is NaN, must be at least 1, and finite"#,
        ),
    ];
    for (builder, expected) in table {
        assert_eq!(says(builder), expected);
    }
    for preset in [
        begin(),
        begin().preset_internal(),
        begin().preset_external(),
    ] {
        assert!(preset.build().is_ok());
    }
    assert_eq!(Retry::default().name(), "retry");
}

#[test]
fn retry_future_is_send_as_its_work() {
    fn check<T: Send + 'static>(_: T) {}
    fn shared<T: Send + Sync>() {}
    check(Retry::default().run(|_| async { Ok::<_, Error>(()) }));
    shared::<(Retry, Budget)>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn deadline_bounds_waits_for_any_settings(
        attempts in 1_u32..20, first in 0_u64..200, max in 200_u64..2_000, within in 1_u64..3_000,
        work in 0_u64..100, seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let backoff = Backoff::exponential(millis(first)).max(millis(max));
        let retry = Retry::builder("peer")
            .max_attempts(attempts)
            .backoff(backoff)
            .seed(seed)
            .budget(None)
            .max_elapsed(millis(within))
            .build()
            .unwrap();
        let (latest, count, took) = runtime.block_on(async {
            let (began, latest, tries) = (Instant::now(), Cell::new(millis(0)), AttemptCounter::default());
            let _ = retry
                .run(|attempt| {
                    latest.set(began.elapsed());
                    let work_ = tries.fail(attempt, u32::MAX);
                    async move { sleep(millis(work)).await; work_.await }
                })
                .await;
            (latest.get(), tries.count(), began.elapsed())
        });
        prop_assert!(latest <= millis(within), "an attempt began after {latest:?}");
        prop_assert!(1 <= count && count <= attempts);
        prop_assert!(took <= latest + millis(work + 1), "nothing is slept after the last");
    }
}

/// The number of attempts at each thing.
#[derive(Default)]
pub(super) struct AttemptCounter(Cell<u32>);

impl AttemptCounter {
    pub(super) fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub(super) fn count(&self) -> u32 {
        self.0.get()
    }

    /// Fails so many times, then gives the attempt's number.
    pub(super) fn fail(
        &self,
        attempt: Attempt,
        times: u32,
    ) -> impl Future<Output = Result<u32, Error>> + use<> {
        self.add();
        async move {
            match attempt.number() > times {
                true => Ok(attempt.number()),
                false => Err(Error::other("down")),
            }
        }
    }
}

/// 100 ms between attempts, no chance, no budget.
pub(super) fn builder(attempts: u32) -> RetryBuilder {
    let steady = Backoff::constant(millis(100));
    Retry::builder("peer")
        .max_attempts(attempts)
        .backoff(steady)
        .budget(None)
}

pub(super) fn constant_backoff(attempts: u32) -> Retry {
    builder(attempts).build().unwrap()
}
