/// A mean in which the latest values count most: `2 / (age + 1)` of the mean is the latest one. The first few are averaged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MovingMean {
    age: f64,
    warm_up: u32,
    seen: u32,
    mean: f64,
}

impl MovingMean {
    pub(super) fn new(age: u32, warm_up: u32) -> Self {
        MovingMean {
            age: f64::from(age),
            warm_up,
            seen: 0,
            mean: 0.0,
        }
    }

    /// Adds a value, and returns the mean.
    pub(super) fn add(&mut self, value: f64) -> f64 {
        let weight = if self.seen < self.warm_up {
            self.seen += 1;
            1.0 / f64::from(self.seen)
        } else {
            2.0 / (self.age + 1.0)
        };
        self.mean += (value - self.mean) * weight;
        self.mean
    }

    pub(super) fn scale(&mut self, factor: f64) {
        self.mean *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::MovingMean;

    #[test]
    fn moving_mean_averages_the_first_and_follows_the_latest() {
        let mut mean = MovingMean::new(9, 3);
        assert_eq!(
            [10.0, 20.0, 30.0].map(|value| mean.add(value)),
            [10.0, 15.0, 20.0]
        );
        assert!(
            (mean.add(70.0) - 30.0).abs() < 1e-9,
            "a fifth of the difference"
        );
        mean.scale(0.5);
        assert!((mean.add(15.0) - 15.0).abs() < 1e-9);
    }
}
