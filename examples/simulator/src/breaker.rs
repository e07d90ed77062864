use std::time::Duration;

use plotters::chart::SeriesLabelPosition;
use tower_keep::{
    CircuitBreaker, ConfigError,
    breaker::BreakerSettings,
    testing::simulator::{Arrivals, Peer, Report, Simulator},
};

use crate::chart::{Chart, Line};

/// Draws what a peer gets in an outage of a minute, and how long after it calls come through again.
pub fn chart() -> Result<Chart, ConfigError> {
    let seconds = Duration::from_secs;
    let up = Peer::new(50, Duration::from_millis(50));
    let simulator = Simulator::new(up, Arrivals::open(100.0))
        .peer_at(seconds(30), up.failure_rate(1.0))
        .peer_at(seconds(90), up);
    let attempts = |name, report: Report| Line::new(name, &report, |slice| slice.attempts as f64);
    let run = |settings: BreakerSettings| {
        settings.check("ledger")?;
        simulator.run(seconds(180), |seed| {
            let breaker = CircuitBreaker::builder("ledger").settings(&settings);
            breaker.seed(seed).build().expect("checked")
        })
    };
    let mut sooner = BreakerSettings::default();
    sooner.consecutive_failures = Some(5);
    sooner.max_open_time = Some(seconds(10));
    let no_breaker = simulator.run(seconds(180), |_| None::<CircuitBreaker>)?;
    Ok(Chart {
        title: "Calls a second that reach a peer which is down for a minute",
        y_title: "calls a second",
        y_max: 200.0,
        legend: SeriesLabelPosition::UpperRight,
        lines: vec![
            attempts("no breaker", no_breaker),
            attempts("defaults", run(BreakerSettings::default())?),
            attempts("consecutive_failures 5, max_open_time 10 s", run(sooner)?),
        ],
        marks: vec![(seconds(30), "down"), (seconds(90), "up")],
    })
}
