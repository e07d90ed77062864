//! Settings that are changed while calls use them.

use std::{
    io::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::poll;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError,
    retry::{Backoff, Budget, Retry, RetryLayer, RetrySettings},
};
use tracing::Level;

use crate::support::logs::logs;

const SECOND: Duration = Duration::from_secs(1);

fn settings(max_attempts: u32) -> RetrySettings {
    let mut settings = RetrySettings::default();
    settings.max_attempts = max_attempts;
    settings.backoff = Backoff::constant(SECOND);
    settings.budget = None;
    settings
}

fn retry(settings: &RetrySettings) -> Retry {
    let retry = Retry::builder("changed").settings(settings).build();
    retry.expect("valid")
}

#[tokio::test(start_paused = true)]
async fn request_has_the_attempts_of_the_settings_with_which_it_began() {
    for (before, after) in [(3, 1), (1, 3), (2, 3)] {
        let retry = retry(&settings(before));
        let calls = Arc::new(AtomicU32::new(0));
        let counter = calls.clone();
        let service = RetryLayer::any(retry.clone()).layer(service_fn(move |_: &str| {
            counter.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::task::yield_now().await;
                Err::<(), _>(Error::other("down"))
            }
        }));
        let mut call = Box::pin(service.clone().oneshot("ask"));
        assert!(poll!(&mut call).is_pending(), "its first attempt runs");
        retry.apply(&settings(after)).expect("valid");
        call.await.expect_err("down");
        assert_eq!(calls.swap(0, Ordering::Relaxed), before);
        service.oneshot("ask").await.expect_err("down");
        assert_eq!(calls.load(Ordering::Relaxed), after);
    }
}

/// The number of attempts and the kind of the error belong together in each of the two settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_have_one_settings_or_the_other_while_they_change() {
    let few = {
        let mut few = settings(2);
        few.backoff = Backoff::constant(Duration::ZERO);
        few
    };
    let many = {
        let mut many = few.clone();
        many.max_attempts = 5;
        many.budget = Some(Budget::window().ratio(10.0).into());
        many
    };
    let retry = retry(&few);
    let caller = retry.clone();
    let callers = (0..4).map(|_| {
        let retry = caller.clone();
        tokio::spawn(async move {
            for _ in 0..500 {
                let mut attempts = 0;
                let failed = retry.run(|_| {
                    attempts += 1;
                    async {
                        tokio::task::yield_now().await;
                        Err::<(), _>(Error::other("down"))
                    }
                });
                failed.await.expect_err("down");
                assert!([2, 5].contains(&attempts), "{attempts}");
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut changes = 0;
    while !callers.iter().all(|caller| caller.is_finished()) {
        retry.apply([&few, &many][changes % 2]).expect("valid");
        changes += 1;
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.expect("no panic");
    }
}

#[tokio::test]
async fn applied_settings_are_logged_if_they_change_something() {
    let logs = logs();
    let retry = retry(&settings(3));
    retry.apply(&settings(3)).expect("valid");
    assert!(logs.events("tower_keep::retry").is_empty());
    let mut next = settings(4);
    next.max_elapsed = Some(SECOND);
    for _ in 0..2 {
        retry.apply(&next).expect("valid");
        let [event] = &logs.events("tower_keep::retry")[..] else {
            panic!("one event expected");
        };
        assert_eq!(event.level, Level::INFO);
        assert_eq!(event.get("message"), "retry settings applied");
        assert_eq!(event.get("retry"), "changed");
        let changed = "max_attempts: 3 -> 4, max_elapsed: off -> 1s";
        assert_eq!(event.get("changes"), changed);
    }
    let mut invalid = settings(0);
    invalid.max_elapsed = None;
    retry.apply(&invalid).expect_err("no attempt");
    assert_eq!(logs.events("tower_keep::retry").len(), 1);
}

/// The counts of other callers of the peer are not lost.
#[tokio::test(start_paused = true)]
async fn budget_of_a_retry_stays_the_one_that_others_share() -> Result<(), BoxError> {
    let retry = Retry::new("changed");
    let other = Retry::builder("other")
        .budget(retry.budget().cloned())
        .build()?;
    let mut changed = RetrySettings::default();
    changed.budget = Some(Budget::bucket().capacity(10).cost(10).into());
    retry.apply(&changed)?;
    let fail = |retry: &Retry| retry.run(|_| async { Err::<(), _>(Error::other("down")) });
    let attempts = AtomicU32::new(0);
    let counted = other.run(|attempt| {
        attempts.store(attempt.number(), Ordering::Relaxed);
        async { Err::<(), _>(Error::other("down")) }
    });
    counted.await.expect_err("down");
    assert_eq!(attempts.load(Ordering::Relaxed), 2, "one retry for both");
    fail(&retry).await.expect_err("down");
    let used_up = retry
        .budget()
        .expect("a budget")
        .available(&Default::default());
    assert_eq!(used_up, Some(0));
    Ok(())
}
