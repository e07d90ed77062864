use std::time::Duration;

use plotters::chart::SeriesLabelPosition;
use tower_keep::{
    CircuitBreaker, ConfigError,
    retry::RetrySettings,
    testing::simulator::{Arrivals, Peer, Report, Simulator},
};

use crate::chart::{Chart, Line};

const SECONDS: u64 = 75;

/// Draws a metastable failure: retries without a budget keep a peer down after what brought it down has passed.
pub fn chart() -> Result<Chart, ConfigError> {
    let seconds = Duration::from_secs;
    let peer = |millis| Peer::new(5, Duration::from_millis(millis)).queue(200);
    let simulator = Simulator::new(peer(25), Arrivals::open(150.0))
        .clients(5)
        .time_limit(Duration::from_millis(500))
        .peer_at(seconds(15), peer(250))
        .peer_at(seconds(25), peer(25));
    let (with_budget, mut unbounded) = (RetrySettings::default(), RetrySettings::default());
    unbounded.budget = None;
    let retries = |settings: &RetrySettings| simulator.clone().retry(settings.clone());
    let goodput =
        |name: &str, report: Report| Line::new(name, &report, |slice| slice.goodput() * 100.0);
    let no_guard = |_| None::<CircuitBreaker>;
    let breaker = |seed| {
        let breaker = CircuitBreaker::builder("ledger").seed(seed);
        breaker.build().expect("the defaults are valid")
    };
    Ok(Chart {
        title: "Calls that succeed, in percent: for ten seconds the peer is ten times as slow",
        y_title: "percent",
        y_max: 115.0,
        legend: SeriesLabelPosition::LowerRight,
        lines: vec![
            goodput(
                "retries without a budget",
                retries(&unbounded).run(seconds(SECONDS), no_guard)?,
            ),
            goodput(
                "retries with the default budget",
                retries(&with_budget).run(seconds(SECONDS), no_guard)?,
            ),
            goodput(
                "the same, and a breaker",
                retries(&with_budget).run(seconds(SECONDS), breaker)?,
            ),
        ],
        marks: vec![(seconds(15), "slow"), (seconds(25), "as before")],
    })
}
