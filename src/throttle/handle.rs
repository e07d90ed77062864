use std::{error::Error, fmt, future::Future, sync::Arc};

use tokio::time::Instant;

use super::{
    ThrottleBuilder, ThrottleFuture, ThrottlePermit, ThrottleSettings, ThrottleStats,
    shared::ThrottleShared,
};
use crate::{
    call::{ConfigError, Label, Rejection},
    guard::GuardLayerBuilder,
    registry,
};

/// An adaptive throttle of calls to a peer: see the [module](super).
///
/// # Clones
///
/// Clones are the same throttle.
#[derive(Clone)]
pub struct Throttle {
    pub(super) shared: Arc<ThrottleShared>,
}

impl Throttle {
    /// Creates a throttle with the default settings: factor 2, window 30 s, at most 90 % rejected.
    ///
    /// ```
    /// use tower_keep::throttle::Throttle;
    ///
    /// let throttle = Throttle::new("ledger");
    /// assert_eq!(throttle.stats().rejection_rate, 0.0);
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Throttle::from_settings(name.into(), ThrottleSettings::default(), None)
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use tower_keep::throttle::Throttle;
    ///
    /// let throttle = Throttle::builder("ledger").factor(1.5).min_calls(50).build()?;
    /// # let _ = throttle;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> ThrottleBuilder {
        ThrottleBuilder::new(name.into())
    }

    pub(super) fn from_settings(
        name: Label,
        settings: ThrottleSettings,
        seed: Option<u64>,
    ) -> Self {
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        let shared = Arc::new(ThrottleShared::new(name, settings, seed));
        registry::register(&shared);
        Throttle { shared }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the settings as they are now, [shadow mode](Self::set_shadow) included.
    pub fn settings(&self) -> ThrottleSettings {
        self.shared.settings()
    }

    /// Applies settings to the live throttle, and to all of its clones. The counts stay; with another window, all of them count as those
    /// of now. The same settings again change nothing. A change is logged once, with the fields that have changed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    ///
    /// ```
    /// use tower_keep::throttle::{Throttle, ThrottleSettings};
    ///
    /// let throttle = Throttle::new("ledger");
    /// let mut settings = ThrottleSettings::default();
    /// settings.factor = 0.5;
    /// let error = throttle.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"throttle "ledger": factor is 0.5, must be 1 to 100"#);
    /// ```
    pub fn apply(&self, settings: &ThrottleSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Returns the counts of the window, and the fraction of calls that is rejected now.
    pub fn stats(&self) -> ThrottleStats {
        let (counts, rejection_rate) = self.shared.counts(Instant::now());
        ThrottleStats {
            accepted: counts.accepted,
            failed: counts.failed,
            rejected: counts.all_rejected(),
            rejection_rate,
            rejected_in_all: self.shared.rejected(),
        }
    }

    /// Admits a call, whose permit is to be completed with its result.
    ///
    /// # Errors
    ///
    /// Returns the rejection, [`Overloaded`](crate::RejectionKind::Overloaded), with a tenth of the window as its retry-after.
    pub fn try_acquire(&self) -> Result<ThrottlePermit, Rejection> {
        self.shared.admit(Instant::now)?;
        Ok(ThrottlePermit::new(self.shared.clone(), Instant::now()))
    }

    /// Runs a future if the throttle admits it, and counts its result; errors are classified by their type, and most are failures.
    ///
    /// ```
    /// use tower_keep::throttle::Throttle;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let ledger = Throttle::new("ledger");
    /// let balance = ledger.call(async { Ok::<_, std::io::Error>(7) }).await?;
    /// assert_eq!((balance, ledger.stats().accepted), (7, 1));
    /// # Ok(()) }
    /// ```
    pub fn call<F, T, E>(&self, future: F) -> ThrottleFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        ThrottleFuture::new(self, future)
    }

    /// Does the same for errors that do not implement `Error`, such as `anyhow::Error` and `BoxError`.
    pub fn call_display<F, T, E>(&self, future: F) -> ThrottleFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        ThrottleFuture::new_display(self, future)
    }

    /// Forgets all calls, and takes [`disable`](Self::disable) back.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Admits every call until [`reset`](Self::reset). Results still count.
    pub fn disable(&self) {
        self.shared.disable();
    }

    /// Sets shadow mode: calls that would be rejected are counted, and admitted.
    pub fn set_shadow(&self, on: bool) {
        self.shared.set_shadow(on);
    }

    /// Returns whether shadow mode is on.
    pub fn is_shadow(&self) -> bool {
        self.shared.settings().shadow
    }

    /// Returns the throttle as a layer, for the protocol that is named next. It is a guard: with others, one layer over a pair is
    /// cheaper than a layer for each.
    ///
    /// ```
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_keep::throttle::Throttle;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let throttle = Throttle::new("ledger");
    /// let ledger = service_fn(async |id: u32| Ok::<_, std::io::Error>(id));
    /// let ledger = throttle.layer().any().layer(ledger);
    /// assert_eq!(ledger.oneshot(7).await?, 7);
    /// # Ok(()) }
    /// ```
    pub fn layer(&self) -> GuardLayerBuilder<Throttle> {
        GuardLayerBuilder(self.clone())
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("name", self.shared.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
