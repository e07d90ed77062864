use std::time::Duration;

use super::{
    BreakerSettings, CircuitBreaker, Switch, Transition, config::BreakerConfig,
    head_rule::HeadRule, transition_hook::TransitionHook, validate,
};
use crate::{
    call::{ConfigError, Label},
    guard::Head,
};

/// A builder of circuit breakers; made by [`CircuitBreaker::builder`]. A clone is a template for another breaker.
#[derive(Clone, Debug)]
#[must_use]
pub struct CircuitBreakerBuilder {
    pub(super) name: Label,
    pub(super) settings: BreakerSettings,
    pub(super) head_rule: Option<HeadRule>,
    pub(super) switch: Option<Switch>,
    pub(super) on_transition: Option<TransitionHook>,
    pub(super) seed: Option<u64>,
}

impl CircuitBreakerBuilder {
    pub(super) fn new(name: Label) -> Self {
        CircuitBreakerBuilder {
            name,
            settings: BreakerSettings::default(),
            head_rule: None,
            switch: None,
            on_transition: None,
            seed: None,
        }
    }

    /// Sets all [settings](BreakerSettings) at once. Setters that follow override them.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, breaker::BreakerSettings};
    ///
    /// let mut settings = BreakerSettings::default();
    /// settings.consecutive_failures = Some(5);
    /// let breaker = CircuitBreaker::builder("quotes").settings(&settings).probes(1).build()?;
    /// assert_eq!(breaker.settings().consecutive_failures, Some(5));
    /// assert_eq!(breaker.settings().probes, 1);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn settings(mut self, settings: &BreakerSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets another name, for a builder that serves as a template.
    pub fn name(mut self, name: impl Into<Label>) -> Self {
        self.name = name.into();
        self
    }

    /// Counts the calls of this time, in this number of buckets.
    ///
    /// A longer window notices a rare failure, but an outage later. Each bucket is at least a millisecond.
    /// Default: 30 s in 10 buckets.
    pub fn time_window(mut self, window: Duration, buckets: usize) -> Self {
        self.settings.time_window = window;
        self.settings.time_window_buckets = buckets;
        // The later of the two settings holds.
        self.settings.count_window = None;
        self
    }

    /// Counts this number of calls instead, whenever they were; at most 10,000.
    ///
    /// A closed circuit with a count window and without a slow limit does not read the clock. Default: a time window.
    pub fn count_window(mut self, calls: usize) -> Self {
        self.settings.count_window = Some(calls);
        self
    }

    /// Sets how many calls the window must hold before a rate is evaluated.
    ///
    /// Consecutive failures are evaluated without it. Default: 20, or all of a smaller count window.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.settings.min_calls = Some(calls);
        self
    }

    /// Opens when at least this fraction of the calls has failed; `None` turns that off.
    ///
    /// The [table](super#evidence) says which calls fail. Default: 0.5.
    pub fn failure_rate(mut self, rate: impl Into<Option<f64>>) -> Self {
        self.settings.failure_rate = rate.into();
        self
    }

    /// Opens after this number of failures in a row; `None` turns that off.
    ///
    /// Reacts at once to an outage, however few calls there are. Keep the failure rate on as well, for a peer that fails in
    /// part. A good head ends the row, unless its body then breaks. Default: off.
    pub fn consecutive_failures(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.settings.consecutive_failures = failures.into();
        self
    }

    /// Counts calls as slow that take at least this long to their head, and calls as failures that are dropped before it
    /// after so long; `None` turns that off.
    ///
    /// Costs a clock reading at the start of a call and at its head. Without it, a call that is dropped before its head
    /// does not count, so only a time limit inside the breaker notices a peer that hangs. Default: off.
    pub fn slow_call(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.slow_call = limit.into();
        self
    }

    /// Opens when at least this fraction of the calls was slow; slow probes then fail. Requires
    /// [`slow_call`](Self::slow_call). Default: off.
    pub fn slow_rate(mut self, rate: impl Into<Option<f64>>) -> Self {
        self.settings.slow_rate = rate.into();
        self
    }

    /// Sets how long the circuit is open the first time.
    ///
    /// A shorter time notices recovery sooner, but probes a failing service more often. Default: 5 s.
    pub fn open_time(mut self, time: Duration) -> Self {
        self.settings.open_time = time;
        self
    }

    /// Multiplies the open time by this factor each time the circuit re-opens; 1 turns that off.
    ///
    /// The time shrinks a step for each open time that the circuit then stays closed. Default: 2.
    pub fn open_backoff(mut self, factor: f64) -> Self {
        self.settings.open_backoff = factor;
        self
    }

    /// Sets the maximum of the open time, before jitter. Default: 60 s, or the open time if that is longer.
    pub fn max_open_time(mut self, time: Duration) -> Self {
        self.settings.max_open_time = Some(time);
        self
    }

    /// Extends the open time randomly by up to this fraction, so that clients do not return together. Default: 0.5.
    pub fn open_jitter(mut self, fraction: f64) -> Self {
        self.settings.open_jitter = fraction;
        self
    }

    /// Sets how many calls probe the service after the open time, and how many of them are in flight at once.
    ///
    /// Default: 3, so that one probe that meets a bad moment does not decide alone.
    pub fn probes(mut self, calls: u32) -> Self {
        self.settings.probes = calls;
        self
    }

    /// Sets which fraction of the probes must succeed to close the circuit.
    ///
    /// The circuit closes as soon as enough have succeeded, and opens as soon as that is out of reach. Default: 0.5.
    pub fn probe_success_ratio(mut self, ratio: f64) -> Self {
        self.settings.probe_success_ratio = ratio;
        self
    }

    /// Sets how long a probe may take from its own start to the head of its response. One that takes longer has failed,
    /// but its success still counts while the circuit is half open.
    ///
    /// Without a time limit of its own, a call that hangs holds the slot of a probe for so long.
    ///
    /// A probe whose caller stalls its upload for most of the time loses its slot after a tenth of this, and does not count
    /// unless it is answered in the end. From then on one upload in two is rejected until the phase ends, so that
    /// the first callers do not take all slots. That needs a body that is [watched](mod@crate::breaker#uploads).
    ///
    /// Default: 30 s, whatever the open time. That is longer than the time limits of most attempts, which end a probe that
    /// hangs, so that slow answers are not taken for none.
    pub fn probe_timeout(mut self, limit: Duration) -> Self {
        self.settings.probe_timeout = limit;
        self
    }

    /// Sets shadow mode: the breaker counts and reports as ever, but rejects only what an override tells it to reject.
    /// Default: off.
    pub fn shadow(mut self, on: bool) -> Self {
        self.settings.shadow = on;
        self
    }

    /// Opens the circuit at once for as long as the peer asks, at most for `max`: when a failure, an overload or a timeout
    /// comes with `Retry-After` or `grpc-retry-pushback-ms`, in the head of a response or in the metadata of a
    /// `tonic::Status` that is an error.
    ///
    /// Turn it on for a peer that is one thing to all of its callers, or in a [breaker for each key](super::KeyedBreaker).
    /// gRPC trailers that follow a body are not seen. Default: off, since one answer then decides for all callers: a 429
    /// may be about one tenant only, and a faulty peer could block all callers.
    pub fn open_on_retry_after(mut self, max: Duration) -> Self {
        self.settings.open_on_retry_after = Some(max);
        self
    }

    /// Opens the circuit for as long as the closure returns, at most for `max`. The closure gets the head of each response.
    ///
    /// For quotas: a successful answer may say that it was the last for now. The reason is `retry_after`, as with
    /// [`open_on_retry_after`](Self::open_on_retry_after). A closure that panics opens nothing. Default: none.
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
        max: Duration,
        read: impl Fn(&Head<'_>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.head_rule = Some(HeadRule::new(max, read));
        self
    }

    /// Lets this switch override the state, in shadow mode too.
    ///
    /// Costs nothing while the switch is not set. The builder keeps the switch alive, the breaker does not. Default: none.
    pub fn switch(mut self, switch: &Switch) -> Self {
        self.switch = Some(switch.clone());
        self
    }

    /// Sets a hook that is called with each transition, in order, after the state has changed and outside of all locks. It may
    /// use the breaker. One that panics is counted, and changes nothing. Default: none.
    ///
    /// The call that causes a transition runs the hook, so that it should not wait: for more than a counter or a message to a
    /// channel, [subscribe](CircuitBreaker::subscribe). With a [template](super::KeyedBreaker::builder), it is called for all
    /// keys. For all breakers of the process, see [`registry::subscribe`](crate::registry::subscribe).
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering::Relaxed}};
    /// use tower_keep::{CircuitBreaker, breaker::CircuitState};
    ///
    /// let outages = Arc::new(AtomicU32::new(0));
    /// let counter = outages.clone();
    /// let breaker = CircuitBreaker::builder("quotes")
    ///     .on_transition(move |transition| {
    ///         if transition.from == CircuitState::Closed {
    ///             counter.fetch_add(1, Relaxed);
    ///         }
    ///     })
    ///     .build()?;
    /// breaker.force_open();
    /// assert_eq!(outages.load(Relaxed), 1);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn on_transition(mut self, hook: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.on_transition = Some(TransitionHook::new(hook));
        self
    }

    /// Makes the jitter repeatable, for tests. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings, and creates the breaker.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        let config = self.validated()?;
        Ok(CircuitBreaker::from_config(self, config))
    }

    /// Checks the settings.
    pub(super) fn validated(&self) -> Result<BreakerConfig, ConfigError> {
        let name = self.name.as_str();
        let config = validate::validate(name, &self.settings)?;
        let max = self.head_rule.as_ref().map(|rule| rule.max);
        validate::check_not_zero(name, "open_on_head", max)?;
        Ok(config)
    }
}
