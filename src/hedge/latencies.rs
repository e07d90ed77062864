//! The delay of a hedge by a percentile: how long attempts took of late. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::util::log_linear::{BUCKETS_PER_OCTAVE, bucket_of, lower_bound_of};

/// The times that have buckets of their own: from 0.95 µs on, 32 powers of two up to 68 min.
const MIN_SECONDS: f64 = 1.0 / (1 << 20) as f64;
const BUCKETS: usize = 32 * BUCKETS_PER_OCTAVE;
/// The largest error that adding up the parts of all samples makes.
const ROUNDING: f64 = 1e-9;
/// The percentile is found anew after so large a part of all samples, a thirty-second, and at least so many.
const MIN_NEW_SAMPLES: u64 = 8;

/// The checked settings that decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LatencyConfig {
    /// A fraction.
    pub(super) percentile: f64,
    pub(super) min_samples: u32,
    pub(super) window: Duration,
}

/// The end of an attempt that has lasted for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// The peer has answered.
    Answered,
    /// The peer has not answered by then: the attempt was dropped, or has failed. It would have taken longer.
    Censored,
}

/// The times of the attempts of a window, in two halves, of which the older one is forgotten as a whole.
///
/// The percentile is that of the Kaplan-Meier estimator: an attempt without an answer counts as one that takes at least as long
/// as it lasted. Without those that a hedge has beaten, just the slowest would be missing, and the percentile would fall with each
/// hedge that is sent (survivorship bias).
///
/// Memory: 16 KiB.
#[derive(Debug)]
pub(super) struct Latencies {
    config: LatencyConfig,
    /// The beginning of the newer half.
    began: Instant,
    newer: Half,
    older: Half,
    /// The samples since the percentile was found.
    new_samples: u64,
    percentile: Option<Duration>,
}

/// The samples of half of a window.
#[derive(Debug)]
struct Half {
    buckets: Box<[Counts]>,
    samples: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    answered: u32,
    censored: u32,
}

impl Latencies {
    pub(super) fn new(config: LatencyConfig, now: Instant) -> Self {
        Latencies {
            config,
            began: now,
            newer: Half::new(),
            older: Half::new(),
            new_samples: 0,
            percentile: None,
        }
    }

    /// Adds an attempt that lasted so long. Returns the percentile.
    pub(super) fn record(
        &mut self,
        now: Instant,
        lasted: Duration,
        sample: Sample,
    ) -> Option<Duration> {
        self.advance(now);
        self.newer.record(lasted, sample);
        self.new_samples += 1;
        if self.new_samples >= MIN_NEW_SAMPLES.max(self.samples() / 32) {
            self.find_percentile();
        }
        self.percentile
    }

    /// Forgets what is older than the window. Returns the percentile.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Duration> {
        let half = self.config.window / 2;
        // A clock read by another thread may be a bit behind.
        let age = now.saturating_duration_since(self.began);
        if age >= half {
            self.began = now;
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
            if age >= 2 * half {
                self.older.clear();
            }
            self.find_percentile();
        }
        self.percentile
    }

    /// Changes the settings. The samples stay. Returns the percentile.
    pub(super) fn set_config(&mut self, config: LatencyConfig, now: Instant) -> Option<Duration> {
        self.config = config;
        self.find_percentile();
        self.advance(now)
    }

    /// Forgets all samples.
    pub(super) fn clear(&mut self, now: Instant) {
        *self = Latencies::new(self.config, now);
    }

    pub(super) fn samples(&self) -> u64 {
        self.newer.samples + self.older.samples
    }

    fn find_percentile(&mut self) {
        self.new_samples = 0;
        let is_enough = self.samples() >= u64::from(self.config.min_samples);
        self.percentile = is_enough.then(|| self.estimate()).flatten();
    }

    /// Returns the time by which this fraction of attempts is answered, to the precision of a bucket, rounded up. `None` if
    /// too many have lasted without an answer for anybody to know.
    fn estimate(&self) -> Option<Duration> {
        let (mut at_risk, mut unanswered) = (self.samples() as f64, 1.0);
        for index in 0..BUCKETS {
            let (one, other) = (self.newer.buckets[index], self.older.buckets[index]);
            let answered = f64::from(one.answered) + f64::from(other.answered);
            let censored = f64::from(one.censored) + f64::from(other.censored);
            if answered > 0.0 {
                unanswered *= 1.0 - answered / at_risk;
                if unanswered <= 1.0 - self.config.percentile + ROUNDING {
                    return Some(end_of(index));
                }
            }
            at_risk -= answered + censored;
        }
        None
    }
}

impl Half {
    fn new() -> Self {
        Half {
            buckets: vec![Counts::default(); BUCKETS].into(),
            samples: 0,
        }
    }

    fn record(&mut self, lasted: Duration, sample: Sample) {
        let counts = &mut self.buckets[index_of(lasted)];
        match sample {
            Sample::Answered => counts.answered = counts.answered.saturating_add(1),
            Sample::Censored => counts.censored = counts.censored.saturating_add(1),
        }
        self.samples += 1;
    }

    fn clear(&mut self) {
        self.buckets.fill(Counts::default());
        self.samples = 0;
    }
}

fn index_of(time: Duration) -> usize {
    let first = bucket_of(MIN_SECONDS);
    let index = bucket_of(time.as_secs_f64()).saturating_sub(first);
    usize::from(index).min(BUCKETS - 1)
}

/// Returns the time at which a bucket ends.
fn end_of(index: usize) -> Duration {
    // There are far fewer than 2^16.
    let next = bucket_of(MIN_SECONDS) + index as u16 + 1;
    Duration::from_secs_f64(lower_bound_of(next))
}
