#[cfg(all(test, tower_keep_loom))]
mod models;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use metrics::{Counter, Unit};

use super::run::Limited;
use crate::{
    call::{Elapsed, Name, Rejection, RejectionKind, TimeBound, quietly},
    observe::late::Late,
    registry::{self, Inspect, Stats},
    sync::atomic::{AtomicU64, Ordering},
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
        TimeLimit::within(name, time, Duration::ZERO, Duration::MAX)
    }

    /// A limit that is never less nor more than that.
    pub(super) fn within(
        name: impl Into<Name>,
        time: Duration,
        least: Duration,
        most: Duration,
    ) -> Self {
        let shared = Arc::new(Shared {
            name: name.into(),
            least,
            most,
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
        Duration::from_nanos(self.shared.nanos.load(Ordering::Relaxed))
    }

    /// Makes it so long for calls that begin from now on, within the bounds of its
    /// [table](super::TimeLimits); says how long it has become.
    pub fn set(&self, time: Duration) -> Duration {
        let nanos = nanos(time.clamp(self.shared.least, self.shared.most));
        self.shared.nanos.store(nanos, Ordering::Relaxed);
        Duration::from_nanos(nanos)
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
    /// work around it. Where that has passed, the future is not polled at all.
    ///
    /// The time counts from the first poll.
    ///
    /// # Errors
    ///
    /// When time has run out.
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
        let nanos = self.nanos.load(Ordering::Relaxed);
        let time = (nanos < u64::MAX).then(|| Duration::from_nanos(nanos));
        stats.seconds("limit_seconds", time);
        for (bound, count) in TimeBound::ALL.iter().zip(&self.timed_out) {
            stats.count(bound.as_str(), count.load(Ordering::Relaxed));
        }
        stats.count("refused", self.refused.load(Ordering::Relaxed));
    }
}
