//! The limits that adapt themselves, in simulations of a peer that changes.
//!
//! The knee is the number of workers of the peer: with fewer calls in flight some of them are idle, with more calls wait. A limit
//! has settled if it is within a fifth of the knee on average, and stays between 0.8 and 1.45 times of it, or 1.6 times where calls
//! differ much. It does so within 100 s of each change.

use std::{ops::Range, time::Duration};

use tower_keep::{
    Bulkhead,
    adaptive::{AdaptiveSettings, Algorithm},
    testing::simulator::{Arrivals, Peer, Report, Simulator},
};

const SEEDS: Range<u64> = 0..2;
/// The times between the changes of a peer, and before a limit must have settled.
const PHASE: Duration = Duration::from_secs(300);
const SETTLING: Duration = Duration::from_secs(100);
/// The distance that a limit may swing, in knees, and that where calls take about the same time.
const SWING: Range<f64> = 0.8..1.6;
const EVEN: Range<f64> = 0.8..1.45;

/// Five hundred calls a second, of which the limit allows fifty at once.
fn peer() -> Peer {
    Peer::new(50, Duration::from_millis(100))
}

/// Twice what the peer can serve.
fn overload() -> Arrivals {
    Arrivals::open(1_000.0)
}

#[test]
fn correlation_settles_at_the_knee_wherever_that_moves() {
    for seed in SEEDS {
        let idle = Arrivals::open(200.0);
        let simulator = Simulator::new(peer(), idle)
            .seed(seed)
            .arrivals_at(PHASE, overload())
            .peer_at(2 * PHASE, Peer::new(25, Duration::from_millis(100)))
            .peer_at(3 * PHASE, Peer::new(50, Duration::from_millis(300)))
            .peer_at(4 * PHASE, peer());
        let limits = limits(&simulator, Algorithm::Correlation, 5);
        let idle = limits.total(SETTLING..PHASE).gauge;
        assert!(idle < 100.0, "an unused limit does not grow on: {idle}");
        assert_settled(&limits, 1, 50.0, EVEN, "overload");
        assert_settled(&limits, 2, 25.0, EVEN, "half the capacity");
        assert_settled(&limits, 3, 50.0, EVEN, "capacity back, slower");
        assert_settled(&limits, 4, 50.0, EVEN, "as before");
    }
}

/// The limit went up to three times the knee: in windows of calls that differ much, throughput differs by chance, the best of
/// fifty windows was seldom reached again, and what was further than a tenth below it counted as below the knee.
#[test]
fn correlation_settles_where_times_differ_much() {
    let fast = Peer::new(50, Duration::from_millis(50));
    for seed in SEEDS {
        let simulator = Simulator::new(fast.slow(0.05, 10.0), overload())
            .seed(seed)
            .peer_at(PHASE, fast.slow(0.2, 4.0))
            .peer_at(2 * PHASE, peer().spread(1.0));
        let limits = limits(&simulator, Algorithm::Correlation, 3);
        assert_settled(&limits, 0, 50.0, SWING, "one of 20 ten times as slow");
        assert_settled(&limits, 1, 50.0, SWING, "one of 5 four times as slow");
        assert_settled(&limits, 2, 50.0, SWING, "exponential times");
    }
}

/// They know no knee but the number of calls that the peer lets in, and that it tells.
#[test]
fn algorithms_that_need_to_be_told_settle_where_the_peer_tells_of_an_overload() {
    for algorithm in [Algorithm::Aimd, Algorithm::Gradient2] {
        let simulator = Simulator::new(peer().queue(10), overload())
            .peer_at(PHASE, Peer::new(25, Duration::from_millis(100)).queue(10))
            .peer_at(2 * PHASE, peer().queue(10));
        let limits = limits(&simulator, algorithm, 3);
        for (phase, let_in) in [(0, 60.0), (1, 35.0), (2, 60.0)] {
            assert_settled(&limits, phase, let_in, 0.85..1.1, &algorithm.to_string());
        }
    }
}

/// It keeps some calls in the queue of the peer.
#[test]
fn vegas_settles_where_calls_take_the_same_time() {
    let even = |peer: Peer| peer.spread(0.02);
    let simulator = Simulator::new(even(peer()), overload())
        .peer_at(PHASE, even(Peer::new(25, Duration::from_millis(100))))
        .peer_at(2 * PHASE, even(peer()));
    let limits = limits(&simulator, Algorithm::Vegas, 3);
    for (phase, knee) in [(0, 55.0), (1, 30.0), (2, 55.0)] {
        assert_settled(&limits, phase, knee, SWING, "vegas");
    }
}

/// Simulates so many phases, with the limit as the gauge.
fn limits(simulator: &Simulator, algorithm: Algorithm, phases: u32) -> Report {
    let bulkhead = |_| {
        let mut settings = AdaptiveSettings::default();
        settings.algorithm = algorithm;
        let bulkhead = Bulkhead::builder("simulated").limit(20).adaptive(settings);
        bulkhead.build().expect("valid settings")
    };
    let limit = |bulkhead: &Bulkhead| f64::from(bulkhead.limit());
    let report = simulator.run_with_gauge(phases * PHASE, bulkhead, limit);
    report.expect("valid settings")
}

fn assert_settled(limits: &Report, phase: u32, knee: f64, swing: Range<f64>, name: &str) {
    let settled = phase * PHASE + SETTLING..(phase + 1) * PHASE;
    let mean = limits.total(settled.clone()).gauge / knee;
    let all = limits
        .between(settled)
        .iter()
        .map(|slice| slice.gauge / knee);
    let (low, high) = all.fold((f64::MAX, 0.0_f64), |(low, high), limit| {
        (low.min(limit), high.max(limit))
    });
    let seen = format!("{name}: {mean:.2} knees on average, {low:.2} to {high:.2}");
    println!("{seen}");
    assert!((mean - 1.0).abs() <= 0.2, "{seen}");
    assert!(low >= swing.start && high <= swing.end, "{seen}");
}
