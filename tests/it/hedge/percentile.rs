//! The delay by a percentile: it follows the attempts, those included that were dropped.

use std::{future::pending, io::Error, time::Duration};

use tokio::time::{Instant, advance, sleep};
use tower_keep::{
    hedge::{Hedge, HedgeBuilder},
    retry::{Attempt, Budget},
};

use super::SECOND;

/// Budget for a hedge of each call.
fn builder(name: &'static str) -> HedgeBuilder {
    let budget = Budget::window().ratio(1.0).build();
    Hedge::builder(name).budget(budget.expect("valid settings"))
}

/// Makes calls whose attempts take times that this returns. Returns the times of the calls, in order.
async fn calls(hedge: &Hedge, count: u64, mut time: impl FnMut() -> Duration) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let (start, time) = (Instant::now(), &mut time);
        let work = |_: Attempt| {
            let time = time();
            async move {
                sleep(time).await;
                Ok::<_, Error>(())
            }
        };
        hedge.run(work).await.expect("an answer");
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times
}

fn percentile(times: &[Duration], fraction: f64) -> Duration {
    times[((times.len() - 1) as f64 * fraction) as usize]
}

/// Takes 5 ms to 15 ms, and 200 ms more in so many of a thousand cases.
fn bimodal(slow: u64, seed: u64) -> impl FnMut() -> Duration {
    let mut random = fastrand::Rng::with_seed(seed);
    move || {
        let fast = Duration::from_millis(random.u64(5..=15));
        match random.u64(0..1_000) < slow {
            true => fast + Duration::from_millis(200),
            false => fast,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn delay_is_unknown_until_there_are_fifty_samples() {
    let hedge = builder("learns").build().expect("valid settings");
    let ten = || Duration::from_millis(10);
    calls(&hedge, 49, ten).await;
    assert_eq!((hedge.stats().delay, hedge.stats().samples), (None, 49));
    calls(&hedge, 51, ten).await;
    let delay = hedge.stats().delay.expect("known");
    assert!(
        (10.0..12.0).contains(&(delay.as_secs_f64() * 1e3)),
        "{delay:?}"
    );
    assert_eq!(hedge.stats().sent, 0);
    hedge.reset();
    assert_eq!((hedge.stats().delay, hedge.stats().samples), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn slow_calls_are_hedged_at_little_extra_load() {
    let hedge = builder("bimodal").build().expect("valid settings");
    let alone = builder("alone").max_hedges(0).build().expect("valid");
    let without = calls(&alone, 5_000, bimodal(30, 7)).await;
    let with = calls(&hedge, 5_000, bimodal(30, 7)).await;
    let (before, after) = (percentile(&without, 0.99), percentile(&with, 0.99));
    assert!(before >= Duration::from_millis(200), "{before:?}");
    assert!(after <= Duration::from_millis(35), "{after:?}");
    let extra = hedge.stats().sent as f64 / 5_000.0;
    assert!((0.02..=0.06).contains(&extra), "{extra}");
}

/// Without the losers, the percentile falls with each hedge that wins, until all calls are hedged.
#[tokio::test(start_paused = true)]
async fn percentile_does_not_fall_because_losers_are_dropped() {
    let hedge = builder("bias").build().expect("valid settings");
    let mut random = fastrand::Rng::with_seed(7);
    let uniform = || Duration::from_micros(random.u64(1_000..101_000));
    // Some minutes: what was before the first hedge is forgotten.
    calls(&hedge, 10_000, uniform).await;
    let delay = hedge.stats().delay.expect("known").as_secs_f64();
    assert!((0.088..=0.102).contains(&delay), "{delay}");
    let extra = hedge.stats().sent as f64 / 10_000.0;
    assert!((0.03..=0.075).contains(&extra), "{extra}");
}

#[tokio::test(start_paused = true)]
async fn delay_follows_a_peer_that_becomes_slower() {
    let hedge = builder("shift").window(10 * SECOND).build();
    let hedge = hedge.expect("valid settings");
    calls(&hedge, 500, || Duration::from_millis(10)).await;
    calls(&hedge, 500, || Duration::from_millis(50)).await;
    let delay = hedge.stats().delay.expect("known");
    assert!(
        (50.0..53.0).contains(&(delay.as_secs_f64() * 1e3)),
        "{delay:?}"
    );
    let sent = hedge.stats().sent;
    calls(&hedge, 500, || Duration::from_millis(50)).await;
    assert_eq!(hedge.stats().sent, sent, "no hedge gains anything");
    // Nothing of the time before.
    advance(20 * SECOND).await;
    assert_eq!(hedge.stats().delay, None);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_hang_make_the_percentile_unknown() {
    let hedge = builder("hangs").build().expect("valid settings");
    calls(&hedge, 200, || Duration::from_millis(10)).await;
    assert!(hedge.stats().delay.is_some());
    for _ in 0..40 {
        let call = hedge.run(|_| pending::<Result<(), Error>>());
        let _ = tokio::time::timeout(SECOND, call).await;
    }
    let stats = hedge.stats();
    assert_eq!(stats.delay, None, "{stats:?}");
    // By then, more than one in twenty had hung.
    assert!(stats.sent < 20, "{stats:?}");
}
