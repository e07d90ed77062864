mod check;

use std::{sync::Arc, time::Duration};

use super::{
    CircuitBreaker, Switch,
    retry_after::RetryAfterRules,
    window::{CountRing, TimeRing, Window},
};
use crate::{
    call::{ConfigError, Label},
    guard::Head,
};

/// Polly's window: long enough to see ten calls a minute, short enough to forget yesterday's outage.
const DEFAULT_WINDOW: (Duration, usize) = (Duration::from_secs(30), 10);
/// Hystrix' minimum: with fewer, a rate says little.
const DEFAULT_MIN_CALLS: u32 = 20;
const DEFAULT_PROBES: u32 = 3;
/// Longer than most attempts' own limits: those end a probe that hangs, and a slow answer is not taken for none.
const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the latest calls are.
#[derive(Clone, Copy, Debug)]
pub(super) enum WindowKind {
    Time(Duration, usize),
    Count(usize),
}

impl WindowKind {
    pub(super) fn build(self) -> Window {
        match self {
            WindowKind::Time(_, buckets) => Window::Time(TimeRing::new(buckets)),
            WindowKind::Count(calls) => Window::Count(CountRing::new(calls)),
        }
    }
}

/// Checked settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) window: WindowKind,
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
    /// The fewest good probes that meet the ratio.
    pub(super) probes_required: u32,
    pub(super) probe_timeout: Duration,
    pub(super) seed: Option<u64>,
}

/// What a breaker is made from, checked.
#[derive(Clone, Debug)]
pub(super) struct BreakerConfig {
    pub(super) name: Label,
    pub(super) settings: Settings,
    pub(super) shadow: bool,
    pub(super) retry_after: RetryAfterRules,
    pub(super) switch: Option<Switch>,
}

/// How a circuit breaker decides; made by [`CircuitBreaker::builder`]. A clone is a template for another breaker.
#[derive(Clone, Debug)]
#[must_use]
pub struct CircuitBreakerBuilder {
    name: Label,
    settings: Settings,
    min_calls: Option<u32>,
    max_open_time: Option<Duration>,
    shadow: bool,
    retry_after: RetryAfterRules,
    switch: Option<Switch>,
}

impl CircuitBreakerBuilder {
    pub(super) fn new(name: Label) -> Self {
        CircuitBreakerBuilder {
            name,
            settings: Settings {
                window: WindowKind::Time(DEFAULT_WINDOW.0, DEFAULT_WINDOW.1),
                min_calls: DEFAULT_MIN_CALLS,
                failure_rate: Some(0.5),
                consecutive_failures: None,
                slow_call: None,
                slow_rate: None,
                open_time: Duration::from_secs(5),
                open_backoff: 2.0,
                max_open_time: Duration::from_secs(60),
                open_jitter: 0.5,
                probes: DEFAULT_PROBES,
                probe_success_ratio: 0.5,
                probes_required: 0,
                probe_timeout: DEFAULT_PROBE_TIMEOUT,
                seed: None,
            },
            min_calls: None,
            max_open_time: None,
            shadow: false,
            retry_after: RetryAfterRules::default(),
            switch: None,
        }
    }

    /// Sets what textbooks draw: opens after five consecutive failures, for 30 seconds, and one good probe closes it.
    pub(super) fn classic(self) -> Self {
        self.count_window(100)
            .failure_rate(None)
            .consecutive_failures(5)
            .open_time(Duration::from_secs(30))
            .open_backoff(1.0)
            .open_jitter(0.0)
            .probes(1)
    }

    /// Sets another name, for a builder that serves as a template.
    pub fn name(mut self, name: impl Into<Label>) -> Self {
        self.name = name.into();
        self
    }

    /// Counts the calls of this time, in so many buckets. Default: 30 s in 10 buckets.
    ///
    /// A longer window notices a rare failure, but an outage later. Each bucket is at least a millisecond.
    pub fn time_window(mut self, window: Duration, buckets: usize) -> Self {
        self.settings.window = WindowKind::Time(window, buckets);
        self
    }

    /// Counts so many calls instead, whenever they were; at most 10,000. A closed circuit that does so, and
    /// has no slow limit, reads no clock.
    pub fn count_window(mut self, calls: usize) -> Self {
        self.settings.window = WindowKind::Count(calls);
        self
    }

    /// Sets how many calls the window must hold before a rate counts. Default: 20, or all of a smaller count window.
    ///
    /// Consecutive failures need no such minimum: their number is one.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = Some(calls);
        self
    }

    /// Opens when at least this fraction of the calls has failed; `None`: never. Default: 0.5.
    ///
    /// What a failure is, says the [table](super#evidence).
    pub fn failure_rate(mut self, rate: impl Into<Option<f64>>) -> Self {
        self.settings.failure_rate = rate.into();
        self
    }

    /// Opens after so many failures in a row. Default: off.
    ///
    /// Reacts at once to an outage, however few calls there are; leave the rate on for what fails in part. A good head
    /// ends the row, unless its body then breaks.
    pub fn consecutive_failures(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.settings.consecutive_failures = failures.into();
        self
    }

    /// Counts calls as slow that take at least this long to their head, and calls as failures that are dropped before it
    /// after so long. Default: off.
    ///
    /// Costs a clock reading at the start of a call and at its head. Without it, a call that is dropped before its head
    /// counts nothing, so a peer that hangs is only noticed by a time limit inside the breaker.
    pub fn slow_call(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.slow_call = limit.into();
        self
    }

    /// Opens when at least this fraction of the calls was slow; slow probes then fail. Default: off. Requires
    /// [`slow_call`](Self::slow_call).
    pub fn slow_rate(mut self, rate: impl Into<Option<f64>>) -> Self {
        self.settings.slow_rate = rate.into();
        self
    }

    /// Sets how long the circuit is open the first time. Default: 5 s.
    ///
    /// Shorter notices recovery sooner but probes a sick service more often.
    pub fn open_time(mut self, time: Duration) -> Self {
        self.settings.open_time = time;
        self
    }

    /// Multiplies the open time each time the circuit re-opens; 1 disables growth. Default: 2.
    ///
    /// The time shrinks a step for each such time that the circuit then stays closed.
    pub fn open_backoff(mut self, factor: f64) -> Self {
        self.settings.open_backoff = factor;
        self
    }

    /// Limits what the open time grows to, before jitter. Default: 60 s, or the open time if that is longer.
    pub fn max_open_time(mut self, time: Duration) -> Self {
        self.max_open_time = Some(time);
        self
    }

    /// Prolongs the open time at random by up to this fraction, so that clients come back one by one.
    /// Default: 0.5.
    pub fn open_jitter(mut self, fraction: f64) -> Self {
        self.settings.open_jitter = fraction;
        self
    }

    /// Sets how many calls probe the service after the open time, and how many of them are out at once at the most.
    /// Default: 3: one that meets a bad moment does not decide alone.
    pub fn probes(mut self, calls: u32) -> Self {
        self.settings.probes = calls;
        self
    }

    /// Sets which fraction of the probes must be good to close the circuit. Default: 0.5.
    ///
    /// It closes as soon as so many are, and opens as soon as that is out of reach.
    pub fn probe_success_ratio(mut self, ratio: f64) -> Self {
        self.settings.probe_success_ratio = ratio;
        self
    }

    /// Limits how long a probe may take from its own start to the head of its response; one that has not answered by
    /// then has failed. Default: 30 s, whatever the open time.
    ///
    /// That is longer than the limits of most attempts, which end a probe that hangs, so that slow answers are not taken
    /// for none. What has no limit of its own holds the place of a probe for so long. A good answer that comes later still
    /// counts while the circuit is half open.
    ///
    /// A probe whose caller stalls its upload, so that most of the time went by waiting for it, gives its place back after a
    /// tenth of this, and says nothing unless it is answered in the end. From then on one upload in two is refused until
    /// the phase is over: strangers who come first do not take all places. That needs a body that is
    /// [watched](mod@crate::breaker#uploads).
    pub fn probe_timeout(mut self, limit: Duration) -> Self {
        self.settings.probe_timeout = limit;
        self
    }

    /// Counts and reports as ever, but refuses nothing of its own accord: only what it is told by hand or by a switch.
    /// Default: off.
    pub fn shadow(mut self, on: bool) -> Self {
        self.shadow = on;
        self
    }

    /// Opens the circuit at once, for as long as the peer asks for, but at most for `most`: when a failure, an
    /// overload or a timeout comes with `Retry-After` or `grpc-retry-pushback-ms`, in the head of a response or in
    /// the metadata of a `tonic::Status` that is an error. Default: off.
    ///
    /// Off, since one answer then decides for all callers: a 429 may be about one tenant only, and a peer that is
    /// wrong, or that somebody speaks for, could keep everybody away. Switch it on for a peer that is one thing to all
    /// of its callers, or use a [breaker for each key](super::KeyedBreaker). gRPC trailers that follow a body are
    /// not seen.
    pub fn open_on_retry_after(mut self, most: Duration) -> Self {
        self.retry_after.max_retry_after = Some(most);
        self
    }

    /// Opens the circuit for as long as the closure says, at most for `most`; it sees the head of each response.
    /// Default: off. For quotas: a good answer may say that it was the last for now.
    ///
    /// Reason `hinted`, as with [`open_on_retry_after`](Self::open_on_retry_after). One that panics says nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{CircuitBreaker, guard::Head};
    ///
    /// let number = |head: &Head<'_>, name: &str| -> Option<u64> {
    ///     head.headers.get(name)?.to_str().ok()?.parse().ok()
    /// };
    /// let breaker = CircuitBreaker::builder("quotes")
    ///     .open_on_head(Duration::from_secs(60), move |head| match number(head, "ratelimit-remaining")? {
    ///         0 => number(head, "ratelimit-reset").map(Duration::from_secs),
    ///         _ => None,
    ///     })
    ///     .build()?;
    /// # let _ = breaker;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn open_on_head(
        mut self,
        most: Duration,
        read: impl Fn(&Head<'_>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.retry_after.head_fn = Some((most, Arc::new(read)));
        self
    }

    /// Obeys this switch, in shadow mode too. Default: none. Costs nothing while it stands still. The builder keeps the
    /// switch alive, the breaker does not.
    pub fn switch(mut self, switch: &Switch) -> Self {
        self.switch = Some(switch.clone());
        self
    }

    /// Makes the jitter repeatable, for tests.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Checks the settings, and makes the breaker.
    ///
    /// # Errors
    ///
    /// The first setting that makes no sense.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        Ok(CircuitBreaker::from_config(self.build_config()?))
    }

    pub(super) fn build_config(mut self) -> Result<BreakerConfig, ConfigError> {
        self.validate()?;
        Ok(BreakerConfig {
            name: self.name,
            settings: self.settings,
            shadow: self.shadow,
            retry_after: self.retry_after,
            switch: self.switch,
        })
    }
}
