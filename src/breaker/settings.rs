use std::time::Duration;

use tokio::time::Instant;

use super::window::{BucketClock, Window};

/// The validated settings that decide about calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// The time that the window covers, and the number of its buckets.
    pub(super) time_window: (Duration, usize),
    /// The number of calls that the window holds, whenever they were: used instead of the time window.
    pub(super) count_window: Option<usize>,
    pub(super) min_calls: u32,
    pub(super) failure_rate: Option<f64>,
    pub(super) consecutive_failures: Option<u32>,
    pub(super) slow_call: Option<Duration>,
    pub(super) slow_rate: Option<f64>,
    pub(super) open_time: Duration,
    pub(super) open_backoff: f64,
    pub(super) max_open_time: Duration,
    pub(super) open_jitter: f64,
    pub(super) probes: u32,
    pub(super) probe_success_ratio: f64,
    /// The smallest number of probes that reaches the ratio.
    pub(super) probes_required: u32,
    pub(super) probe_timeout: Duration,
    pub(super) seed: Option<u64>,
}

impl Settings {
    pub(super) fn new_window(&self) -> Window {
        match self.count_window {
            Some(calls) => Window::of_calls(calls),
            None => Window::of_time(self.time_window.1),
        }
    }

    pub(super) fn bucket_clock(&self, start: Instant) -> BucketClock {
        match self.count_window {
            // A count window has no buckets: all calls fall into the first.
            Some(_) => BucketClock::new(start, Duration::MAX, 1),
            None => BucketClock::new(start, self.time_window.0, self.time_window.1),
        }
    }
}
