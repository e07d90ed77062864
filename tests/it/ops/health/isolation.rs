//! Checks that hang, panic or block harm nobody but themselves.

use std::{
    future::pending,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use tokio::time::sleep;
use tower_keep::ops::health::{Check, Health, HealthStatus};

use super::support::*;

#[tokio::test(start_paused = true)]
async fn hanging_check_delays_no_other_and_no_probe() {
    let health = Health::builder("orders")
        .check(Check::new("stuck", || async { pending::<()>().await }))
        .check(Check::new("db", || async {}).critical())
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    assert_eq!(probe(&health, "/readyz").await, (200, "ok".to_owned()));
    assert_eq!(status(&health, "stuck"), HealthStatus::Unknown);
    sleep(secs(5)).await;
    let stuck = component(&health.snapshot(), "stuck");
    assert_eq!(
        stuck,
        (HealthStatus::Unhealthy, "no answer within 5s".to_owned())
    );
    assert_eq!(health.snapshot().status, HealthStatus::Degraded);
    assert_eq!(probe(&health, "/readyz").await, (200, "ok".to_owned()));
    // It is dropped, and run again.
    sleep(secs(60)).await;
    let snapshot = health.snapshot();
    let stuck = snapshot.component("stuck").expect("there");
    assert!(
        stuck.runs >= 2 && stuck.failures == stuck.runs as u32,
        "{stuck:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn check_that_times_out_is_dropped() {
    struct OnDrop(Counter);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let dropped = Counter::default();
    let counter = dropped.clone();
    let check = Check::new("db", move || {
        let on_drop = OnDrop(counter.clone());
        async move {
            let _on_drop = on_drop;
            pending::<()>().await;
        }
    });
    let check = check.timeout(ms(200));
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    sleep(ms(1_300)).await;
    assert_eq!(dropped.get(), 1);
    let db = component(&health.snapshot(), "db");
    assert_eq!(
        db,
        (HealthStatus::Unhealthy, "no answer within 200ms".to_owned())
    );
    let snapshot = health.snapshot();
    let last = snapshot.component("db").expect("there").last;
    assert!(
        last.is_some_and(|last| (ms(200)..ms(205)).contains(&last)),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn panicking_check_has_failed_and_is_run_again() {
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::new("db", move || {
        let run = counter.add();
        // The closure itself panics first, then its future.
        assert!(run > 0, "no pool");
        async move { assert!(run > 1, "no connection") }
    });
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    let db = component(&health.snapshot(), "db");
    assert_eq!(
        db,
        (HealthStatus::Unhealthy, "panicked: no pool".to_owned())
    );
    sleep(secs(33)).await;
    let db = component(&health.snapshot(), "db");
    assert_eq!(
        db,
        (
            HealthStatus::Unhealthy,
            "panicked: no connection".to_owned()
        )
    );
    sleep(secs(33)).await;
    assert_eq!(status(&health, "db"), HealthStatus::Healthy);
    assert_eq!(runs.get(), 3);
}

/// The clock of the process, since the runtime does not advance a paused one while a thread is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn check_that_waits_for_a_lock_forever_blocks_no_snapshot_and_is_not_started_twice() {
    let lock = Arc::new(Mutex::new(()));
    let (unlock, wait) = mpsc::channel::<()>();
    let held = lock.clone();
    let (is_held, holds) = mpsc::channel();
    let holder = thread::spawn(move || {
        let _held = held.lock();
        is_held.send(()).expect("somebody waits");
        // Until the test ends, whether it fails or not.
        let _ = wait.recv();
    });
    holds.recv().expect("held");
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::new("stuck", move || {
        counter.add();
        let lock = lock.clone();
        async move { drop(lock.lock()) }
    });
    let health = Health::builder("orders")
        .check(check.interval(ms(100)).timeout(ms(50)))
        .check(Check::new("db", || async {}).interval(ms(100)).critical())
        .build()
        .expect("valid");
    health.spawn();
    let mut watch = health.watch();
    let is_stuck = |latest: &Arc<_>| component(latest, "stuck").1.contains("blocks its thread");
    watch.wait_for(is_stuck).await.expect("stuck");
    let db_runs = |health: &Health| health.snapshot().component("db").map(|db| db.runs);
    let before = db_runs(&health);
    watch
        .wait_for(|_| db_runs(&health) > before)
        .await
        .expect("db goes on");
    assert_eq!(probe(&health, "/readyz").await, (200, "ok".to_owned()));
    assert_eq!(runs.get(), 1);
    drop(unlock);
    let works = |latest: &Arc<_>| component(latest, "stuck").0 == HealthStatus::Healthy;
    watch.wait_for(works).await.expect("works again");
    holder.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn blocking_check_takes_one_thread_at_most_and_none_of_the_runtime() {
    let (unlock, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::blocking("spool", move || {
        counter.add();
        // Returns at once as soon as the other end is gone.
        drop(wait.lock().map(|wait| wait.recv()));
    });
    let check = check.interval(ms(100)).timeout(ms(20));
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    let mut watch = health.watch();
    let failed = |latest: &Arc<_>| latest_failures(latest) >= 3;
    watch.wait_for(failed).await.expect("times out");
    assert_eq!(runs.get(), 1);
    drop(unlock);
    let works = |latest: &Arc<_>| component(latest, "spool").0 == HealthStatus::Healthy;
    watch.wait_for(works).await.expect("works again");
}

fn latest_failures(latest: &tower_keep::ops::health::HealthSnapshot) -> u32 {
    latest.components[0].failures
}

#[tokio::test(start_paused = true)]
async fn blocking_check_that_panics_has_failed() {
    let check = Check::blocking("spool", || -> () { panic!("no such disk") });
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    let spool = health.check_now("spool").await.expect("there");
    assert_eq!(spool.text.as_deref(), Some("panicked: no such disk"));
}
