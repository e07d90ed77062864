use std::{fmt, future::Future, sync::Arc, time::Duration};

use super::{
    ChaosBuilder, ChaosRunFuture, ChaosSettings, FaultKind, InjectedFault,
    injection::Injection,
    shared::{ChaosShared, state_text},
};
use crate::call::{ConfigError, Label};

/// A named source of faults: which ones, how many, and whether any. See the [module](super).
///
/// # Clones
///
/// Clones are the same chaos: one switch, one sequence of faults, one entry in the [registry](crate::registry).
#[derive(Clone)]
pub struct Chaos {
    pub(crate) shared: Arc<ChaosShared>,
}

impl Chaos {
    /// Creates a chaos that is off, and whose rates are all zero: for an operator who sets them when there is a rehearsal.
    ///
    /// ```
    /// use tower_keep::chaos::Chaos;
    ///
    /// let chaos = Chaos::new("payments");
    /// assert!(!chaos.is_on());
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        let defaults = Chaos::builder(name).build();
        defaults.expect("default settings are valid")
    }

    /// Returns a builder of a chaos, whose rates are all zero so far. What it builds is off.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::chaos::Chaos;
    ///
    /// let chaos = Chaos::builder("payments")
    ///     .error_rate(0.05)
    ///     .latency_rate(0.2)
    ///     .latency_range(Duration::from_millis(100)..=Duration::from_millis(500))
    ///     .build()?;
    /// chaos.enable_for(Duration::from_secs(600));
    /// assert!(chaos.is_on());
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> ChaosBuilder {
        ChaosBuilder::new(name.into())
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// Returns whether faults are injected.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.shared.is_on()
    }

    /// Switches it on until it is [switched off](Self::disable). Prefer [`enable_for`](Self::enable_for), which cannot be
    /// forgotten.
    ///
    /// If it was off, its sequence of faults begins again. An operator who has switched it off in the console is not overruled.
    pub fn enable(&self) {
        self.shared.enable(None);
    }

    /// Switches it on for this time, from now. Replaces an earlier time, be it longer or shorter.
    ///
    /// If it was off, its sequence of faults begins again. An operator who has switched it off in the console is not overruled.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::chaos::Chaos;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let chaos = Chaos::new("payments");
    /// chaos.enable_for(Duration::from_secs(600));
    /// tokio::time::sleep(Duration::from_secs(600)).await;
    /// assert!(!chaos.is_on());
    /// # }
    /// ```
    pub fn enable_for(&self, time: Duration) {
        self.shared.enable(Some(time));
    }

    /// Switches it off, whoever has switched it on. What it delays ends at once: late responses come, and calls that hang fail.
    pub fn disable(&self) {
        self.shared.disable();
    }

    /// Runs work that is no service, and injects faults into it: whether it is late, and what comes in its place. The closure makes
    /// its error out of a fault. A response in its place is an error as well.
    ///
    /// The fault is drawn when this is called. Work in whose place a fault comes is dropped, and was never polled.
    ///
    /// ```
    /// use std::io::Error;
    /// use tower_keep::chaos::Chaos;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::ConfigError> {
    /// let chaos = Chaos::builder("disk").error_rate(1.0).build()?;
    /// let read = async || chaos.run(async { Ok::<_, Error>(7) }, Error::other).await;
    /// assert_eq!(read().await.unwrap(), 7);
    /// chaos.enable();
    /// assert_eq!(read().await.unwrap_err().to_string(), r#"fault injected by chaos "disk": error"#);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// If the fault is a panic, and where it has to wait outside of a tokio runtime that has a timer.
    pub fn run<F, M, T, E>(&self, work: F, error: M) -> ChaosRunFuture<F, M>
    where
        // The work.
        F: Future<Output = Result<T, E>>,
        // Makes its error out of a fault.
        M: FnOnce(InjectedFault) -> E,
    {
        ChaosRunFuture::new(work, self.begin_work(|| true), error)
    }

    /// Begins the faults of work that is no request, if it has any. Without an error to fail with, those that need one are
    /// skipped.
    #[inline]
    pub(crate) fn begin_work(&self, can_fail: impl FnOnce() -> bool) -> Option<Box<Injection>> {
        match self.is_on() {
            false => None,
            true => Injection::begin_work(&self.shared, can_fail()),
        }
    }

    /// Changes the settings while it is in use, for calls that begin later. Its switch and its sequence of faults stay.
    ///
    /// One `INFO` event of the target `tower_keep::chaos` has what has changed; none if nothing has.
    ///
    /// ```
    /// use tower_keep::chaos::{Chaos, ChaosSettings};
    ///
    /// let chaos = Chaos::new("payments");
    /// let mut settings = ChaosSettings::default(); // or from a file
    /// settings.hang_rate = 0.01;
    /// chaos.apply(&settings)?;
    ///
    /// settings.hang_rate = 5.0;
    /// let error = chaos.apply(&settings).unwrap_err();
    /// assert!(error.to_string().starts_with(r#"chaos "payments": hang_rate is 5, must be 0 to 1"#));
    /// assert_eq!(chaos.settings().hang_rate, 0.01);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first invalid setting; none is changed then.
    pub fn apply(&self, settings: &ChaosSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Returns the settings.
    pub fn settings(&self) -> ChaosSettings {
        self.shared.lock_settings().clone()
    }

    /// Returns the seed of its sequence of faults: that of the [builder](ChaosBuilder::seed), or a random one.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Returns how many faults of this kind it has injected since it was built.
    pub fn injected_count(&self, kind: FaultKind) -> u64 {
        self.shared.injected_count(kind)
    }

    /// Returns how many faults were skipped since too many calls were [delayed](ChaosSettings::max_delayed).
    pub fn skipped_count(&self) -> u64 {
        self.shared.skipped_count()
    }

    /// Returns how many calls it delays: late, hanging, or with a slow body.
    pub fn delayed_count(&self) -> u32 {
        self.shared.delayed_count()
    }
}

impl fmt::Debug for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos")
            .field("name", &self.shared.name)
            .field("state", &state_text(self.is_on()))
            .field("seed", &self.shared.seed)
            .finish_non_exhaustive()
    }
}
