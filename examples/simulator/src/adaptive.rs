use std::time::Duration;

use plotters::chart::SeriesLabelPosition;
use tower_keep::{
    Bulkhead, ConfigError,
    adaptive::AdaptiveSettings,
    testing::simulator::{Arrivals, Peer, Simulator},
};

use crate::chart::{Chart, Line};

/// Draws the limit of a bulkhead beside the knee of a peer that changes.
pub fn chart() -> Result<Chart, ConfigError> {
    let seconds = Duration::from_secs;
    let peer = |workers, millis| Peer::new(workers, Duration::from_millis(millis));
    let steps = [
        (0, peer(50, 100), "50 workers"),
        (300, peer(25, 100), "25 workers"),
        (600, peer(50, 300), "50, three times as slow"),
        (
            900,
            peer(50, 50).slow(0.05, 10.0),
            "50, one call of 20 takes ten times as long",
        ),
    ];
    let mut simulator = Simulator::new(steps[0].1, Arrivals::open(1_000.0)).slice(seconds(3));
    for (at, peer, _) in &steps[1..] {
        simulator = simulator.peer_at(seconds(*at), *peer);
    }
    let report = simulator.run_with_gauge(
        seconds(1_260),
        |_| {
            let limit = Bulkhead::builder("ledger").limit(20);
            let limit = limit.adaptive(AdaptiveSettings::default()).build();
            limit.expect("the defaults are valid")
        },
        |limit| f64::from(limit.limit()),
    )?;
    let knee = |at: f64| {
        if (300.0..600.0).contains(&at) {
            25.0
        } else {
            50.0
        }
    };
    Ok(Chart {
        title: "The limit of an adaptive bulkhead; the peer gets more calls than it can serve",
        y_title: "calls in flight",
        y_max: 90.0,
        legend: SeriesLabelPosition::LowerRight,
        lines: vec![
            Line::new("limit", &report, |slice| slice.gauge),
            Line::new("knee of the peer", &report, |slice| {
                knee(slice.start.as_secs_f64())
            }),
        ],
        marks: steps.map(|(at, _, name)| (seconds(at), name)).to_vec(),
    })
}
