use std::{error::Error, fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    RateLimitBuilder, RateLimitSettings, RateLimitWait, Reservation, quota::Quota,
    shared::RateLimitShared, target::LimitTarget, too_many::pause_of_failure,
    wait_limit::WaitLimit,
};
use crate::{
    call::{ConfigError, Label, Outcome, Rejection},
    context::deadline,
    guard::GuardLayerBuilder,
    registry,
};

/// A limit of calls per time, also known as a rate limiter or token bucket: see the [module](super).
///
/// # Clones
///
/// Clones are the same limit.
#[derive(Clone)]
pub struct RateLimit {
    pub(super) shared: Arc<RateLimitShared>,
}

impl RateLimit {
    /// Creates a limit with the default settings: 100 calls per second, all of which may come at once.
    ///
    /// ```
    /// use tower_keep::rate_limit::RateLimit;
    ///
    /// let limit = RateLimit::new("search");
    /// assert_eq!(limit.available(), 100);
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        let built = RateLimit::builder(name).build();
        built.expect("default settings are valid")
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::rate_limit::RateLimit;
    ///
    /// let limit = RateLimit::builder("login").rate(5, Duration::from_secs(60)).build()?;
    /// for _ in 0..5 {
    ///     limit.check().unwrap();
    /// }
    /// let rejection = limit.check().unwrap_err();
    /// assert!(rejection.retry_after().unwrap() <= Duration::from_secs(12));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> RateLimitBuilder {
        RateLimitBuilder::new(name.into())
    }

    /// Creates a limit from valid settings.
    pub(super) fn from_quota(builder: RateLimitBuilder, quota: Quota) -> Self {
        let shared = Arc::new(RateLimitShared::new(builder, quota));
        registry::register(&shared);
        RateLimit { shared }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the settings as they are now, [shadow mode](Self::set_shadow) included.
    pub fn settings(&self) -> RateLimitSettings {
        self.shared.control.settings()
    }

    /// Applies settings to the live limit, and to all of its clones. What has been used stays used: if 3 calls of a burst of
    /// 10 were made, 17 of a new burst of 20 are left. Calls that wait already keep their time. The same settings again
    /// change nothing. A change is logged once, with the fields that have changed.
    ///
    /// ```
    /// use tower_keep::rate_limit::{RateLimit, RateLimitSettings};
    ///
    /// let mut settings = RateLimitSettings::default();
    /// settings.burst = Some(10);
    /// let limit = RateLimit::builder("search").settings(&settings).build()?;
    /// limit.check_n(3)?;
    /// settings.burst = Some(20);
    /// limit.apply(&settings)?;
    /// assert_eq!(limit.available(), 17);
    ///
    /// settings.rate = 0.0;
    /// let error = limit.apply(&settings).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"rate limit "search": rate is 0 per 1s, must be above 0 and at most 1000000 per second"#,
    /// );
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    pub fn apply(&self, settings: &RateLimitSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Admits one call now, or rejects it. Does not allocate unless it rejects.
    ///
    /// # Errors
    ///
    /// Returns the rejection, with the time after which there is room for a call.
    #[inline]
    pub fn check(&self) -> Result<(), Rejection> {
        self.shared.admit(Instant::now(), 1)
    }

    /// Admits so many calls together now, or rejects them: a call of more weight than others, or a batch.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check). More calls than the burst are never admitted, and rejected without a retry-after.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::rate_limit::RateLimit;
    ///
    /// let limit = RateLimit::builder("rows").rate(1_000, Duration::from_secs(1)).build()?;
    /// limit.check_n(900)?;
    /// assert!(limit.check_n(200).is_err());
    /// assert_eq!(limit.check_n(2_000).unwrap_err().retry_after(), None);
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    #[inline]
    pub fn check_n(&self, calls: u32) -> Result<(), Rejection> {
        self.shared.admit(Instant::now(), calls)
    }

    /// Admits so many calls at a moment that the caller has read from the clock already.
    ///
    /// # Errors
    ///
    /// As [`check_n`](Self::check_n).
    #[inline]
    pub fn check_at(&self, calls: u32, now: Instant) -> Result<(), Rejection> {
        self.shared.admit(now, calls)
    }

    /// Reserves so many calls: takes them now, although they may be made later only, at most after `max_wait`.
    ///
    /// Reservations are served in the order in which they were made.
    ///
    /// # Errors
    ///
    /// Returns the rejection if the calls cannot be made within the time; nothing is taken then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::rate_limit::RateLimit;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let second = Duration::from_secs(1);
    /// let limit = RateLimit::builder("mails").rate(1, second).build()?;
    /// assert_eq!(limit.reserve(1, 2 * second)?.wait(), Duration::ZERO);
    /// let later = limit.reserve(1, 2 * second)?;
    /// assert_eq!(later.wait(), second);
    /// tokio::time::sleep_until(later.ready_at()).await;
    /// # Ok(()) }
    /// ```
    pub fn reserve(&self, calls: u32, max_wait: Duration) -> Result<Reservation, Rejection> {
        Reservation::make(LimitTarget::single(&self.shared), calls, max_wait)
    }

    /// Waits until one call may be made, at most for `max_wait`. Those that wait are served in order.
    ///
    /// A call whose wait would be longer, or would end after the [deadline](crate::context::deadline) of the current work, is
    /// rejected at once. Dropping the future puts its reservation back, if nobody waits behind it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{Rejection, rate_limit::RateLimit, timeout::TimeLimit};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let second = Duration::from_secs(1);
    /// let limit = RateLimit::builder("mails").rate(1, second).build()?;
    /// for _ in 0..3 {
    ///     limit.wait(second).await?; // at 0 s, 1 s, 2 s
    /// }
    ///
    /// // Nobody would see the result.
    /// let in_time = TimeLimit::from(second / 2).run(limit.wait(second)).await?;
    /// assert_eq!(in_time.unwrap_err().retry_after(), Some(second));
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// The future panics outside of a tokio runtime that has a timer, if it has to wait.
    pub fn wait(&self, max_wait: Duration) -> RateLimitWait {
        self.wait_n(1, max_wait)
    }

    /// Waits until so many calls may be made together; see [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_n(&self, calls: u32, max_wait: Duration) -> RateLimitWait {
        RateLimitWait::new(LimitTarget::single(&self.shared), calls, max_wait)
    }

    /// Takes one call that may be made now, or within the [`max_wait`](super::RateLimitBuilder::max_wait) of the settings and
    /// before the deadline. Returns what to wait for, if anything: boxed, or the future of each caller would have room for a timer.
    pub(crate) fn take_in_time(&self) -> Result<Option<Pin<Box<RateLimitWait>>>, Rejection> {
        let reservation = WaitLimit::<()>::reserve(self, &(), Instant::now(), deadline())?;
        Ok(reservation.map(|reservation| Box::pin(RateLimitWait::for_reservation(reservation))))
    }

    /// Empties the limit if the failure of a call to a peer means that it is called too often.
    pub(crate) fn on_failure(&self, outcome: Outcome, error: Option<&(dyn Error + 'static)>) {
        if let Some(pause) = pause_of_failure(outcome, error) {
            self.shared.empty_for_peer(Instant::now(), pause);
        }
    }

    /// Returns how many calls would be admitted now.
    pub fn available(&self) -> u64 {
        let (state, quota, now) = self.shared.read(Instant::now());
        quota.available(state, now)
    }

    /// Empties the limit: the next call is admitted after this time, or after that in which one call comes back, if that is
    /// longer. For peers that say that they are called too often; a guard of a client [does that by itself](super#clients).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::rate_limit::RateLimit;
    ///
    /// let limit = RateLimit::new("quotes");
    /// limit.empty(Duration::from_secs(10));
    /// assert!(limit.check().unwrap_err().retry_after() > Some(Duration::from_secs(9)));
    /// ```
    pub fn empty(&self, pause: Duration) {
        self.shared.empty(Instant::now(), pause);
    }

    /// Fills the limit, as if it had not been used for long, and takes [`disable`](Self::disable) back.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Admits every call, and counts no rejection, until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.shared.control.disable();
    }

    /// Sets shadow mode: the limit counts and reports as ever, but rejects no call, and lets none wait.
    pub fn set_shadow(&self, on: bool) {
        self.shared.control.set_shadow(on);
    }

    /// Returns whether shadow mode is on.
    pub fn is_shadow(&self) -> bool {
        self.shared.control.is_shadow()
    }

    /// Returns the limit as a layer that rejects at once, for the protocol that is named next. For calls that wait, see
    /// [`RateLimitLayer`](super::RateLimitLayer).
    ///
    /// It is a guard: with others, one layer over a pair is cheaper than a layer for each. With
    /// [`back_pressure`](crate::GuardLayer::back_pressure), a service is not ready while there is no room for a call.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_keep::{Rejection, rate_limit::RateLimit};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let limit = RateLimit::builder("quotes").rate(1, Duration::from_secs(1)).build()?;
    /// let quotes = service_fn(|id: u32| async move { Ok::<_, std::io::Error>(id) });
    /// let quotes = limit.layer().any().layer(quotes);
    /// assert_eq!(quotes.clone().oneshot(7).await?, 7);
    /// let error = quotes.oneshot(8).await.unwrap_err();
    /// assert_eq!(Rejection::find(&*error).unwrap().retry_after(), Some(Duration::from_secs(1)));
    /// # Ok(()) }
    /// ```
    pub fn layer(&self) -> GuardLayerBuilder<RateLimit> {
        GuardLayerBuilder(self.clone())
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("name", self.shared.name())
            .field("settings", &self.shared.control.settings())
            .finish_non_exhaustive()
    }
}
