use std::collections::VecDeque;

/// The latest pairs of two figures, with how they go together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CorrelationWindow {
    pairs: VecDeque<(f64, f64)>,
}

/// The pairs that are kept: those of the last minute, mostly.
const KEPT: usize = 50;
/// The pairs without which nothing is said.
const WARM_UP: usize = 10;
/// The share of the best mean that is near it.
const NEAR_BEST: f64 = 0.9;
/// The figures of a mean: the largest single one of fifty is far above the others where calls differ much.
const COMPARED: usize = 3;

impl CorrelationWindow {
    pub(super) fn new() -> Self {
        CorrelationWindow {
            pairs: VecDeque::with_capacity(KEPT),
        }
    }

    pub(super) fn add(&mut self, x: f64, y: f64) {
        if self.pairs.len() == KEPT {
            self.pairs.pop_front();
        }
        self.pairs.push_back((x, y));
    }

    /// Returns Pearson's coefficient, -1 to 1; 0 where there are too few pairs, or one of the figures does not change.
    pub(super) fn coefficient(&self) -> f64 {
        if self.pairs.len() < WARM_UP {
            return 0.0;
        }
        let (mean_x, mean_y) = self.means();
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in &self.pairs {
            let (dx, dy) = (x - mean_x, y - mean_y);
            (xy, xx, yy) = (xy + dx * dy, xx + dx * dx, yy + dy * dy);
        }
        match (xx * yy).sqrt() {
            0.0 => 0.0,
            spread => xy / spread,
        }
    }

    /// Returns the standard deviation of the second figure by its mean; 0 where there are too few pairs.
    pub(super) fn variation(&self) -> f64 {
        let (_, mean) = self.means();
        if self.pairs.len() < WARM_UP || mean == 0.0 {
            return 0.0;
        }
        let squares: f64 = self.pairs.iter().map(|(_, y)| (y - mean).powi(2)).sum();
        (squares / self.len()).sqrt() / mean
    }

    /// Returns whether the last of the second figures is at most a tenth below the largest mean of three in a row.
    pub(super) fn is_near_best(&self) -> bool {
        let means = (COMPARED..=self.pairs.len()).map(|end| {
            let compared = self.pairs.range(end - COMPARED..end);
            compared.map(|(_, y)| y).sum::<f64>() / COMPARED as f64
        });
        let best = means.fold(0.0, f64::max);
        self.pairs
            .back()
            .is_some_and(|(_, y)| *y >= best * NEAR_BEST)
    }

    fn means(&self) -> (f64, f64) {
        let sum = self
            .pairs
            .iter()
            .fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
        (sum.0 / self.len(), sum.1 / self.len())
    }

    fn len(&self) -> f64 {
        self.pairs.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> CorrelationWindow {
        let mut window = CorrelationWindow::new();
        pairs.into_iter().for_each(|(x, y)| window.add(x, y));
        window
    }

    #[test]
    fn coefficient_tells_what_goes_together() {
        let line = |slope: f64| of((0..20).map(|n| (f64::from(n), 100.0 + slope * f64::from(n))));
        assert!((line(2.0).coefficient() - 1.0).abs() < 1e-9);
        assert!((line(-2.0).coefficient() + 1.0).abs() < 1e-9);
        assert_eq!(line(0.0).coefficient(), 0.0);
        assert_eq!(
            of((0..9).map(|n| (f64::from(n), f64::from(n)))).coefficient(),
            0.0,
            "too few"
        );
    }

    #[test]
    fn variation_is_relative_to_the_mean() {
        let window = of((0..20).map(|n| (0.0, if n % 2 == 0 { 90.0 } else { 110.0 })));
        assert!((window.variation() - 0.1).abs() < 1e-9);
        assert_eq!(of([(1.0, 1.0)]).variation(), 0.0);
    }

    #[test]
    fn last_figure_is_near_the_best_of_those_that_are_kept() {
        let after_100 = |last: f64| of([100.0, 100.0, 100.0, last].map(|y| (0.0, y)));
        assert!(after_100(90.0).is_near_best());
        let mut window = after_100(89.0);
        assert!(!window.is_near_best());
        (0..50).for_each(|_| window.add(0.0, 89.0));
        assert!(window.is_near_best());
    }

    #[test]
    fn single_figure_is_not_the_best() {
        let noisy = [100.0, 120.0, 95.0, 95.0].map(|y| (0.0, y));
        assert!(of(noisy).is_near_best());
    }

    #[test]
    fn correlation_window_keeps_the_latest() {
        let mut window = of((0..50).map(|n| (f64::from(n), f64::from(n))));
        (0..50).for_each(|n| window.add(f64::from(n), -f64::from(n)));
        assert!((window.coefficient() + 1.0).abs() < 1e-9);
    }
}
