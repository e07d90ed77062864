use super::{Limit, Window, correlation_window::CorrelationWindow, moving_mean::MovingMean};

/// The latest quantiles of which the median is taken, and over which that is averaged: one slow window is no overload.
const SMOOTHED: usize = 5;
/// The windows over which the baseline is averaged.
const BASELINE: u32 = 10;
const WARM_UP: u32 = 10;
/// The fall after an overload of which the peer tells: its times say nothing of what it rejects.
const OVERLOAD_RATIO: f64 = 0.9;

/// Compares the p90 of the latest calls with that of the last windows, and looks whether more calls in flight still bring more
/// throughput, or only longer times. The default.
///
/// The queue is `limit × (1 − baseline / latest)`. With `log₁₀ limit` as the unit, but at least 1, the limit falls by one
/// unit if the queue is longer than six, and grows by one if it is shorter than three. While the limit is used up, it also falls
/// if over the last 50 windows throughput falls as calls in flight grow, or if throughput stays as it is and times grow:
/// without that guard, an overload that begins slowly becomes the baseline, and the limit drifts up. It does so only while
/// throughput is at most a tenth below that of the best three of these windows in a row, so that it stops once fewer calls do cost
/// throughput: three, since a single one may be far above the others by chance. After an overload that the peer tells of, it falls
/// by a tenth.
///
/// The formula is that of failsafe-go's adaptive limiter, but for the last two sentences, and for the throughput, which is counted
/// instead of derived from calls in flight and times. In simulations of a peer that gets twice as many calls as it can
/// take, the limit then stays within a fifth of the knee, where it went up and down by half before.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    latest: Vec<f64>,
    smoothed: MovingMean,
    baseline: MovingMean,
    throughput: CorrelationWindow,
    times: CorrelationWindow,
}

impl Default for Correlation {
    fn default() -> Self {
        Correlation {
            latest: Vec::with_capacity(SMOOTHED),
            smoothed: MovingMean::new(SMOOTHED as u32, WARM_UP),
            baseline: MovingMean::new(BASELINE, WARM_UP),
            throughput: CorrelationWindow::new(),
            times: CorrelationWindow::new(),
        }
    }
}

impl Correlation {
    fn smooth(&mut self, p90: f64) -> f64 {
        if self.latest.len() == SMOOTHED {
            self.latest.remove(0);
        }
        self.latest.push(p90);
        let mut sorted = self.latest.clone();
        sorted.sort_by(f64::total_cmp);
        self.smoothed.add(sorted[sorted.len() / 2])
    }

    /// Returns whether more calls in flight bring nothing any more.
    fn is_saturated(&self) -> bool {
        // Below the knee, where the figures of the way down still say that it was above.
        if !self.throughput.is_near_best() {
            return false;
        }
        let throughput = self.throughput.coefficient();
        let times_grow = self.times.coefficient() > 0.5;
        throughput < 0.0
            || throughput < 0.3 && times_grow
            || self.throughput.variation() < 0.2 && times_grow
    }
}

impl Limit for Correlation {
    fn update(&mut self, limit: f64, window: &Window) -> f64 {
        if window.is_overloaded() {
            return limit * OVERLOAD_RATIO;
        }
        let p90 = window.p90.as_secs_f64();
        if p90 == 0.0 {
            return limit;
        }
        let latest = self.smooth(p90);
        let baseline = self.baseline.add(latest);
        let in_flight = f64::from(window.max_in_flight);
        let throughput = window.samples as f64 / window.duration.as_secs_f64().max(1e-9);
        self.throughput.add(in_flight, throughput);
        self.times.add(in_flight, latest);

        let unit = limit.log10().floor().max(1.0);
        let queue = (limit * (1.0 - baseline / latest)).ceil();
        if queue > 6.0 * unit || window.was_full && self.is_saturated() {
            limit - unit
        } else if queue < 3.0 * unit {
            limit + unit
        } else {
            limit
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(in_flight: u32, millis: u64) -> Window {
        Window::new(100, Duration::from_millis(millis)).with_in_flight(in_flight, true)
    }

    fn after(windows: impl IntoIterator<Item = Window>) -> Correlation {
        let mut limit = Correlation::default();
        windows
            .into_iter()
            .for_each(|window| _ = limit.update(20.0, &window));
        limit
    }

    #[test]
    fn correlation_grows_while_times_stay_as_they_are() {
        let mut limit = after((0..20).map(|_| window(20, 100)));
        assert_eq!(limit.update(20.0, &window(20, 100)), 21.0);
        assert_eq!(
            limit.update(200.0, &window(200, 100)),
            202.0,
            "a larger unit"
        );
    }

    #[test]
    fn correlation_falls_once_calls_queue_up() {
        let mut limit = after((0..20).map(|_| window(20, 100)));
        let steps: Vec<_> = (0..4)
            .map(|_| limit.update(20.0, &window(20, 1_000)))
            .collect();
        assert_eq!(steps[0], 21.0, "one slow window is no overload");
        assert_eq!(steps[3], 19.0);
        assert_eq!(
            limit.update(20.0, &window(20, 100).with_overloads(50)),
            18.0
        );
    }

    /// The overload that begins slowly: each window is only a little slower than what is usual.
    #[test]
    fn correlation_falls_if_only_times_grow() {
        let slowly = |n: u32| window(20 + n, 100 + 5 * u64::from(n));
        let mut limit = after((0..40).map(slowly));
        assert_eq!(limit.update(60.0, &slowly(40)), 59.0);
        let idle = Window {
            was_full: false,
            ..slowly(41)
        };
        assert!(
            limit.update(60.0, &idle) >= 60.0,
            "the limit is not used up"
        );
    }
}
