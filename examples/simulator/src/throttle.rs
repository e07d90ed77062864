use std::time::Duration;

use plotters::chart::SeriesLabelPosition;
use tower_keep::{
    ConfigError, Throttle,
    testing::simulator::{Arrivals, Peer, Simulator},
    throttle::ThrottleAccounting::{Admitted, All},
};

use crate::chart::{Chart, Line};

/// Draws what reaches a peer through throttles, when six times as much comes as it can serve.
pub fn chart() -> Result<Chart, ConfigError> {
    let seconds = Duration::from_secs;
    let peer = Peer::new(20, Duration::from_millis(200)).queue(20);
    let simulator = Simulator::new(peer, Arrivals::open(80.0))
        .slice(seconds(2))
        .arrivals_at(seconds(60), Arrivals::open(600.0))
        .arrivals_at(seconds(180), Arrivals::open(80.0));
    let none = simulator.run(seconds(360), |_| None::<Throttle>)?;
    let mut lines = vec![Line::new("no throttle", &none, |slice| {
        slice.attempts as f64 / 2.0
    })];
    for (name, accounting, factor) in [
        ("all calls count, factor 2 (default)", All, 2.0),
        ("all calls count, factor 1.1", All, 1.1),
        ("admitted calls count, factor 1.1", Admitted, 1.1),
    ] {
        let report = simulator.run(seconds(360), |seed| {
            let throttle = Throttle::builder("ledger")
                .accounting(accounting)
                .factor(factor);
            throttle.seed(seed).build().expect("valid settings")
        })?;
        lines.push(Line::new(name, &report, |slice| {
            slice.attempts as f64 / 2.0
        }));
    }
    Ok(Chart {
        title: "Calls a second that reach a peer which can serve 100",
        y_title: "calls a second",
        y_max: 700.0,
        legend: SeriesLabelPosition::UpperRight,
        lines,
        marks: vec![
            (seconds(60), "600 calls a second come"),
            (seconds(180), "80 come"),
        ],
    })
}
