//! Limits that count by windows, as others do.

use tokio::time::{Instant, advance};
use tower_keep::{
    RateLimit,
    rate_limit::{KeyedRateLimit, RateAlgorithm, RateLimitBuilder},
};

use super::SECOND;

/// Three calls in each window of three seconds.
fn windows(algorithm: RateAlgorithm) -> RateLimitBuilder {
    let builder = RateLimit::builder("windows").rate(1, SECOND).burst(3);
    builder.algorithm(algorithm)
}

#[tokio::test(start_paused = true)]
async fn fixed_window_has_its_burst_again_when_the_next_one_begins() {
    let limit = windows(RateAlgorithm::FixedWindow).build().expect("valid");
    advance(2 * SECOND).await;
    limit.check_n(3).expect("all of the window");
    let rejection = limit.check().expect_err("used up");
    assert_eq!(rejection.retry_after(), Some(SECOND));
    advance(SECOND).await;
    limit.check_n(3).expect("all of the next one");
    let start = Instant::now();
    limit.wait(9 * SECOND).await.expect("in time");
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(limit.available(), 2);
}

#[tokio::test(start_paused = true)]
async fn sliding_window_remembers_the_window_before() {
    let limit = windows(RateAlgorithm::SlidingWindow)
        .build()
        .expect("valid");
    advance(2 * SECOND).await;
    limit.check_n(3).expect("all of the window");
    advance(SECOND).await;
    // All three are still inside, and one of them in a second no more.
    let rejection = limit.check().expect_err("used up");
    assert_eq!(rejection.retry_after(), Some(SECOND));
    advance(SECOND).await;
    limit.check().expect("one");
    limit.check().expect_err("one only");
    advance(9 * SECOND).await;
    assert_eq!(limit.available(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_are_counted_by_windows_as_well() {
    for algorithm in [RateAlgorithm::FixedWindow, RateAlgorithm::SlidingWindow] {
        let limits = KeyedRateLimit::builder(windows(algorithm)).build();
        let limits = limits.expect("valid");
        limits.check_n("a", 3).expect("all of the window");
        limits.check("a").expect_err("used up");
        limits.check("b").expect("another key");
        advance(6 * SECOND).await;
        assert_eq!(limits.available("a"), 3, "{algorithm:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn algorithm_is_changed_without_losing_what_was_used() {
    let limit = windows(RateAlgorithm::Gcra).build().expect("valid");
    limit.check_n(2).expect("of the burst");
    let mut settings = limit.settings();
    for algorithm in [
        RateAlgorithm::FixedWindow,
        RateAlgorithm::SlidingWindow,
        RateAlgorithm::Gcra,
    ] {
        settings.algorithm = algorithm;
        limit.apply(&settings).expect("valid");
        assert_eq!(limit.available(), 1, "{algorithm:?}");
    }
}

#[test]
fn sliding_window_is_a_second_or_longer_and_its_burst_small() {
    for (builder, field) in [
        (windows(RateAlgorithm::SlidingWindow).burst(5_000), "burst"),
        (
            windows(RateAlgorithm::SlidingWindow).rate(100, SECOND),
            "algorithm",
        ),
    ] {
        assert_eq!(builder.build().expect_err("invalid").field(), field);
    }
}

#[cfg(feature = "serde")]
#[test]
fn algorithm_is_a_word_in_a_file() {
    use tower_keep::rate_limit::RateLimitSettings;
    for algorithm in ["gcra", "fixed_window", "sliding_window"] {
        let text = format!("algorithm = \"{algorithm}\"");
        let settings: RateLimitSettings = toml::from_str(&text).expect("settings");
        assert_eq!(settings.algorithm.as_str(), algorithm);
    }
    toml::from_str::<RateLimitSettings>("algorithm = 'leaky'").expect_err("unknown");
}
