use std::{error::Error, fmt, future::Future, panic::resume_unwind, sync::Arc, time::Duration};

use tokio::{sync::broadcast, time::Instant};

#[cfg(feature = "balance")]
use super::validate::validate;
use super::{
    BreakerFuture, BreakerSettings, CallError, CallPermit, CircuitBreakerBuilder,
    call_counts::CallCounts,
    classify_result::{
        ClassifyError, classify_display, classify_result, classify_std, output_or_failure,
    },
    config::BreakerConfig,
    report::Reporter,
    shared::BreakerShared,
    state::CircuitState,
    transition::Transition,
    window::saturating_add,
};
use crate::{
    call::{Classification, ClassifyOutput, ConfigError, Label, Outcome, Rejection, catch},
    guard::GuardLayerBuilder,
    registry,
};

/// A circuit breaker, which stops calls to a failing peer; see the [module](super). Clones are the same breaker.
#[derive(Clone)]
pub struct CircuitBreaker {
    pub(super) shared: Arc<BreakerShared>,
}

impl CircuitBreaker {
    /// Creates a breaker with the default settings.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, breaker::CircuitState};
    ///
    /// let breaker = CircuitBreaker::new("quotes");
    /// assert_eq!(breaker.state(), CircuitState::Closed);
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        let built = CircuitBreaker::builder(name).build();
        built.expect("default settings are valid")
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use tower_keep::CircuitBreaker;
    ///
    /// let breaker = CircuitBreaker::builder("quotes").failure_rate(0.2).build()?;
    /// assert_eq!(breaker.name(), "quotes");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into())
    }

    /// Returns a builder with the settings of textbooks: opens after five failures in a row, for 30 seconds, then one probe
    /// decides.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, Outcome, breaker::CircuitState};
    ///
    /// let breaker = CircuitBreaker::classic("quotes").build()?;
    /// for _ in 0..5 {
    ///     breaker.try_acquire()?.complete(Outcome::Failure);
    /// }
    /// assert_eq!(breaker.state(), CircuitState::Open);
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    pub fn classic(name: impl Into<Label>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into()).settings(&BreakerSettings::classic())
    }

    /// Creates a breaker from validated settings.
    pub(super) fn from_config(builder: CircuitBreakerBuilder, config: BreakerConfig) -> Self {
        let reporter = Reporter::new(&builder.name);
        let shared = BreakerShared::new(builder, config, reporter);
        registry::register(&shared);
        CircuitBreaker { shared }
    }

    /// Creates the breaker of one key. The registry lists it with the others of its set, not by itself.
    pub(super) fn new_keyed(
        builder: CircuitBreakerBuilder,
        config: BreakerConfig,
        reporter: Reporter,
    ) -> Self {
        CircuitBreaker {
            shared: BreakerShared::new(builder, config, reporter),
        }
    }

    /// Creates a breaker that is a part of another guard. It is in no registry, metric or log: all that it reports goes to the
    /// hook of its builder.
    #[cfg(feature = "balance")]
    pub(crate) fn new_part(
        builder: CircuitBreakerBuilder,
        key: Label,
    ) -> Result<Self, ConfigError> {
        let config = builder.validated()?;
        Ok(CircuitBreaker::new_keyed(
            builder,
            config,
            Reporter::new_part(key),
        ))
    }

    /// Applies settings unless later ones have been, and logs nothing: for a part of another guard, which does so once for all.
    #[cfg(feature = "balance")]
    pub(crate) fn apply_to_part(
        &self,
        version: u64,
        settings: &BreakerSettings,
    ) -> Result<(), ConfigError> {
        let config = validate(self.name(), settings)?;
        self.shared.apply(version, &config);
        Ok(())
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// Returns the settings as they are now, [shadow mode](Self::set_shadow) included.
    pub fn settings(&self) -> BreakerSettings {
        self.shared.settings()
    }

    /// Applies settings to the live breaker, and to all of its clones. What it has counted and what it is doing stays:
    /// state, window, failures in a row, calls in flight, probes, subscribers and hooks, and whether it is forced open or
    /// disabled. The same settings again change nothing. A change is logged once, with the fields that have changed.
    ///
    /// | what | holds from |
    /// |---|---|
    /// | thresholds (`failure_rate`, `consecutive_failures`, `slow_rate`, `min_calls`) | the next failure or slow call that is recorded. A circuit does not open when settings are applied: no call has failed at that moment |
    /// | `slow_call` | the next head or end of a call. Calls in flight that were admitted while it was off are not slow. What has been counted as slow stays so |
    /// | `open_time`, `open_backoff`, `max_open_time`, `open_jitter` | the next time that the circuit opens. An open one keeps its end |
    /// | `probes`, `probe_success_ratio` | the next half-open phase. The present one ends by the numbers with which it began |
    /// | `probe_timeout` | the next probe. Those in flight keep their deadline, but lose the slot of a stalled upload after a tenth of the new time |
    /// | `shadow` | at once, as with [`set_shadow`](Self::set_shadow): the later of the two holds |
    /// | `open_on_retry_after` | the next response |
    /// | `time_window`, `time_window_buckets`, `count_window` | at once, see below |
    ///
    /// A window of another shape takes over what the window of before holds, and forgets what it has no capacity or time
    /// for. Between two time windows, calls keep their age; those of one bucket count as if they had come at its end. A
    /// count window takes the latest calls over to another in order. From a time window to a count window, the failures of
    /// a bucket are spread evenly among its calls. From a count window to a time window, all calls count as if they had
    /// come now. If a body breaks whose head was counted before the change, the latest success becomes the failure.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, Outcome, breaker::{BreakerSettings, CircuitState}};
    ///
    /// let breaker = CircuitBreaker::new("quotes");
    /// breaker.try_acquire()?.complete(Outcome::Failure);
    ///
    /// let mut settings = BreakerSettings::default();
    /// settings.consecutive_failures = Some(2);
    /// breaker.apply(&settings)?;
    /// breaker.try_acquire()?.complete(Outcome::Failure);
    /// assert_eq!(breaker.state(), CircuitState::Open);
    ///
    /// settings.probes = 0;
    /// let error = breaker.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"breaker "quotes": probes is 0, must be 1 to 1000"#);
    /// assert_eq!(breaker.settings().probes, 3);
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    pub fn apply(&self, settings: &BreakerSettings) -> Result<(), ConfigError> {
        self.shared.apply_settings(settings)
    }

    /// Applies checked settings, and logs what they have changed.
    pub(super) fn apply_config(&self, version: u64, config: &BreakerConfig) {
        self.shared.apply_config(version, config);
    }

    /// Returns the state. An open circuit stays open until a call comes after its open time. A half-open one whose probes
    /// have timed out opens when this is called.
    pub fn state(&self) -> CircuitState {
        self.shared.core.expire_probes();
        self.shared.core.state()
    }

    /// Returns the counts of the window.
    pub fn counts(&self) -> CallCounts {
        self.shared.core.lock().machine.counts(Instant::now())
    }

    /// Returns how many calls have failed in a row. A good head ends the row, unless its body then breaks.
    pub fn consecutive_failures(&self) -> u32 {
        self.shared.core.lock().machine.consecutive_failures()
    }

    /// Returns how many probes wait for the head of their response, and have not timed out.
    pub fn probes_in_flight(&self) -> u32 {
        self.shared.core.expire_probes();
        self.shared.core.lock().machine.probes_in_flight()
    }

    /// Returns whether every call would be rejected now.
    pub fn is_rejecting(&self) -> bool {
        self.shared.core.is_rejecting()
    }

    /// Opens the circuit for this time, or prolongs the open time to it. Does nothing to a forced or disabled breaker. For
    /// peers that say how long to wait.
    pub fn open_for(&self, time: Duration) {
        self.open_until(saturating_add(Instant::now(), time));
    }

    /// Opens the circuit until then; see [`open_for`](Self::open_for).
    pub fn open_until(&self, until: Instant) {
        let now = Instant::now();
        self.shared
            .core
            .update(|machine| machine.open_until(until, now));
    }

    /// Rejects every call until [`reset`](Self::reset), in [shadow mode](Self::set_shadow) too.
    pub fn force_open(&self) {
        self.shared
            .core
            .update(|machine| machine.force_open(Instant::now()));
    }

    /// Admits every call, and counts none, until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.shared
            .core
            .update(|machine| machine.disable(Instant::now()));
    }

    /// Closes the circuit and forgets all that it has counted, whatever its state. Of a circuit that is closed already, that
    /// is no transition. While a [`Switch`](super::Switch) overrides the state, it takes effect once the switch is released.
    pub fn reset(&self) {
        self.shared
            .core
            .update(|machine| machine.reset(Instant::now()));
    }

    /// Sets shadow mode: the breaker counts and reports as ever, but rejects only what
    /// [`force_open`](Self::force_open) or a [`Switch`](super::Switch) tells it to reject.
    pub fn set_shadow(&self, on: bool) {
        self.shared.core.set_shadow(on);
    }

    /// Returns whether shadow mode is on.
    pub fn is_shadow(&self) -> bool {
        self.shared.core.is_shadow()
    }

    /// Subscribes to all later transitions, in order. A receiver that lags by more than 64 gets `Lagged`.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        let receiver = self.shared.core.reporter.subscribe();
        // A transition that was sent before, and so is missing here, is in the state that the caller reads next.
        drop(self.shared.core.lock());
        receiver
    }

    /// Returns the breaker as a layer, for the protocol that is named next.
    ///
    /// An open circuit rejects at once, whether the wrapped service is ready or not; for that, the service must be
    /// `Clone`. [`back_pressure`](crate::GuardLayer::back_pressure) makes callers wait instead, as a balancer wants it.
    ///
    /// ```
    /// use tower::{Layer, service_fn};
    /// use tower_keep::CircuitBreaker;
    ///
    /// let layer = CircuitBreaker::new("quotes").layer().any();
    /// let service = layer.layer(service_fn(|id: u32| async move { Ok::<_, std::io::Error>(id) }));
    /// # let _ = service;
    /// ```
    pub fn layer(&self) -> GuardLayerBuilder<CircuitBreaker> {
        GuardLayerBuilder(self.clone())
    }

    /// Attempts to acquire a permit for one call, which the program completes. Dropping the permit cancels the call.
    ///
    /// # Errors
    ///
    /// Returns the rejection if the circuit is open.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, Outcome};
    ///
    /// let breaker = CircuitBreaker::new("quotes");
    /// let permit = breaker.try_acquire()?;
    /// permit.complete(Outcome::Success);
    /// assert_eq!(breaker.counts().calls, 1);
    /// # Ok::<_, tower_keep::Rejection>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<CallPermit, Rejection> {
        CallPermit::acquire(self)
    }

    /// Calls a future if the circuit admits it, which is decided when it is first polled.
    ///
    /// ```
    /// use tower_keep::CircuitBreaker;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let breaker = CircuitBreaker::new("quotes");
    /// let quote = breaker.call(async { Ok::<_, std::io::Error>(42) }).await?;
    /// assert_eq!(quote, 42);
    /// # Ok(()) }
    /// ```
    pub fn call<F, T, E>(&self, future: F) -> BreakerFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        BreakerFuture::new(self, future, classify_std)
    }

    /// Calls a future whose error does not implement `Error`: a boxed one, anyhow's, a `String`.
    ///
    /// An error of an unknown type is a failure, unless [`failure_if`](BreakerFuture::failure_if) or
    /// [`classify_error`](BreakerFuture::classify_error) says otherwise.
    ///
    /// ```
    /// use tower_keep::CircuitBreaker;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let breaker = CircuitBreaker::new("quotes");
    /// let quote = breaker.call_display(async { Err::<u32, _>("no quote") }).await;
    /// assert_eq!(quote.unwrap_err().to_string(), "no quote");
    /// # }
    /// ```
    pub fn call_display<F, T, E>(&self, future: F) -> BreakerFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        BreakerFuture::new(self, future, classify_display)
    }

    /// Runs a closure that does not wait, if the circuit admits it.
    ///
    /// # Errors
    ///
    /// Returns the rejection, or the closure's own error.
    ///
    /// ```
    /// use tower_keep::CircuitBreaker;
    ///
    /// let breaker = CircuitBreaker::new("quotes");
    /// let quote = breaker.run(|| "42".parse::<u32>())?;
    /// assert_eq!(quote, 42);
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    pub fn run<T, E: Error + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.run_with(work, classify_std, |_| None)
    }

    /// Runs a closure whose error does not implement `Error`; see [`call_display`](Self::call_display).
    ///
    /// # Errors
    ///
    /// Returns the rejection, or the closure's own error.
    ///
    /// ```
    /// use tower_keep::CircuitBreaker;
    ///
    /// let breaker = CircuitBreaker::new("quotes");
    /// let quote = breaker.run_display(|| Err::<u32, _>("no quote"));
    /// assert_eq!(quote.unwrap_err().to_string(), "no quote");
    /// ```
    pub fn run_display<T, E: fmt::Display + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.run_with(work, classify_display, |_| None)
    }

    /// Runs a closure, and classifies its result as [`BreakerFuture::classify`] does.
    ///
    /// # Errors
    ///
    /// Returns the rejection, or the closure's own error.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, Outcome};
    ///
    /// let breaker = CircuitBreaker::new("quotes");
    /// let status = breaker.run_classified(|| Ok::<u16, String>(500), |result| match result {
    ///     Ok(status) if *status < 500 => Outcome::Success,
    ///     _ => Outcome::Failure,
    /// });
    /// assert_eq!(status.unwrap(), 500);
    /// assert_eq!(breaker.counts().failures, 1);
    /// ```
    pub fn run_classified<T, E: fmt::Display + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
        classify: impl Fn(&Result<T, E>) -> Outcome,
    ) -> Result<T, CallError<E>> {
        self.run_with(work, classify_display, |result| {
            Some(output_or_failure(|| classify(result)))
        })
    }

    #[inline]
    fn run_with<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
        classify_error: ClassifyError<E>,
        classify: impl FnOnce(&Result<T, E>) -> Option<ClassifyOutput>,
    ) -> Result<T, CallError<E>> {
        // Borrows the breaker: the call does not outlive this function, and counts no reference.
        let mut permit = CallPermit::new(self);
        permit.admit().map_err(CallError::Rejected)?;
        match catch(work) {
            Ok(result) => {
                let custom = classify(&result);
                let (classification, cause, error) =
                    classify_result(&result, classify_error, custom);
                permit.record(classification, cause, error);
                result.map_err(CallError::Failed)
            }
            Err(payload) => {
                // Before the panic goes on: the drop of the permit would complete the call as cancelled.
                permit.record(Classification::PANICKED, None, None);
                resume_unwind(payload)
            }
        }
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", &self.shared.name)
            .field("state", &self.shared.core.state())
            .finish_non_exhaustive()
    }
}
