//! Settings as the model has them: exact, and in milliseconds.

use std::time::Duration;

use tower_keep::{
    CircuitBreaker,
    breaker::{BreakerSettings, CircuitBreakerBuilder},
};

/// Exact: so many of so many.
#[derive(Clone, Copy, Debug)]
pub struct Ratio(pub u32, pub u32);

impl Ratio {
    pub fn reached(self, part: usize, all: usize) -> bool {
        part * self.1 as usize >= self.0 as usize * all
    }

    fn float(self) -> f64 {
        f64::from(self.0) / f64::from(self.1)
    }
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The width of a bucket, and how many of them the time window has.
    pub bucket: u64,
    pub buckets: usize,
    pub count_window: Option<usize>,
    pub min_calls: usize,
    pub failure_rate: Option<Ratio>,
    pub in_a_row: Option<u32>,
    pub slow_call: Option<u64>,
    pub slow_rate: Option<Ratio>,
    pub open: u64,
    pub growth: u32,
    pub most_open: u64,
    pub jitter: f64,
    pub probes: u32,
    pub probe_ratio: Ratio,
    pub probe_limit: Option<u64>,
    pub seed: u64,
}

impl Settings {
    pub fn builder(&self) -> CircuitBreakerBuilder {
        let builder = CircuitBreaker::builder("model");
        let mut builder = match self.count_window {
            Some(calls) => builder.count_window(calls),
            None => builder.time_window(self.bucket() * self.buckets as u32, self.buckets),
        };
        if let Some(limit) = self.probe_limit {
            builder = builder.probe_timeout(Duration::from_millis(limit));
        }
        builder
            .min_calls(self.min_calls as u32)
            .failure_rate(self.failure_rate.map(Ratio::float))
            .consecutive_failures(self.in_a_row)
            .slow_call(self.slow_call.map(Duration::from_millis))
            .slow_rate(self.slow_rate.map(Ratio::float))
            .open_time(Duration::from_millis(self.open))
            .open_backoff(f64::from(self.growth))
            .max_open_time(Duration::from_millis(self.most_open))
            .open_jitter(self.jitter)
            .probes(self.probes)
            .probe_success_ratio(self.probe_ratio.float())
            .seed(self.seed)
    }

    pub fn values(&self) -> BreakerSettings {
        self.builder().build().expect("sound settings").settings()
    }

    pub fn bucket(&self) -> Duration {
        Duration::from_millis(self.bucket)
    }

    /// Returns the parts that tell its window from others.
    pub fn shape(&self) -> (Option<usize>, Option<(u64, usize)>) {
        let time = self.count_window.is_none();
        (
            self.count_window,
            time.then_some((self.bucket, self.buckets)),
        )
    }

    pub fn probe_limit(&self) -> Duration {
        self.probe_limit
            .map_or(Duration::from_secs(30), Duration::from_millis)
    }

    /// The fewest good probes that are enough.
    pub fn needed(&self) -> u32 {
        let enough = |good: &u32| {
            self.probe_ratio
                .reached(*good as usize, self.probes as usize)
        };
        (1..=self.probes).find(enough).expect("all of them")
    }
}
