//! The times at which checks run.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tower_keep::ops::health::{Check, Health};

use super::support::*;

/// Returns the moments at which a check ran, in milliseconds.
async fn moments(name: &str, seed: u64, until: u64) -> Vec<u128> {
    let begin = Instant::now();
    let moments = Arc::new(Mutex::new(Vec::new()));
    let seen = moments.clone();
    let check = Check::new(name.to_owned(), move || {
        seen.lock()
            .expect("whole")
            .push(begin.elapsed().as_millis());
        async {}
    });
    let check = check.interval(secs(10));
    let health = Health::builder("orders")
        .check(check)
        .seed(seed)
        .build()
        .expect("valid");
    health.spawn();
    sleep(secs(until)).await;
    moments.lock().expect("whole").clone()
}

#[tokio::test(start_paused = true)]
async fn first_run_is_within_a_second_and_further_ones_are_ten_percent_apart() {
    let (mut firsts, mut gaps) = (Vec::new(), Vec::new());
    for seed in 0..20 {
        let moments = moments("db", seed, 120).await;
        assert!((10..=13).contains(&moments.len()), "{moments:?}");
        firsts.push(moments[0]);
        gaps.extend(moments.windows(2).map(|pair| pair[1] - pair[0]));
    }
    assert!(firsts.iter().all(|first| *first <= 1_001), "{firsts:?}");
    assert!(firsts.iter().any(|first| *first < 300) && firsts.iter().any(|first| *first > 700));
    assert!(
        gaps.iter().all(|gap| (9_000..=11_002).contains(gap)),
        "{gaps:?}"
    );
    assert!(gaps.iter().any(|gap| *gap < 9_300) && gaps.iter().any(|gap| *gap > 10_700));
}

#[tokio::test(start_paused = true)]
async fn checks_of_one_process_have_different_jitter() {
    let begin = Instant::now();
    let firsts = Arc::new(Mutex::new(Vec::new()));
    let mut builder = Health::builder("orders").seed(7);
    for n in 0..10 {
        let firsts = firsts.clone();
        builder = builder.check(Check::new(format!("c{n}"), move || {
            firsts
                .lock()
                .expect("whole")
                .push(begin.elapsed().as_millis());
            async {}
        }));
    }
    let health = builder.build().expect("valid");
    health.spawn();
    first_runs().await;
    let mut firsts = firsts.lock().expect("whole").clone();
    firsts.dedup();
    assert!(firsts.len() >= 8, "{firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn check_now_runs_at_once_and_callers_share_a_run() {
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::new("db", move || {
        counter.add();
        sleep(ms(50))
    });
    let health = Health::builder("orders")
        .check(check.interval(secs(3_600)))
        .build()
        .expect("valid");
    assert!(health.check_now("db").await.is_none(), "not started");
    health.spawn();
    sleep(secs(2)).await;
    assert_eq!(runs.get(), 1);
    let begin = Instant::now();
    let all = join_all((0..100).map(|_| health.check_now("db"))).await;
    assert!(
        all.iter()
            .all(|db| db.as_ref().is_some_and(|db| db.runs == 2))
    );
    assert!(
        (ms(50)..ms(60)).contains(&begin.elapsed()),
        "{:?}",
        begin.elapsed()
    );
    sleep(secs(2)).await;
    assert_eq!(runs.get(), 2);
    assert!(health.check_now("cache").await.is_none(), "no such check");
}

#[tokio::test(start_paused = true)]
async fn check_now_joins_the_run_in_progress() {
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::new("db", move || {
        counter.add();
        sleep(secs(3))
    });
    let health = Health::builder("orders")
        .check(check.interval(secs(3_600)))
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    assert_eq!(runs.get(), 1);
    let db = health.check_now("db").await.expect("there");
    assert_eq!(db.runs, 1);
    sleep(secs(10)).await;
    assert_eq!(runs.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn spawn_twice_runs_each_check_once() {
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::new("db", move || {
        counter.add();
        async {}
    });
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    health.clone().spawn();
    first_runs().await;
    assert_eq!(runs.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn checks_end_with_the_last_clone() {
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::new("db", move || {
        counter.add();
        sleep(secs(3))
    });
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    let clone = health.clone();
    drop(health);
    first_runs().await;
    assert_eq!(runs.get(), 1);
    let mut watch = clone.watch();
    drop(clone);
    assert!(watch.changed().await.is_err(), "nobody is left");
    sleep(secs(120)).await;
    assert_eq!(runs.get(), 1);
}
