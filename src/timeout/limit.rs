use std::{fmt, future::Future, sync::Arc, time::Duration};

use metrics::{Counter, Unit};

use super::run::TimeLimitFuture;
use crate::{
    call::{Elapsed, Label, Rejection, RejectionKind, TimeoutKind, catch_hook},
    registry::{self, Inspect, Stats},
    util::{
        per_recorder::PerRecorder,
        sync::atomic::{AtomicU64, Ordering},
    },
};

/// How long something may take: one setting with a name, which can be changed while it is in use.
///
/// A `Duration` becomes one of the name `timeout`. Of no time at all, what is ready at once still comes through.
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
/// Clones are the same limit: a change counts for all calls that begin later.
#[derive(Clone)]
pub struct TimeLimit {
    shared: Arc<Shared>,
}

struct Shared {
    name: Label,
    min: Duration,
    max: Duration,
    /// Another limit that this one never exceeds, whatever becomes of the two.
    cap: Option<TimeLimit>,
    nanos: AtomicU64,
    timeouts: [AtomicU64; TimeoutKind::ALL.len()],
    rejections: AtomicU64,
    metrics: PerRecorder<LimitMetrics>,
}

struct LimitMetrics {
    timeouts: [Counter; TimeoutKind::ALL.len()],
    rejections: Counter,
}

fn saturating_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl TimeLimit {
    /// A limit of its own.
    pub fn new(name: impl Into<Label>, time: Duration) -> Self {
        TimeLimit::bounded(name, time, Duration::ZERO, Duration::MAX)
    }

    /// A limit that is never less nor more than that.
    pub(super) fn bounded(
        name: impl Into<Label>,
        time: Duration,
        least: Duration,
        most: Duration,
    ) -> Self {
        TimeLimit::from_parts(name.into(), time, (least, most), None)
    }

    /// A limit that is never more than another one is at the time.
    pub(super) fn capped_by(name: impl Into<Label>, time: Duration, other: &TimeLimit) -> Self {
        let bounds = (Duration::ZERO, Duration::MAX);
        TimeLimit::from_parts(name.into(), time, bounds, Some(other.clone()))
    }

    fn from_parts(
        name: Label,
        time: Duration,
        (least, most): (Duration, Duration),
        within: Option<TimeLimit>,
    ) -> Self {
        let shared = Arc::new(Shared {
            name,
            min: least,
            max: most,
            cap: within,
            nanos: AtomicU64::new(saturating_nanos(time.clamp(least, most))),
            timeouts: Default::default(),
            rejections: AtomicU64::new(0),
            metrics: PerRecorder::new(),
        });
        registry::register(&shared);
        TimeLimit { shared }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// How long it is now.
    #[inline]
    pub fn get(&self) -> Duration {
        self.shared.get()
    }

    /// Sets the limit of calls that begin from now on, within the bounds of its [table](super::TimeLimits) or
    /// [pair](super::Timeouts). Returns what it has become.
    pub fn set(&self, time: Duration) -> Duration {
        let shared = &*self.shared;
        let nanos = saturating_nanos(shared.apply_cap(self.clamp(time)));
        shared.nanos.store(nanos, Ordering::Relaxed);
        Duration::from_nanos(nanos)
    }

    /// Brings a time within the fixed bounds.
    pub(super) fn clamp(&self, time: Duration) -> Duration {
        time.clamp(self.shared.min, self.shared.max)
    }

    /// How often time has run out.
    pub fn timeout_count(&self) -> u64 {
        let all = self.shared.timeouts.iter();
        all.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How often work was refused, since its deadline had passed before it began.
    pub fn rejected_count(&self) -> u64 {
        self.shared.rejections.load(Ordering::Relaxed)
    }

    /// Gives a future so much time, and no more than is left until the [deadline](crate::context::deadline) of the
    /// work around it. Where that has passed, the future is not polled at all: that is a refusal, with a
    /// [`Rejection`] as the error's source, and counts for no breaker.
    ///
    /// The time counts from the first poll.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when time has run out, or if none was left to begin with.
    ///
    /// # Panics
    ///
    /// If it has to wait outside of a tokio runtime that has a timer.
    pub fn run<F: Future>(&self, future: F) -> TimeLimitFuture<F> {
        TimeLimitFuture::new(self.clone(), future)
    }

    /// Counts that time has run out, and says so.
    #[cold]
    pub(super) fn record_elapsed(&self, bound: TimeoutKind, after: Option<Duration>) -> Elapsed {
        let shared = &*self.shared;
        shared.timeouts[bound as usize].fetch_add(1, Ordering::Relaxed);
        shared.increment(|meters| &meters.timeouts[bound as usize]);
        Elapsed::new(shared.name.clone(), bound, after)
    }

    /// The refusal, as the error of [`span_while`](Self::run).
    #[cold]
    pub(super) fn reject_run(&self) -> Elapsed {
        Elapsed::rejected(self.shared.name.clone(), self.reject())
    }

    /// Counts that there was no time left to begin with.
    #[cold]
    pub(super) fn reject(&self) -> Rejection {
        let shared = &*self.shared;
        shared.rejections.fetch_add(1, Ordering::Relaxed);
        shared.increment(|meters| &meters.rejections);
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

impl Shared {
    #[inline]
    fn get(&self) -> Duration {
        self.apply_cap(Duration::from_nanos(self.nanos.load(Ordering::Relaxed)))
    }

    #[inline]
    fn apply_cap(&self, time: Duration) -> Duration {
        match &self.cap {
            None => time,
            Some(other) => time.min(other.get()),
        }
    }

    fn increment(&self, which: impl Fn(&LimitMetrics) -> &Counter) {
        let make = || LimitMetrics::new(&self.name);
        catch_hook(|| self.metrics.with(make, |meters| which(meters).increment(1)));
    }
}

impl LimitMetrics {
    fn new(name: &Label) -> Self {
        metrics::describe_counter!(
            "tower_keep_timeouts_total",
            Unit::Count,
            "Work that was given up, by what ran out."
        );
        metrics::describe_counter!(
            "tower_keep_expired_total",
            Unit::Count,
            "Work that was refused, since its deadline had passed."
        );
        let name = || name.to_string();
        LimitMetrics {
            timeouts: TimeoutKind::ALL.map(|bound| {
                let bound = bound.as_str();
                metrics::counter!("tower_keep_timeouts_total", "limit" => name(), "bound" => bound)
            }),
            rejections: metrics::counter!("tower_keep_expired_total", "limit" => name()),
        }
    }
}

impl Inspect for Shared {
    fn kind(&self) -> &'static str {
        "timeout"
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        "on"
    }

    fn stats(&self, stats: &mut Stats) {
        let time = self.get();
        let time = (saturating_nanos(time) < u64::MAX).then_some(time);
        stats.seconds("limit_seconds", time);
        for (bound, count) in TimeoutKind::ALL.iter().zip(&self.timeouts) {
            stats.count(bound.as_str(), count.load(Ordering::Relaxed));
        }
        stats.count("refused", self.rejections.load(Ordering::Relaxed));
    }
}

#[cfg(all(test, tower_keep_loom))]
mod models {
    //! Every order of a few threads that the memory model allows, played by loom: `.ci/models`.

    use loom::thread;

    use super::*;

    #[test]
    fn whoever_sets_it_is_told_what_he_has_set_and_all_see_one_of_the_two() {
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
    fn elapsed_and_rejected_runs_are_counted_once() {
        loom::model(|| {
            let limit = TimeLimit::new("model", Duration::ZERO);
            let other = limit.clone();
            let other = thread::spawn(move || {
                other.record_elapsed(TimeoutKind::BodyIdle, None);
                other.reject_run();
            });
            limit.record_elapsed(TimeoutKind::Deadline, None);
            other.join().expect("no panic");
            assert_eq!((limit.timeout_count(), limit.rejected_count()), (2, 1));
        });
    }
}
