use std::time::Duration;

use crate::context::TraceId;

/// Default in builds for production, as for most tracing systems: one trace in ten.
const DEFAULT_RATE: f64 = if cfg!(debug_assertions) { 1.0 } else { 0.1 };
/// The same as the default threshold of slow calls.
const DEFAULT_SLOW: Duration = Duration::from_secs(1);

/// The traces that are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct TraceSampling {
    pub(super) rate: f64,
    pub(super) keeps_errors: bool,
    pub(super) slow: Option<Duration>,
}

impl Default for TraceSampling {
    fn default() -> Self {
        TraceSampling {
            rate: DEFAULT_RATE,
            keeps_errors: true,
            slow: Some(DEFAULT_SLOW),
        }
    }
}

impl TraceSampling {
    /// Returns whether a trace is among those that are kept whatever happens in it. The same for each part of a trace, in each
    /// process.
    #[inline]
    pub(super) fn is_sampled(self, trace_id: TraceId) -> bool {
        // The bits that all generators make random.
        let bits = u128::from_be_bytes(trace_id.to_bytes()) as u64 >> 8;
        (bits as f64) < self.rate * (1_u64 << 56) as f64
    }

    /// Returns whether nothing that happens in a trace can make it one that is kept.
    #[inline]
    pub(super) fn is_decided(self, trace_id: TraceId) -> bool {
        !self.keeps_errors && self.slow.is_none() && !self.is_sampled(trace_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_keeps_about_the_rate() {
        let kept = |rate| {
            let sampling = TraceSampling {
                rate,
                ..TraceSampling::default()
            };
            let traces = (0..10_000).map(|_| TraceId::generate());
            traces.filter(|id| sampling.is_sampled(*id)).count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
        assert!((2_000..3_000).contains(&kept(0.25)));
    }
}
