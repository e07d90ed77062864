use std::sync::atomic::{AtomicU64, Ordering};

/// The value of a gauge: the bits of a float.
#[derive(Debug, Default)]
pub(super) struct GaugeCell(AtomicU64);

impl GaugeCell {
    /// Returns the value.
    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl metrics::GaugeFn for GaugeCell {
    #[inline]
    fn increment(&self, value: f64) {
        add(&self.0, value);
    }

    #[inline]
    fn decrement(&self, value: f64) {
        add(&self.0, -value);
    }

    #[inline]
    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

/// Adds to a float that is stored as its bits.
#[inline]
pub(super) fn add(number: &AtomicU64, value: f64) {
    let mut bits = number.load(Ordering::Relaxed);
    loop {
        let sum = (f64::from_bits(bits) + value).to_bits();
        match number.compare_exchange_weak(bits, sum, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(changed) => bits = changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics::GaugeFn;

    use super::*;

    #[test]
    fn gauge_is_set_raised_and_lowered() {
        let gauge = GaugeCell::default();
        assert_eq!(gauge.get(), 0.0);
        gauge.set(2.0);
        gauge.increment(1.5);
        gauge.decrement(3.0);
        assert_eq!(gauge.get(), 0.5);
    }

    #[test]
    fn gauge_loses_no_change_of_two_threads() {
        let gauge = GaugeCell::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..10_000).for_each(|_| gauge.increment(1.0)));
            }
        });
        assert_eq!(gauge.get(), 20_000.0);
    }
}
