use std::{ops::Range, time::Duration};

use plotters::chart::SeriesLabelPosition;
use tower_keep::{
    CircuitBreaker, ConfigError,
    hedge::HedgeSettings,
    testing::simulator::{Arrivals, Peer, Report, Simulator},
};

use crate::chart::{Chart, Line};

const SECONDS: u64 = 390;
/// The times at which the peer changes.
const BIMODAL_AT: u64 = 60;
const SLOWER_AT: u64 = 180;

/// Draws the 99th percentile of a peer that is slow at times, with and without hedges.
pub fn chart() -> Result<Chart, ConfigError> {
    let lines = [
        ("no hedge", None),
        (
            "hedge after the p95 (default)",
            Some(HedgeSettings::default()),
        ),
        ("hedge after 100 ms", Some(fixed())),
    ];
    let lines = lines.map(|(name, settings)| {
        Ok(Line {
            name: name.into(),
            points: p99(&report(settings)?),
        })
    });
    Ok(Chart {
        title: "The time within which 99 of 100 calls succeed",
        y_title: "ms",
        y_max: 1_800.0,
        legend: SeriesLabelPosition::UpperRight,
        lines: lines.into_iter().collect::<Result<_, ConfigError>>()?,
        marks: vec![
            (
                Duration::from_secs(BIMODAL_AT),
                "one call of 25 takes ten times as long",
            ),
            (Duration::from_secs(SLOWER_AT), "and all take twice as long"),
        ],
    })
}

fn fixed() -> HedgeSettings {
    let mut settings = HedgeSettings::default();
    settings.delay = Some(Duration::from_millis(100));
    settings
}

fn report(settings: Option<HedgeSettings>) -> Result<Report, ConfigError> {
    let seconds = Duration::from_secs;
    let peer = |millis| Peer::new(200, Duration::from_millis(millis));
    let mut simulator = Simulator::new(peer(50), Arrivals::open(100.0))
        .slice(seconds(10))
        .peer_at(seconds(BIMODAL_AT), peer(50).slow(0.04, 10.0))
        .peer_at(seconds(SLOWER_AT), peer(100).slow(0.04, 10.0));
    if let Some(settings) = settings {
        simulator = simulator.hedge(settings);
    }
    simulator.run(seconds(SECONDS), |_| None::<CircuitBreaker>)
}

fn p99(report: &Report) -> Vec<(f64, f64)> {
    let slices = report.slices().iter();
    let points = slices.map(|slice| {
        let millis = millis(
            report,
            slice.start..slice.start + Duration::from_nanos(1),
            0.99,
        );
        (slice.start.as_secs_f64(), millis)
    });
    points.collect()
}

fn millis(report: &Report, range: Range<Duration>, fraction: f64) -> f64 {
    report.percentile(range, fraction).as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The median and the 99th percentile in milliseconds, and the hedges of a hundred calls: where one call of 25 is slow, and
    /// where all take twice as long as well.
    const FIGURES: [[[f64; 3]; 2]; 3] = [
        [[47.0, 539.0, 0.0], [95.0, 1_078.0, 0.0]],
        [[47.0, 143.0, 5.2], [95.0, 293.0, 5.0]],
        [[47.0, 154.0, 4.3], [95.0, 836.0, 29.8]],
    ];

    #[test]
    fn figures_are_those_of_the_guide() {
        // Without the first half minute of each, in which the percentile finds out.
        let phases = [(BIMODAL_AT, SLOWER_AT), (SLOWER_AT, SECONDS)];
        let phases =
            phases.map(|(from, to)| Duration::from_secs(from + 30)..Duration::from_secs(to));
        let settings = [None, Some(HedgeSettings::default()), Some(fixed())];
        for (settings, expected) in settings.into_iter().zip(FIGURES) {
            let report = report(settings).expect("valid settings");
            for (phase, expected) in phases.iter().zip(expected) {
                let total = report.total(phase.clone());
                let hedges = 100.0 * total.hedges as f64 / total.calls as f64;
                let [median, p99] = [0.5, 0.99].map(|part| millis(&report, phase.clone(), part));
                let found = [median, p99, hedges];
                let are_near =
                    |(found, expected): (f64, f64)| (found - expected).abs() <= expected * 0.04;
                let mut pairs = found.into_iter().zip(expected);
                assert!(pairs.all(are_near), "{found:?} for {expected:?}");
            }
        }
    }
}
