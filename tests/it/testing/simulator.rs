use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tower_keep::{
    Bulkhead, CircuitBreaker, Guard, Outcome, Rejection, Throttle,
    breaker::CircuitState,
    call::{CallClock, CallEnd},
    guard::Admit,
    retry::RetrySettings,
    testing::simulator::{Arrivals, Peer, Report, Simulator, Slice},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type NoGuard = Option<CircuitBreaker>;

fn run(simulator: &Simulator, duration: Duration) -> Report {
    let report = simulator.run(duration, |_| None::<CircuitBreaker>);
    report.expect("valid settings")
}

fn total(report: &Report) -> Slice {
    report.total(Duration::ZERO..Duration::MAX)
}

/// The time that a call waits for one of `c` workers which serve `rate` each, by Erlang's formula.
fn erlang_wait(workers: u32, rate: f64, arrivals: f64) -> f64 {
    let load = arrivals / rate;
    let c = f64::from(workers);
    // The probability that all workers are busy, by the recursion of Erlang's loss.
    let loss = (1..=workers).fold(1.0, |loss, n| load * loss / (f64::from(n) + load * loss));
    let waits = loss / (1.0 - load / c * (1.0 - loss));
    waits / (c * rate - arrivals)
}

#[test]
fn waits_are_those_of_the_textbook_queue() {
    for (workers, arrivals) in [(1, 7.0), (5, 40.0), (5, 25.0)] {
        let peer = Peer::new(workers, SECOND / 10).spread(1.0);
        let simulator = Simulator::new(peer, Arrivals::open(arrivals)).seed(3);
        let total = total(&run(&simulator, 8_000 * SECOND));
        let expected = 0.1 + erlang_wait(workers, 10.0, arrivals);
        let mean = total.mean_time().as_secs_f64();
        let seen = format!("{workers} workers, {arrivals}/s: {mean:.4} s for {expected:.4} s");
        assert!((mean / expected - 1.0).abs() < 0.05, "{seen}");
        assert_eq!(
            (total.calls, total.attempts),
            (total.succeeded, total.calls)
        );
    }
}

/// With no queue, the share of calls that find no worker is Erlang's loss.
#[test]
fn rejections_are_those_of_the_textbook_loss() {
    let peer = Peer::new(5, SECOND / 10).queue(0);
    let total = total(&run(
        &Simulator::new(peer, Arrivals::open(50.0)),
        4_000 * SECOND,
    ));
    let lost = total.overloaded as f64 / total.calls as f64;
    assert!((lost - 0.2849).abs() < 0.01, "{lost}");
    assert_eq!(total.succeeded + total.overloaded, total.calls);
}

#[test]
fn closed_arrivals_call_less_while_the_peer_is_slow() {
    let peer = Peer::new(100, SECOND / 10);
    let simulator = Simulator::new(peer, Arrivals::closed(50, SECOND))
        .peer_at(300 * SECOND, Peer::new(100, 4 * SECOND))
        .arrivals_at(600 * SECOND, Arrivals::open(20.0))
        .arrivals_at(900 * SECOND, Arrivals::open(0.0));
    let report = run(&simulator, 1_200 * SECOND);
    let rate = |from: u32| {
        let range = (from + 50) * SECOND..(from + 300) * SECOND;
        report.total(range).calls as f64 / 250.0
    };
    // Fifty users, who are at it for a second and the time of a call.
    for (from, expected) in [(0, 50.0 / 1.1), (300, 50.0 / 5.0), (600, 20.0)] {
        let rate = rate(from);
        assert!(
            (rate / expected - 1.0).abs() < 0.1,
            "{from}: {rate} for {expected}"
        );
    }
    assert_eq!(rate(900), 0.0);
}

#[test]
fn report_is_the_same_for_the_same_seed() {
    let peer = Peer::new(10, SECOND / 10).queue(10);
    let simulator = Simulator::new(peer, Arrivals::open(200.0))
        .clients(3)
        .retry(RetrySettings::default())
        .time_limit(SECOND);
    let run = |seed| {
        let simulator = simulator.clone().seed(seed);
        let report = simulator.run_with_gauge(
            MINUTE,
            |seed| {
                let throttle = Throttle::builder("simulated").seed(seed);
                let breaker = CircuitBreaker::builder("simulated").seed(seed);
                let (throttle, breaker) = (throttle.build(), breaker.build());
                (throttle.expect("valid"), breaker.expect("valid"))
            },
            |(throttle, _)| throttle.stats().rejection_rate,
        );
        report.expect("valid settings")
    };
    let report = run(7);
    let total = total(&report);
    assert!(total.rejected > 0 && total.overloaded > 0 && total.gauge > 0.0);
    assert_eq!(report, run(7));
    assert_ne!(report, run(8));
}

/// In a test of another runtime as well, whose clock is its own.
#[tokio::test(start_paused = true)]
async fn breaker_opens_in_an_outage_and_closes_after_it() {
    let before = tokio::time::Instant::now();
    let up = Peer::new(100, SECOND / 100);
    let simulator = Simulator::new(up, Arrivals::open(50.0))
        .peer_at(60 * SECOND, up.failure_rate(1.0))
        .peer_at(120 * SECOND, up);
    let report = simulator.run_with_gauge(
        5 * MINUTE,
        |seed| {
            let breaker = CircuitBreaker::builder("simulated").seed(seed);
            breaker.build().expect("valid settings")
        },
        |breaker| f64::from(breaker.state() == CircuitState::Open),
    );
    let report = report.expect("valid settings");
    assert_eq!(report.total(Duration::ZERO..MINUTE).gauge, 0.0);
    let outage = report.total(MINUTE..2 * MINUTE);
    assert!(
        outage.gauge > 0.5 && outage.rejected > outage.failed,
        "{outage:?}"
    );
    assert_eq!(report.total(4 * MINUTE..5 * MINUTE).goodput(), 1.0);
    assert_eq!(tokio::time::Instant::now(), before);
}

#[test]
fn retries_are_those_of_the_settings() {
    let peer = Peer::new(1_000, SECOND / 100).failure_rate(1.0);
    let simulator = Simulator::new(peer, Arrivals::open(100.0));
    let mut settings = RetrySettings::default();
    let attempts = |settings: &RetrySettings| {
        let simulator = simulator.clone().retry(settings.clone());
        total(&run(&simulator, 2 * MINUTE)).attempts_per_call()
    };
    // A fifth of the calls, and ten a second.
    let with_budget = attempts(&settings);
    assert!((with_budget - 1.3).abs() < 0.03, "{with_budget}");
    settings.budget = None;
    assert_eq!(attempts(&settings), 3.0);
    settings.max_attempts = 1;
    assert_eq!(attempts(&settings), 1.0);
}

#[test]
fn time_limits_end_calls_and_the_work_goes_on() {
    let peer = Peer::new(1, SECOND).spread(0.0);
    let simulator = Simulator::new(peer, Arrivals::open(0.5)).time_limit(SECOND / 2);
    let total = total(&run(&simulator, 200 * SECOND));
    assert!(total.calls > 50, "{total:?}");
    assert_eq!((total.succeeded, total.timed_out), (0, total.calls));
    // Whoever comes while the worker works for somebody who has gone waits behind that.
    assert!(
        run(&simulator, 200 * SECOND)
            .slices()
            .iter()
            .any(|slice| slice.queued > 0)
    );
}

/// Counts what the simulator shows it.
#[derive(Clone, Default)]
struct Counting(Arc<[AtomicU64; 3]>);

impl Counting {
    fn counts(&self) -> [u64; 3] {
        [0, 1, 2].map(|index| self.0[index].load(Relaxed))
    }
}

impl Guard for Counting {
    type Permit = ();

    fn on_end(&self, (): (), end: &CallEnd<'_>) {
        let rejected = usize::from(end.outcome() == Outcome::Rejected);
        self.0[1 + rejected].fetch_add(1, Relaxed);
        assert_eq!(end.now(), tokio::time::Instant::now(), "the simulated time");
        let lasted = end.elapsed().expect("admitted at some time");
        assert!(rejected == 1 || lasted == SECOND, "{lasted:?}");
    }
}

impl Admit<()> for Counting {
    fn admit(&self, (): &mut (), clock: &CallClock) -> Result<(), Rejection> {
        assert_eq!(clock.now(), tokio::time::Instant::now());
        self.0[0].fetch_add(1, Relaxed);
        Ok(())
    }
}

#[test]
fn guards_learn_of_each_end_and_of_rejections_by_later_guards() {
    let simulator = Simulator::new(Peer::new(9, SECOND).spread(0.0), Arrivals::open(10.0));
    let counting = Counting::default();
    let report = simulator.run(MINUTE, |_| {
        let bulkhead = Bulkhead::builder("simulated").limit(5).build();
        (counting.clone(), bulkhead.expect("valid settings"))
    });
    let total = total(&report.expect("valid settings"));
    assert!(total.rejected > 0 && total.succeeded > 0);
    assert_eq!(
        counting.counts(),
        [total.calls, total.succeeded, total.rejected]
    );
    assert_eq!(total.attempts, total.succeeded);
}

#[test]
fn settings_that_are_invalid_are_named() {
    let peer = Peer::new(1, SECOND);
    let simulator = || Simulator::new(peer, Arrivals::open(1.0));
    let mut settings = RetrySettings::default();
    settings.max_attempts = 0;
    for (field, invalid) in [
        ("clients", simulator().clients(0)),
        ("time_limit", simulator().time_limit(Duration::ZERO)),
        ("slice", simulator().slice(Duration::ZERO)),
        ("workers", simulator().peer_at(SECOND, Peer::new(0, SECOND))),
        ("peer_at", simulator().peer_at(MINUTE, peer)),
        (
            "arrivals_at",
            simulator().arrivals_at(MINUTE, Arrivals::open(2.0)),
        ),
        (
            "per_second",
            simulator().arrivals_at(SECOND, Arrivals::open(-2.0)),
        ),
        ("max_attempts", simulator().retry(settings)),
    ] {
        let error = invalid.run(MINUTE, |_| NoGuard::None).expect_err(field);
        assert_eq!(error.field(), field, "{error}");
    }
    for duration in [Duration::ZERO, Duration::MAX] {
        let error = simulator().run(duration, |_| NoGuard::None).unwrap_err();
        assert_eq!(error.field(), "duration");
    }
}
