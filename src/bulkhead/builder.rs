use std::{fmt, sync::Arc, time::Duration};

use super::{Bulkhead, BulkheadSettings, QueueOrder, adaptive_limit::StartAlgorithm};
use crate::{
    adaptive::{AdaptiveSettings, Limit},
    call::{ConfigError, Label},
};

/// Builder of a [`Bulkhead`]; made by [`Bulkhead::builder`].
#[derive(Clone)]
pub struct BulkheadBuilder {
    name: Label,
    settings: BulkheadSettings,
    algorithm: Option<StartAlgorithm>,
}

impl BulkheadBuilder {
    pub(super) fn new(name: Label) -> Self {
        BulkheadBuilder {
            name,
            settings: BulkheadSettings::default(),
            algorithm: None,
        }
    }

    /// Sets the number of calls that may be in flight at once.
    ///
    /// The product of the calls per second that the peer can take and the time that one of them takes is a good start:
    /// 100 a second of 200 ms each are 20 in flight. Must be 1 to 1,000,000. Default: 25, as in resilience4j: enough for a
    /// peer that answers in milliseconds, few enough that one that hangs does not take the whole process.
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// let error = Bulkhead::builder("reports").limit(0).build().unwrap_err();
    /// assert_eq!(error.to_string(), r#"bulkhead "reports": limit is 0, must be 1 to 1000000"#);
    /// ```
    #[must_use]
    pub fn limit(mut self, calls: u32) -> Self {
        self.settings.limit = calls;
        self
    }

    /// Sets the number of calls that may wait for a slot. Those that come while so many wait are rejected, or take the place
    /// of the one that has waited longest: see [`QueueOrder`].
    ///
    /// A queue evens out bursts that last for a moment: as many as the limit of calls in flight is a good start, which
    /// doubles the time of a call at most. A longer one only delays the rejection. Must be at most 1,000,000. Default: 0,
    /// so that calls are rejected at once where no slot is free.
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let reports = Bulkhead::builder("reports").limit(1).queue_limit(1).build()?;
    /// let first = reports.acquire().await?;
    /// let (second, third) = tokio::join!(reports.acquire(), async {
    ///     let third = reports.acquire().await;
    ///     drop(first);
    ///     third
    /// });
    /// assert!(second.is_ok());
    /// let rejection = third.unwrap_err();
    /// assert_eq!(rejection.to_string(), r#"rejected by "reports": full (queue_full)"#);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn queue_limit(mut self, calls: u32) -> Self {
        self.settings.queue_limit = calls;
        self
    }

    /// Sets the call that is next when a slot becomes free. Default: first in, first out.
    #[must_use]
    pub fn queue_order(mut self, order: QueueOrder) -> Self {
        self.settings.queue_order = order;
        self
    }

    /// Sets the longest wait for a slot; `None` to wait until the deadline of the call, if it has one. A call never waits past
    /// that. Must be longer than zero. Default: 1 s, as in Netflix's limiters: what has waited for longer is mostly not
    /// wanted any more.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// let reports = Bulkhead::builder("reports").queue_limit(50).wait_limit(Duration::from_millis(250));
    /// # let _ = reports.build()?;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn wait_limit(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.wait_limit = time.into();
        self
    }

    /// Gives the slot back at the head of the response, instead of at the end of its body. For streams that may last for
    /// hours, such as server-sent events, whose number something else limits. Default: off, since a body that is still
    /// coming costs a connection, memory and the peer's time.
    #[must_use]
    pub fn until_head(mut self, on: bool) -> Self {
        self.settings.until_head = on;
        self
    }

    /// Has the limit adapt itself to what the peer can take, beginning at [`limit`](Self::limit): see [`adaptive`](crate::adaptive).
    /// Default: off, so that the limit is what it was set to.
    ///
    /// ```
    /// use tower_keep::{Bulkhead, adaptive::AdaptiveSettings};
    ///
    /// let ledger = Bulkhead::builder("ledger").adaptive(AdaptiveSettings::default()).build()?;
    /// assert_eq!(ledger.limit(), 25);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn adaptive(mut self, settings: impl Into<Option<AdaptiveSettings>>) -> Self {
        self.settings.adaptive = settings.into();
        self
    }

    /// Has the limit adapt itself by an algorithm of the application. It is started anew when settings are applied that change
    /// how the limit adapts. Without [`adaptive`](Self::adaptive), the bounds are the defaults.
    ///
    /// ```
    /// use tower_keep::{Bulkhead, adaptive::{Limit, Window}};
    ///
    /// /// Twice as many as were needed.
    /// #[derive(Debug)]
    /// struct Double;
    ///
    /// impl Limit for Double {
    ///     fn update(&mut self, _limit: f64, window: &Window) -> f64 {
    ///         f64::from(window.max_in_flight) * 2.0
    ///     }
    /// }
    ///
    /// let ledger = Bulkhead::builder("ledger").algorithm(|| Double).build()?;
    /// # let _ = ledger;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn algorithm<L: Limit>(mut self, start: impl Fn() -> L + Send + Sync + 'static) -> Self {
        self.settings.adaptive.get_or_insert_default();
        self.algorithm = Some(Arc::new(move || Box::new(start())));
        self
    }

    /// Sets all settings that a file may have.
    #[must_use]
    pub fn settings(mut self, settings: &BulkheadSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Builds the bulkhead, and registers it.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<Bulkhead, ConfigError> {
        self.settings.check(self.name.as_str())?;
        Ok(Bulkhead::from_settings(
            self.name,
            self.settings,
            self.algorithm,
        ))
    }
}

impl fmt::Debug for BulkheadBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadBuilder")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
