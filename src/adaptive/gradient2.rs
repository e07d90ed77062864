use super::{Limit, Window, moving_mean::MovingMean};

/// The calls that may wait in the peer's queue: what lets the limit grow where times do not.
const QUEUE: f64 = 4.0;
/// The share of the new value in the limit.
const SMOOTHING: f64 = 0.2;
/// The factor by which times may be longer than usual.
const TOLERANCE: f64 = 1.5;
/// The fall after an overload, of which the times say nothing.
const OVERLOAD_RATIO: f64 = 0.9;

/// Compares the mean time of the latest calls with that of the last minutes, and shrinks the limit in proportion: Netflix's
/// `Gradient2Limit`, which here falls by a tenth after an overload as well.
///
/// The gradient is `1.5 × usual / latest`, between 0.5 and 1; the limit becomes four fifths of itself and one fifth of
/// `limit × gradient + 4`. It follows a peer that changes, and so takes an overload that lasts for what is usual: see
/// [`Correlation`](super::Correlation).
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient2 {
    usual: MovingMean,
}

impl Default for Gradient2 {
    fn default() -> Self {
        Gradient2 {
            usual: MovingMean::new(600, 10),
        }
    }
}

impl Limit for Gradient2 {
    fn update(&mut self, limit: f64, window: &Window) -> f64 {
        if window.is_overloaded() {
            return limit * OVERLOAD_RATIO;
        }
        let latest = window.mean.as_secs_f64();
        if latest == 0.0 {
            return limit;
        }
        let usual = self.usual.add(latest);
        // What was usual during an overload is not usual any more.
        if usual / latest > 2.0 {
            self.usual.scale(0.95);
        }
        let gradient = (TOLERANCE * usual / latest).clamp(0.5, 1.0);
        limit * (1.0 - SMOOTHING) + SMOOTHING * (limit * gradient + QUEUE)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn gradient2_follows_the_ratio_of_the_times() {
        let mut gradient = Gradient2::default();
        let usual = Window::new(100, 100 * MILLI);
        (0..20).for_each(|_| _ = gradient.update(50.0, &usual));
        let after = gradient.clone().update(50.0, &usual);
        assert!((after - 50.8).abs() < 1e-9, "a fifth of the queue: {after}");
        let after = gradient
            .clone()
            .update(50.0, &Window::new(100, 1_000 * MILLI));
        assert!(
            (after - 45.8).abs() < 1e-9,
            "half of it, by a fifth: {after}"
        );
        assert_eq!(gradient.update(50.0, &usual.with_overloads(50)), 45.0);
    }

    #[test]
    fn gradient2_takes_what_was_slow_for_usual_no_longer_than_it_is() {
        let mut gradient = Gradient2::default();
        (0..10).for_each(|_| _ = gradient.update(50.0, &Window::new(100, 1_000 * MILLI)));
        let before = gradient.usual.clone();
        gradient.update(50.0, &Window::new(100, 100 * MILLI));
        let mut expected = before;
        expected.add(0.1);
        expected.scale(0.95);
        assert_eq!(gradient.usual, expected);
    }
}
