//! A bounded log-linear histogram: eight steps to each doubling, so a quantile is at most 1/8 too high.

use std::time::Duration;

/// Each doubling is cut into so many equal steps.
const STEPS: usize = 1 << STEP_BITS;
const STEP_BITS: usize = 3;
/// Microseconds up to 2^32, that is 71 minutes; what is longer counts as that long.
const BUCKETS: usize = (32 - STEP_BITS + 1) * STEPS;

#[derive(Clone)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = [0; BUCKETS];
        Self { counts, total: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, value: Duration) {
        let micros = u32::try_from(value.as_micros()).unwrap_or(u32::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
    }

    /// The highest value of the bucket that holds this fraction of all values; `None` without values.
    pub fn quantile(&self, fraction: f64) -> Option<Duration> {
        let rank = (fraction * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(Duration::from_micros(highest(found)))
    }
}

/// Small values have a bucket each; above, the highest bit picks the row and the next three the step.
fn bucket(micros: u32) -> usize {
    let micros = micros as usize;
    let row = (micros.max(STEPS).ilog2() as usize) - STEP_BITS;
    (row << STEP_BITS) + (micros >> row)
}

fn highest(bucket: usize) -> u64 {
    let row = (bucket >> STEP_BITS).saturating_sub(1);
    let step = (bucket - (row << STEP_BITS)) as u64;
    ((step + 1) << row) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_lies_in_its_bucket() {
        let around_powers = (0..32).flat_map(|bit| [(1u32 << bit) - 1, 1 << bit, 3 << bit >> 1]);
        for micros in (0..5000).chain(around_powers).chain([u32::MAX]) {
            let (found, value) = (bucket(micros), u64::from(micros));
            assert!(found < BUCKETS, "{micros}");
            assert!(value <= highest(found), "{micros}");
            assert!(found == 0 || value > highest(found - 1), "{micros}");
            assert!(highest(found) <= value + value / 8, "{micros}");
        }
    }

    #[test]
    fn quantiles_name_the_right_value() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        let near = |fraction, millis: u64| {
            let found = histogram.quantile(fraction).expect("values").as_millis() as u64;
            assert!(
                (millis..=millis + millis / 8).contains(&found),
                "{found} for {millis}"
            );
        };
        near(0.5, 50);
        near(0.99, 99);
        near(0.0, 1);
        near(1.0, 100);
    }

    #[test]
    fn histogram_counts_the_longest_value() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert!(histogram.quantile(0.5) > Some(Duration::from_secs(4000)));
    }
}
