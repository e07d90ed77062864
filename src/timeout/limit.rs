use std::{
    fmt,
    future::Future,
    sync::{Arc, Once},
    time::Duration,
};

use super::{limit_metrics::TimeLimitMetrics, run::TimeLimitFuture};
use crate::{
    call::{Elapsed, Label, Rejection, RejectionKind, TimeoutKind, catch_hook},
    registry,
    util::{
        duration::saturating_nanos,
        per_recorder::PerRecorder,
        sync::atomic::{AtomicU64, Ordering},
    },
};

/// A named time limit, which can be changed while it is in use.
///
/// A `Duration` converts into a limit with the name `timeout`, whose errors, metrics and entry in the registry look like
/// those of every other such limit: give limits names, and use [`Timeouts`](super::Timeouts) for the two of a client that
/// retries. With a limit of zero, work that is ready at once still
/// completes.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::timeout::TimeLimit;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let limit = TimeLimit::new("reports", Duration::from_secs(2));
/// let answer = limit.run(std::future::pending::<()>()).await;
/// assert_eq!(answer.unwrap_err().to_string(), r#"timed out after 2s (time limit "reports")"#);
///
/// limit.set(Duration::from_secs(3));
/// assert_eq!(limit.get(), Duration::from_secs(3));
/// # }
/// ```
///
/// # Clones
///
/// Clones are the same limit: a change applies to all calls that begin later.
#[derive(Clone)]
pub struct TimeLimit {
    shared: Arc<LimitShared>,
}

pub(super) struct LimitShared {
    pub(super) name: Label,
    min: Duration,
    max: Duration,
    /// Another limit that this one never exceeds, even if either is changed.
    cap: Option<TimeLimit>,
    /// The time it was built with.
    initial: Duration,
    pub(super) nanos: AtomicU64,
    pub(super) timeouts: [AtomicU64; TimeoutKind::ALL.len()],
    pub(super) rejections: AtomicU64,
    metrics: PerRecorder<TimeLimitMetrics>,
    listing: Once,
}

impl TimeLimit {
    /// Creates a limit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::TimeLimit;
    ///
    /// let limit = TimeLimit::new("reports", Duration::from_secs(2));
    /// assert_eq!((limit.name(), limit.get()), ("reports", Duration::from_secs(2)));
    /// ```
    pub fn new(name: impl Into<Label>, time: Duration) -> Self {
        let limit = TimeLimit::bounded(name, time, Duration::ZERO, Duration::MAX);
        limit.list();
        limit
    }

    /// Creates a limit with bounds for what it is set to. The registry does not [list](Self::list) it yet.
    pub(super) fn bounded(
        name: impl Into<Label>,
        time: Duration,
        min: Duration,
        max: Duration,
    ) -> Self {
        TimeLimit::from_parts(name.into(), time, (min, max), None)
    }

    /// Creates a limit that is never longer than another one is at the time.
    pub(super) fn capped_by(name: impl Into<Label>, time: Duration, cap: &TimeLimit) -> Self {
        let bounds = (Duration::ZERO, Duration::MAX);
        let limit = TimeLimit::from_parts(name.into(), time, bounds, Some(cap.clone()));
        limit.list();
        limit
    }

    fn from_parts(
        name: Label,
        time: Duration,
        (min, max): (Duration, Duration),
        cap: Option<TimeLimit>,
    ) -> Self {
        let shared = Arc::new(LimitShared {
            name,
            min,
            max,
            cap,
            initial: time.clamp(min, max),
            nanos: AtomicU64::new(saturating_nanos(time.clamp(min, max))),
            timeouts: Default::default(),
            rejections: AtomicU64::new(0),
            metrics: PerRecorder::new(),
            listing: Once::new(),
        });
        TimeLimit { shared }
    }

    /// Lists the limit in the registry from now on.
    pub(super) fn list(&self) {
        let shared = &self.shared;
        shared.listing.call_once(|| registry::register(shared));
    }

    /// Returns the name, as metrics and errors show it.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// Returns the limit of calls that begin now.
    #[inline]
    pub fn get(&self) -> Duration {
        self.shared.get()
    }

    /// Sets the limit of calls that begin from now on, clamped to the bounds of its [`TimeLimits`](super::TimeLimits) or
    /// [`Timeouts`](super::Timeouts). Returns the effective limit.
    pub fn set(&self, time: Duration) -> Duration {
        let shared = &*self.shared;
        // With the cap applied, for the value returned. The cap may be lowered later, so each read applies it again.
        let nanos = saturating_nanos(shared.apply_cap(self.clamp(time)));
        // Relaxed: nothing else is published with it, and calls that have begun keep their time.
        shared.nanos.store(nanos, Ordering::Relaxed);
        Duration::from_nanos(nanos)
    }

    /// Sets the limit of calls that begin from now on to a time within the bounds. A cap applies when it is read.
    pub(super) fn store(&self, time: Duration) {
        self.shared.store(time);
    }

    /// Returns the time it was built with.
    pub(super) fn initial(&self) -> Duration {
        self.shared.initial
    }

    /// Clamps a time to the fixed bounds.
    pub(super) fn clamp(&self, time: Duration) -> Duration {
        time.clamp(self.shared.min, self.shared.max)
    }

    /// Returns the number of timeouts of any kind.
    pub fn timeout_count(&self) -> u64 {
        let counts = self.shared.timeouts.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Returns the number of rejections: of work whose deadline had passed before it began.
    pub fn rejected_count(&self) -> u64 {
        self.shared.rejections.load(Ordering::Relaxed)
    }

    /// Runs a future within this limit, counted from the first poll, and within the
    /// [deadline](crate::context::deadline) of the work around it.
    ///
    /// If the deadline has passed, the future is not polled: it is rejected, with a [`Rejection`] as the error's source,
    /// and breakers do not count it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::TimeLimit;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let limit = TimeLimit::new("reports", Duration::from_secs(2));
    /// assert_eq!(limit.run(async { 7 }).await.unwrap(), 7);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if the limit elapsed, or if none was left at the first poll.
    ///
    /// # Panics
    ///
    /// If it has to wait outside of a tokio runtime that has a timer.
    pub fn run<F: Future>(&self, future: F) -> TimeLimitFuture<F> {
        TimeLimitFuture::new(self.clone(), future)
    }

    /// Counts a timeout, and returns it as an error.
    #[cold]
    pub(super) fn record_elapsed(&self, kind: TimeoutKind, limit: Option<Duration>) -> Elapsed {
        // One that was run where `TimeLimits::iter` gave it.
        self.list();
        let shared = &*self.shared;
        // The registry's count first: the recorder may panic.
        shared.timeouts[kind as usize].fetch_add(1, Ordering::Relaxed);
        shared.with_metrics(|metrics| metrics.timeouts[kind as usize].increment(1));
        Elapsed::new(shared.name.clone(), kind, limit)
    }

    /// Counts a rejection, and returns it as the error of [`run`](Self::run).
    #[cold]
    pub(super) fn reject_run(&self) -> Elapsed {
        Elapsed::rejected(self.shared.name.clone(), self.reject())
    }

    /// Counts a rejection of work that has no time left.
    #[cold]
    pub(super) fn reject(&self) -> Rejection {
        self.list();
        let shared = &*self.shared;
        shared.rejections.fetch_add(1, Ordering::Relaxed);
        shared.with_metrics(|metrics| metrics.rejections.increment(1));
        Rejection::new(RejectionKind::DeadlineExceeded, shared.name.clone())
            .with_reason("the deadline has passed")
    }
}

impl From<Duration> for TimeLimit {
    fn from(time: Duration) -> Self {
        TimeLimit::new("timeout", time)
    }
}

impl fmt::Debug for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeLimit")
            .field("name", &self.shared.name)
            .field("time", &self.get())
            .finish_non_exhaustive()
    }
}

impl LimitShared {
    #[inline]
    pub(super) fn get(&self) -> Duration {
        self.apply_cap(Duration::from_nanos(self.nanos.load(Ordering::Relaxed)))
    }

    /// Sets the limit of calls that begin from now on to a time within the bounds.
    pub(super) fn store(&self, time: Duration) {
        self.nanos.store(saturating_nanos(time), Ordering::Relaxed);
    }

    /// Returns the shortest and the longest time that it may be set to now.
    pub(super) fn bounds(&self) -> (Duration, Duration) {
        (self.min, self.apply_cap(self.max))
    }

    #[inline]
    fn apply_cap(&self, time: Duration) -> Duration {
        match &self.cap {
            None => time,
            Some(cap) => time.min(cap.get()),
        }
    }

    fn with_metrics(&self, count: impl FnOnce(&TimeLimitMetrics)) {
        catch_hook(|| {
            self.metrics
                .with(|| TimeLimitMetrics::new(&self.name), count)
        });
    }
}

#[cfg(all(test, tower_keep_loom))]
mod loom_tests {
    //! Every interleaving of a few threads that the memory model allows, run by loom: `.ci/models`.

    use loom::thread;

    use super::*;

    #[test]
    fn limit_set_by_two_threads_returns_each_value_and_keeps_one() {
        loom::model(|| {
            let [short, long, most] = [1, 2, 3].map(Duration::from_secs);
            let limit = TimeLimit::bounded("model", most, short, most);
            let sets = |time: Duration| {
                let limit = limit.clone();
                move || limit.set(time)
            };
            let other = thread::spawn(sets(Duration::ZERO));
            assert_eq!(sets(long)(), long);
            let seen = limit.get();
            assert_eq!(other.join().expect("no panic"), short);
            assert!([short, long].contains(&seen));
            let last = limit.get();
            assert!(last == seen || last == short, "it does not go back");
        });
    }

    #[test]
    fn timeout_and_rejection_of_two_threads_are_counted_once_each() {
        loom::model(|| {
            let limit = TimeLimit::new("model", Duration::ZERO);
            let other = limit.clone();
            let other = thread::spawn(move || {
                other.record_elapsed(TimeoutKind::BodyIdle, None);
                other.reject();
            });
            limit.record_elapsed(TimeoutKind::Deadline, None);
            other.join().expect("no panic");
            assert_eq!((limit.timeout_count(), limit.rejected_count()), (2, 1));
        });
    }
}
