use std::{error::Error, fmt, future::Future, sync::Arc};

use super::{
    AcquireFuture, BulkheadBuilder, BulkheadFuture, BulkheadLayerBuilder, BulkheadPermit,
    BulkheadSettings, BulkheadStats, adaptive_limit::StartAlgorithm, shared::BulkheadShared,
};
use crate::{
    breaker::classify_result::{classify_display, classify_std},
    call::{ConfigError, Label, Rejection},
    registry,
};

/// A limit of the calls that are in flight at once; see the [module](super). Clones are the same bulkhead.
#[derive(Clone)]
pub struct Bulkhead {
    pub(super) shared: Arc<BulkheadShared>,
}

impl Bulkhead {
    /// Creates a bulkhead with the default settings.
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// let reports = Bulkhead::new("reports");
    /// assert_eq!((reports.limit(), reports.in_flight()), (25, 0));
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Bulkhead::from_settings(name.into(), BulkheadSettings::default(), None)
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// let reports = Bulkhead::builder("reports").limit(5).build()?;
    /// assert_eq!((reports.name(), reports.limit()), ("reports", 5));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> BulkheadBuilder {
        BulkheadBuilder::new(name.into())
    }

    /// Creates a bulkhead from checked settings.
    pub(super) fn from_settings(
        name: Label,
        settings: BulkheadSettings,
        algorithm: Option<StartAlgorithm>,
    ) -> Self {
        let shared = BulkheadShared::new(name, settings, algorithm);
        registry::register(&shared);
        Bulkhead { shared }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the number of calls that may be in flight at once: now, if the limit adapts itself.
    pub fn limit(&self) -> u32 {
        self.shared.limit()
    }

    /// Returns the number of calls that have a slot now. Above the [limit](Self::limit) only after that was made smaller,
    /// until enough of them have ended.
    pub fn in_flight(&self) -> u32 {
        self.shared.slots().load().in_flight()
    }

    /// Returns whether a call that came now would get no slot, and have to wait if it may.
    pub fn is_full(&self) -> bool {
        !self.shared.slots().load().is_open()
    }

    /// Returns what has become of the calls, and how many are in flight.
    ///
    /// ```
    /// use tower_keep::{Outcome, bulkhead::Bulkhead};
    ///
    /// let reports = Bulkhead::builder("reports").limit(1).build()?;
    /// let first = reports.try_acquire()?;
    /// assert!(reports.try_acquire().is_err());
    /// first.complete(Outcome::Failure);
    ///
    /// let stats = reports.stats();
    /// assert_eq!((stats.done, stats.failed, stats.rejected), (0, 1, 1));
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    pub fn stats(&self) -> BulkheadStats {
        self.shared.stats()
    }

    /// Returns the settings as they are now.
    pub fn settings(&self) -> BulkheadSettings {
        self.shared.settings()
    }

    /// Applies settings to the live bulkhead, and to all of its clones, at once and without waiting. A change is logged once,
    /// with the fields that have changed.
    ///
    /// | what | holds from |
    /// |---|---|
    /// | `limit`, larger | at once. Calls that wait get the new slots |
    /// | `limit`, smaller | at once for calls that come. Those in flight go on; until enough of them have ended, no slot is free |
    /// | `queue_limit`, `wait_limit` | the next call. Those that wait already do so by the settings of before |
    /// | `queue_order` | the next slot that becomes free |
    /// | `until_head` | the next call |
    /// | `adaptive` | the next call. The algorithm starts anew, from the limit of now within the new bounds |
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    ///
    /// ```
    /// use tower_keep::bulkhead::{Bulkhead, BulkheadSettings};
    ///
    /// let reports = Bulkhead::new("reports");
    /// let (_first, _second) = (reports.try_acquire()?, reports.try_acquire()?);
    ///
    /// let mut settings = BulkheadSettings::default();
    /// settings.limit = 1;
    /// reports.apply(&settings)?;
    /// assert_eq!((reports.in_flight(), reports.limit()), (2, 1));
    ///
    /// settings.limit = 0;
    /// let error = reports.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"bulkhead "reports": limit is 0, must be 1 to 1000000"#);
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    pub fn apply(&self, settings: &BulkheadSettings) -> Result<(), ConfigError> {
        settings.check(self.name())?;
        self.shared.apply(settings);
        Ok(())
    }

    /// Returns the bulkhead as a layer, for the protocol that is named next.
    ///
    /// A call that finds no free slot waits if the bulkhead has a queue, and is rejected at once otherwise, whether the
    /// wrapped service is ready or not; for that, the service must be `Clone`. As a guard among others, in
    /// [`GuardLayer::server((track, bulkhead))`](crate::GuardLayer), a bulkhead never lets calls wait.
    ///
    /// ```
    /// use tower::{Layer, service_fn};
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// let layer = Bulkhead::new("reports").layer().any();
    /// let service = layer.layer(service_fn(|id: u32| async move { Ok::<_, std::io::Error>(id) }));
    /// # let _ = service;
    /// ```
    pub fn layer(&self) -> BulkheadLayerBuilder {
        BulkheadLayerBuilder(self.clone())
    }

    /// Attempts to acquire the slot of one call, without waiting. Dropping the permit gives the slot back.
    ///
    /// # Errors
    ///
    /// Returns the rejection if no slot is free.
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// let reports = Bulkhead::builder("reports").limit(1).build()?;
    /// let permit = reports.try_acquire()?;
    /// let rejection = reports.try_acquire().unwrap_err();
    /// assert_eq!(rejection.to_string(), r#"rejected by "reports": full"#);
    ///
    /// drop(permit);
    /// assert!(reports.try_acquire().is_ok());
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<BulkheadPermit, Rejection> {
        let permit = self.shared.try_acquire()?;
        Ok(BulkheadPermit::new(self.shared.clone(), permit))
    }

    /// Acquires the slot of one call, and waits for it if the bulkhead has a [queue](BulkheadBuilder::queue_limit) and none is
    /// free. The place in the queue is that of the first poll. Dropping the future leaves the queue.
    ///
    /// The wait ends at the [wait limit](BulkheadBuilder::wait_limit), at the [deadline](crate::context::deadline) of the
    /// work around it, or at a time limit around it, whichever comes first.
    ///
    /// # Errors
    ///
    /// Returns the rejection if the call may not wait, or has waited for as long as it may.
    ///
    /// # Panics
    ///
    /// If it has to wait for a limited time outside of a tokio runtime that has a timer.
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let reports = Bulkhead::builder("reports").limit(1).queue_limit(10).build()?;
    /// let first = reports.acquire().await?;
    /// let (second, ()) = tokio::join!(reports.acquire(), async { drop(first) });
    /// assert!(second.is_ok());
    /// # Ok(()) }
    /// ```
    pub fn acquire(&self) -> AcquireFuture {
        AcquireFuture::new(self.clone())
    }

    /// Calls a future once there is a slot, which is [acquired](Self::acquire) when it is first polled.
    ///
    /// A call whose error is a failure of the peer counts as failed: see [`Evidence`](crate::call::Evidence).
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let reports = Bulkhead::new("reports");
    /// let report = reports.call(async { Ok::<_, std::io::Error>("a report") }).await?;
    /// assert_eq!((report, reports.stats().done), ("a report", 1));
    /// # Ok(()) }
    /// ```
    pub fn call<F, T, E>(&self, future: F) -> BulkheadFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        BulkheadFuture::new(self, future, classify_std)
    }

    /// Calls a future whose error does not implement `Error`: a boxed one, anyhow's, a `String`.
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reports = Bulkhead::new("reports");
    /// let report = reports.call_display(async { Err::<u32, _>("no report") }).await;
    /// assert_eq!(report.unwrap_err().to_string(), "no report");
    /// # }
    /// ```
    pub fn call_display<F, T, E>(&self, future: F) -> BulkheadFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        BulkheadFuture::new(self, future, classify_display)
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.shared.slots().load();
        f.debug_struct("Bulkhead")
            .field("name", self.shared.name())
            .field("in_flight", &word.in_flight())
            .field("limit", &word.limit())
            .finish_non_exhaustive()
    }
}
