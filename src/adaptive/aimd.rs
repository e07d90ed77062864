use std::time::Duration;

use super::{Limit, Window};

/// Additive increase, multiplicative decrease, as TCP does it: one more call after a window without overload, a tenth fewer
/// after one with.
///
/// Simple and hard to mislead, but blind to latency unless [`slow_after`](Self::slow_after) is set: the peer has to reject
/// calls, or to run into time limits, before the limit falls. The formula is that of Netflix's `AIMDLimit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aimd {
    ratio: f64,
    slow_after: Option<Duration>,
}

impl Aimd {
    /// Sets the mean time of the calls of a window from which on the peer is overloaded. Default: none.
    #[must_use]
    pub fn slow_after(mut self, time: Duration) -> Self {
        self.slow_after = Some(time);
        self
    }
}

impl Default for Aimd {
    fn default() -> Self {
        Aimd {
            ratio: 0.9,
            slow_after: None,
        }
    }
}

impl Limit for Aimd {
    fn update(&mut self, limit: f64, window: &Window) -> f64 {
        let is_slow = self.slow_after.is_some_and(|time| window.mean >= time);
        if window.is_overloaded() || is_slow {
            limit * self.ratio
        } else {
            limit + 1.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aimd_adds_one_and_takes_a_tenth() {
        let window = Window::new(100, Duration::from_millis(50));
        let mut aimd = Aimd::default();
        assert_eq!(aimd.update(20.0, &window), 21.0);
        assert_eq!(
            aimd.update(20.0, &window.clone().with_overloads(1)),
            21.0,
            "a stray one"
        );
        assert_eq!(aimd.update(20.0, &window.clone().with_overloads(2)), 18.0);
        let mut timed = Aimd::default().slow_after(Duration::from_millis(50));
        assert_eq!(timed.update(20.0, &window), 18.0);
    }
}
