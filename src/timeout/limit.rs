use std::{fmt, future::Future, sync::Arc, time::Duration};

use metrics::{Counter, Unit};

use super::run::Limited;
use crate::{
    call::{Elapsed, Name, Rejection, RejectionKind, TimeBound, quietly},
    registry::{self, Inspect, Stats},
    util::{
        late::Late,
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
    name: Name,
    least: Duration,
    most: Duration,
    /// Another limit that this one never exceeds, whatever becomes of the two.
    within: Option<TimeLimit>,
    nanos: AtomicU64,
    timed_out: [AtomicU64; TimeBound::ALL.len()],
    refused: AtomicU64,
    meters: Late<Meters>,
}

struct Meters {
    timed_out: [Counter; TimeBound::ALL.len()],
    refused: Counter,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl TimeLimit {
    /// A limit of its own.
    pub fn new(name: impl Into<Name>, time: Duration) -> Self {
        TimeLimit::bounded(name, time, Duration::ZERO, Duration::MAX)
    }

    /// A limit that is never less nor more than that.
    pub(super) fn bounded(
        name: impl Into<Name>,
        time: Duration,
        least: Duration,
        most: Duration,
    ) -> Self {
        TimeLimit::make(name.into(), time, (least, most), None)
    }

    /// A limit that is never more than another one is at the time.
    pub(super) fn within(name: impl Into<Name>, time: Duration, other: &TimeLimit) -> Self {
        let bounds = (Duration::ZERO, Duration::MAX);
        TimeLimit::make(name.into(), time, bounds, Some(other.clone()))
    }

    fn make(
        name: Name,
        time: Duration,
        (least, most): (Duration, Duration),
        within: Option<TimeLimit>,
    ) -> Self {
        let shared = Arc::new(Shared {
            name,
            least,
            most,
            within,
            nanos: AtomicU64::new(nanos(time.clamp(least, most))),
            timed_out: Default::default(),
            refused: AtomicU64::new(0),
            meters: Late::new(),
        });
        registry::enter(&shared);
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
        let nanos = nanos(shared.at_most_within(self.clamp(time)));
        shared.nanos.store(nanos, Ordering::Relaxed);
        Duration::from_nanos(nanos)
    }

    /// Brings a time within the fixed bounds.
    pub(super) fn clamp(&self, time: Duration) -> Duration {
        time.clamp(self.shared.least, self.shared.most)
    }

    /// How often time has run out.
    pub fn timed_out(&self) -> u64 {
        let all = self.shared.timed_out.iter();
        all.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How often work was refused, since its deadline had passed before it began.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
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
    pub fn run<F: Future>(&self, future: F) -> Limited<F> {
        Limited::new(self.clone(), future)
    }

    /// Counts that time has run out, and says so.
    #[cold]
    pub(super) fn ran_out(&self, bound: TimeBound, after: Option<Duration>) -> Elapsed {
        let shared = &*self.shared;
        shared.timed_out[bound as usize].fetch_add(1, Ordering::Relaxed);
        shared.count(|meters| &meters.timed_out[bound as usize]);
        Elapsed::new(shared.name.clone(), bound, after)
    }

    /// The refusal, as the error of [`run`](Self::run).
    #[cold]
    pub(super) fn refused_to_begin(&self) -> Elapsed {
        Elapsed::refused(self.shared.name.clone(), self.refuse())
    }

    /// Counts that there was no time left to begin with.
    #[cold]
    pub(super) fn refuse(&self) -> Rejection {
        let shared = &*self.shared;
        shared.refused.fetch_add(1, Ordering::Relaxed);
        shared.count(|meters| &meters.refused);
        Rejection::new(RejectionKind::DeadlineExceeded, shared.name.clone())
            .reason("the deadline has passed")
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
        self.at_most_within(Duration::from_nanos(self.nanos.load(Ordering::Relaxed)))
    }

    #[inline]
    fn at_most_within(&self, time: Duration) -> Duration {
        match &self.within {
            None => time,
            Some(other) => time.min(other.get()),
        }
    }

    fn count(&self, which: impl Fn(&Meters) -> &Counter) {
        let make = || Meters::new(&self.name);
        quietly(|| self.meters.with(make, |meters| which(meters).increment(1)));
    }
}

impl Meters {
    fn new(name: &Name) -> Self {
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
        Meters {
            timed_out: TimeBound::ALL.map(|bound| {
                let bound = bound.as_str();
                metrics::counter!("tower_keep_timeouts_total", "limit" => name(), "bound" => bound)
            }),
            refused: metrics::counter!("tower_keep_expired_total", "limit" => name()),
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
        let time = (nanos(time) < u64::MAX).then_some(time);
        stats.seconds("limit_seconds", time);
        for (bound, count) in TimeBound::ALL.iter().zip(&self.timed_out) {
            stats.count(bound.as_str(), count.load(Ordering::Relaxed));
        }
        stats.count("refused", self.refused.load(Ordering::Relaxed));
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
    fn each_call_that_runs_out_or_is_refused_is_counted_once() {
        loom::model(|| {
            let limit = TimeLimit::new("model", Duration::ZERO);
            let other = limit.clone();
            let other = thread::spawn(move || {
                other.ran_out(TimeBound::BodyIdle, None);
                other.refuse();
            });
            limit.ran_out(TimeBound::Deadline, None);
            other.join().expect("no panic");
            assert_eq!((limit.timed_out(), limit.refused()), (2, 1));
        });
    }
}
