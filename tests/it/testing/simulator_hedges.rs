//! Hedges in the simulator: what they gain, and what they cost.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_keep::{
    CircuitBreaker, Guard, Outcome, Rejection,
    breaker::CircuitState,
    call::{CallClock, CallEnd, Evidence},
    guard::Admit,
    hedge::HedgeSettings,
    retry::RetrySettings,
    testing::simulator::{Arrivals, Peer, Report, Simulator},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// After the samples of a percentile have come.
const SETTLED: Range<Duration> = MINUTE..Duration::from_secs(600);

/// A peer that is fast, but for one call of 25, which takes ten times as long.
fn bimodal() -> Peer {
    Peer::new(200, SECOND / 20).slow(0.04, 10.0)
}

/// Calls it a hundred times a second.
fn simulator() -> Simulator {
    Simulator::new(bimodal(), Arrivals::open(100.0)).seed(5)
}

fn run(simulator: &Simulator) -> Report {
    let report = simulator.run(10 * MINUTE, |_| None::<CircuitBreaker>);
    report.expect("valid settings")
}

fn fixed(delay: Duration) -> HedgeSettings {
    let mut settings = HedgeSettings::default();
    settings.delay = Some(delay);
    settings
}

#[test]
fn hedges_halve_the_99th_percentile_of_a_bimodal_peer_for_six_percent_more_load() {
    let without = run(&simulator());
    let slow = without.percentile(SETTLED, 0.99);
    assert_eq!(without.total(SETTLED).hedges, 0);
    for settings in [HedgeSettings::default(), fixed(SECOND / 10)] {
        let report = run(&simulator().hedge(settings));
        let total = report.total(SETTLED);
        let percentiles = [0.5, 0.99].map(|part| report.percentile(SETTLED, part));
        let seen = format!("{percentiles:?} instead of {slow:?}: {total:?}");
        assert!(percentiles[1] * 2 <= slow, "{seen}");
        assert!(total.attempts_per_call() <= 1.06, "{seen}");
        assert!(percentiles[0] <= without.percentile(SETTLED, 0.5), "{seen}");
        assert!(total.hedges_won > total.hedges / 2, "{seen}");
        assert_eq!(total.attempts, total.calls + total.hedges);
        assert_eq!(total.succeeded, total.calls);
    }
}

/// A percentile that is the time of a slow call waits for as long as that.
#[test]
fn percentile_halves_the_99th_one_if_it_is_below_the_share_of_fast_calls() {
    let peer = Peer::new(200, SECOND / 20).slow(0.08, 10.0);
    let simulator = Simulator::new(peer, Arrivals::open(100.0));
    let slow = run(&simulator).percentile(SETTLED, 0.99);
    let hedged = |percentile| {
        let mut settings = HedgeSettings::default();
        settings.percentile = percentile;
        let report = run(&simulator.clone().hedge(settings));
        let load = report.total(SETTLED).attempts_per_call();
        (report.percentile(SETTLED, 0.99), load)
    };
    let (above, below) = (hedged(0.95), hedged(0.9));
    assert!(above.0 * 4 > slow * 3, "{above:?} instead of {slow:?}");
    assert!(
        below.0 * 2 < slow && below.1 < 1.12,
        "{below:?} instead of {slow:?}"
    );
}

#[test]
fn hedges_stop_in_a_total_outage_and_come_back_after_it() {
    // As many as a throttle of gRPC lets through, which is four, and those whose calls had begun.
    let failing = (bimodal().failure_rate(1.0), 10);
    // It hangs: until the first time limit elapses, no client knows of the outage.
    let hanging = (Peer::new(10_000, MINUTE), 100);
    for (down, max_hedges) in [failing, hanging] {
        let simulator = simulator()
            .hedge(HedgeSettings::default())
            .time_limit(SECOND)
            .peer_at(2 * MINUTE, down)
            .peer_at(4 * MINUTE, bimodal());
        let report = run(&simulator);
        let begin = report.total(2 * MINUTE..2 * MINUTE + 2 * SECOND);
        assert!(begin.hedges <= max_hedges, "{begin:?}");
        // Calls that begin shortly before its end are served after it.
        let outage = report.total(2 * MINUTE + 2 * SECOND..4 * MINUTE - 2 * SECOND);
        assert!(outage.calls > 11_000, "{outage:?}");
        assert_eq!((outage.hedges, outage.succeeded), (0, 0), "{outage:?}");
        let after = report.total(6 * MINUTE..10 * MINUTE);
        assert!(after.hedges > after.calls / 50, "{after:?}");
    }
}

#[test]
fn hedges_of_a_peer_that_is_slow_for_all_are_limited_by_the_budget() {
    let slow = Peer::new(2_000, SECOND / 2);
    let mut settings = fixed(SECOND / 10);
    let hedged = |settings: &HedgeSettings| {
        let simulator = Simulator::new(slow, Arrivals::open(100.0));
        let report = run(&simulator.hedge(settings.clone()));
        let total = report.total(SETTLED);
        total.hedges as f64 / total.calls as f64
    };
    // A fifth of the calls, and ten a second.
    let with_budget = hedged(&settings);
    assert!((with_budget - 0.3).abs() < 0.01, "{with_budget}");
    settings.budget = None;
    let without = hedged(&settings);
    assert!((without - 1.0).abs() < 0.001, "{without}");
    // A percentile knows that all calls are slow.
    let by_percentile = hedged(&HedgeSettings::default());
    assert!(by_percentile < 0.06, "{by_percentile}");
    settings.max_hedges = 0;
    assert_eq!(hedged(&settings), 0.0);
}

#[test]
fn hedge_follows_a_failure_at_once_and_a_retry_follows_both() {
    let peer = bimodal().failure_rate(0.05);
    let simulator = Simulator::new(peer, Arrivals::open(100.0)).hedge(HedgeSettings::default());
    let total = run(&simulator).total(SETTLED);
    assert!((total.goodput() - 0.9975).abs() < 0.001, "{total:?}");
    let total = run(&simulator.retry(RetrySettings::default())).total(SETTLED);
    assert!(total.goodput() > 0.9999, "{total:?}");
    // One budget for both: a fifth of the calls, and ten a second.
    let more = total.attempts - total.calls;
    assert!(
        more >= total.hedges && more * 10 <= total.calls * 3,
        "{total:?}"
    );
}

#[test]
fn report_of_hedges_is_the_same_for_the_same_seed() {
    let simulator = simulator()
        .clients(3)
        .time_limit(SECOND)
        .retry(RetrySettings::default())
        .hedge(HedgeSettings::default())
        .peer_at(MINUTE, bimodal().failure_rate(0.1));
    let run = |seed| {
        let report = simulator.clone().seed(seed).run(2 * MINUTE, |seed| {
            let breaker = CircuitBreaker::builder("simulated").seed(seed);
            breaker.build().expect("valid settings")
        });
        report.expect("valid settings")
    };
    let report = run(7);
    let total = report.total(Duration::ZERO..Duration::MAX);
    assert!(total.hedges > 0 && total.hedges_won > 0, "{total:?}");
    assert_eq!(report, run(7));
    assert_ne!(report, run(8));
}

/// Counts the ends of attempts by their outcome.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<[u64; Outcome::ALL.len()]>>);

impl Ends {
    fn of(&self, outcome: Outcome) -> u64 {
        self.0.lock().expect("no panic")[outcome as usize]
    }
}

impl Guard for Ends {
    type Permit = ();

    fn on_end(&self, (): (), end: &CallEnd<'_>) {
        self.0.lock().expect("no panic")[end.outcome() as usize] += 1;
        if end.outcome() == Outcome::Cancelled {
            assert_eq!(end.evidence(), Evidence::Inconclusive);
        }
    }
}

impl Admit<()> for Ends {
    fn admit(&self, (): &mut (), _: &CallClock) -> Result<(), Rejection> {
        Ok(())
    }
}

/// Losers that lasted longer than a slow call are no evidence against the peer.
#[test]
fn losers_are_cancelled_and_open_no_circuit() {
    let ends = Ends::default();
    let simulator = simulator().hedge(fixed(SECOND / 10));
    let report = simulator.run_with_gauge(
        2 * MINUTE,
        |seed| {
            let breaker = CircuitBreaker::builder("simulated").seed(seed);
            // One attempt of 25 lasts longer, and loses.
            let breaker = breaker
                .slow_call(SECOND / 10)
                .slow_rate(0.02)
                .min_calls(500);
            (ends.clone(), breaker.build().expect("valid settings"))
        },
        |(_, breaker)| f64::from(breaker.state() == CircuitState::Open),
    );
    let total = report.expect("valid settings");
    let total = total.total(Duration::ZERO..Duration::MAX);
    assert_eq!(total.gauge, 0.0, "the circuit stays closed");
    assert!(total.hedges > 100, "{total:?}");
    let (succeeded, cancelled) = (ends.of(Outcome::Success), ends.of(Outcome::Cancelled));
    assert_eq!(
        (succeeded, cancelled),
        (total.calls, total.hedges),
        "one of both has lost wherever a hedge was sent"
    );
    assert_eq!((total.failed, total.timed_out, total.rejected), (0, 0, 0));
}

#[test]
fn settings_of_hedges_that_are_invalid_are_named() {
    let mut settings = HedgeSettings::default();
    settings.percentile = 2.0;
    let simulator = simulator().hedge(settings);
    let error = simulator.run(MINUTE, |_| None::<CircuitBreaker>);
    assert_eq!(error.unwrap_err().field(), "percentile");
}
