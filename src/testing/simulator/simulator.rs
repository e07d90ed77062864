use std::time::Duration;

use super::{Arrivals, Peer, Report, run::SimulationRun, virtual_clock::VirtualClock};
use crate::{
    call::ConfigError,
    guard::{Admit, Guard},
    hedge::{Hedge, HedgeSettings},
    retry::{Retry, RetrySettings},
    util::mix::stream,
};

/// A resolution that shows what windows of seconds do.
const DEFAULT_SLICE: Duration = Duration::from_secs(1);
const MIN_SLICE: Duration = Duration::from_millis(1);
const MAX_DURATION: Duration = Duration::from_secs(24 * 3_600);
const MAX_SLICES: u128 = 100_000;
const MAX_CLIENTS: u32 = 10_000;
const MAX_TIME_LIMIT: Duration = Duration::from_secs(3_600);

/// A simulator of clients that call a peer through guards: see the [module](super).
///
/// # Clones
///
/// A clone has settings of its own. A simulator keeps nothing of its runs.
#[derive(Clone, Debug)]
#[must_use]
pub struct Simulator {
    pub(super) peer: Peer,
    pub(super) arrivals: Arrivals,
    pub(super) steps: Vec<(Duration, TimedChange)>,
    pub(super) slice: Duration,
    pub(super) time_limit: Option<Duration>,
    pub(super) seed: u64,
    clients: u32,
    retry: Option<RetrySettings>,
    hedge: Option<HedgeSettings>,
}

/// A change at some time of a simulation.
#[derive(Clone, Copy, Debug)]
pub(super) enum TimedChange {
    Peer(Peer),
    Arrivals(Arrivals),
}

/// A client: a process with guards, retries and hedges of its own.
#[derive(Debug)]
pub(super) struct SimulatedClient<G> {
    pub(super) guard: G,
    pub(super) retry: Option<Retry>,
    pub(super) hedge: Option<Hedge>,
}

impl Simulator {
    /// Creates a simulator of one client, which neither retries nor hedges.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::CircuitBreaker;
    /// use tower_keep::testing::simulator::{Arrivals, Peer, Simulator};
    ///
    /// let peer = Peer::new(10, Duration::from_millis(100));
    /// let simulator = Simulator::new(peer, Arrivals::open(50.0));
    /// let minute = Duration::from_secs(60);
    /// let report = simulator.run(minute, |_| None::<CircuitBreaker>)?;
    /// assert_eq!(report.total(Duration::ZERO..minute).goodput(), 1.0);
    /// # Ok::<(), tower_keep::ConfigError>(())
    /// ```
    pub fn new(peer: Peer, arrivals: Arrivals) -> Self {
        Simulator {
            peer,
            arrivals,
            steps: Vec::new(),
            slice: DEFAULT_SLICE,
            time_limit: None,
            seed: 0,
            clients: 1,
            retry: None,
            hedge: None,
        }
    }

    /// Sets the seed of all that is random. The same seed gives the same report. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of clients, among which the calls are divided. Each has guards, retries, hedges and a budget of its own, as
    /// processes have. Must be 1 to 10,000. Default: 1.
    pub fn clients(mut self, clients: u32) -> Self {
        self.clients = clients;
        self
    }

    /// Sets the time limit of each attempt. The peer does not learn that it has elapsed. Must be longer than zero, at most 1 h.
    /// Default: none.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Sets the retries of each client, outside of the guards. Default: none.
    pub fn retry(mut self, settings: RetrySettings) -> Self {
        self.retry = Some(settings);
        self
    }

    /// Sets the hedges of each client, inside of the retries and outside of the guards. With retries, both share the budget of these
    /// unless the settings of the hedges have another one. Default: none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{CircuitBreaker, hedge::HedgeSettings};
    /// use tower_keep::testing::simulator::{Arrivals, Peer, Simulator};
    ///
    /// // One call of 25 takes ten times as long as the others.
    /// let peer = Peer::new(100, Duration::from_millis(50)).slow(0.04, 10.0);
    /// let simulator = Simulator::new(peer, Arrivals::open(100.0));
    /// let minutes = Duration::from_secs(60)..Duration::from_secs(180);
    ///
    /// let without = simulator.run(minutes.end, |_| None::<CircuitBreaker>)?;
    /// let hedged = simulator.hedge(HedgeSettings::default());
    /// let hedged = hedged.run(minutes.end, |_| None::<CircuitBreaker>)?;
    /// assert!(hedged.percentile(minutes.clone(), 0.99) * 2 < without.percentile(minutes.clone(), 0.99));
    /// assert!(hedged.total(minutes).attempts_per_call() < 1.06);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn hedge(mut self, settings: HedgeSettings) -> Self {
        self.hedge = Some(settings);
        self
    }

    /// Changes the peer at a time from the start. What workers have begun takes as long as before, and what is queued stays.
    pub fn peer_at(mut self, time: Duration, peer: Peer) -> Self {
        self.steps.push((time, TimedChange::Peer(peer)));
        self
    }

    /// Changes the arrivals at a time from the start. Users of before call no more once their call has ended.
    pub fn arrivals_at(mut self, time: Duration, arrivals: Arrivals) -> Self {
        self.steps.push((time, TimedChange::Arrivals(arrivals)));
        self
    }

    /// Sets the length of the slices of the report: at least 1 ms, and at most 100,000 of them. Default: 1 s.
    pub fn slice(mut self, length: Duration) -> Self {
        self.slice = length;
        self
    }

    /// Simulates so much time, up to 24 h, and returns the course of it. Calls that are in flight then are followed to their ends.
    ///
    /// `guard` makes the guard of each client, from a seed for it. `None::<Throttle>` is no guard, and a pair is two of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{Throttle, testing::simulator::{Arrivals, Peer, Simulator}};
    ///
    /// // A peer that serves 100 calls a second, and gets three times as many.
    /// let peer = Peer::new(10, Duration::from_millis(100)).queue(10);
    /// let simulator = Simulator::new(peer, Arrivals::open(300.0));
    /// let minute = Duration::from_secs(60);
    ///
    /// let report = simulator.run(2 * minute, |_| None::<Throttle>)?;
    /// assert!(report.total(minute..2 * minute).attempts > 17_000);
    ///
    /// let report = simulator.run(2 * minute, |seed| {
    ///     Throttle::builder("ledger").factor(1.1).seed(seed).build().expect("valid settings")
    /// })?;
    /// let total = report.total(minute..2 * minute);
    /// assert!(total.attempts < 7_200 && total.succeeded > 5_500, "{total:?}");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid, the time of a step included.
    ///
    /// # Panics
    ///
    /// Panics if `guard` does, or if a guard panics at the end of a call.
    pub fn run<G: Admit<()>>(
        &self,
        duration: Duration,
        guard: impl Fn(u64) -> G,
    ) -> Result<Report, ConfigError> {
        self.run_with_gauge(duration, guard, |_| 0.0)
    }

    /// Does the same, and reads a gauge of the guards at the end of each slice: the limit of a bulkhead, the state of a circuit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{Bulkhead, adaptive::AdaptiveSettings};
    /// use tower_keep::testing::simulator::{Arrivals, Peer, Simulator};
    ///
    /// // Fifty calls at once are what it can take.
    /// let peer = Peer::new(50, Duration::from_millis(100));
    /// let minute = Duration::from_secs(60);
    /// let report = Simulator::new(peer, Arrivals::open(700.0)).run_with_gauge(
    ///     5 * minute,
    ///     |_| {
    ///         let limit = Bulkhead::builder("ledger").limit(20);
    ///         limit.adaptive(AdaptiveSettings::default()).build().expect("valid settings")
    ///     },
    ///     |limit| f64::from(limit.limit()),
    /// )?;
    /// let limit = report.total(2 * minute..5 * minute).gauge;
    /// assert!((40.0..=60.0).contains(&limit), "{limit}");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error as [`run`](Self::run) does.
    ///
    /// # Panics
    ///
    /// Panics as [`run`](Self::run) does, or if `gauge` does.
    pub fn run_with_gauge<G: Admit<()>>(
        &self,
        duration: Duration,
        guard: impl Fn(u64) -> G,
        gauge: impl Fn(&G) -> f64,
    ) -> Result<Report, ConfigError> {
        self.check(duration)?;
        VirtualClock::run(|clock| {
            // On the clock of the simulation: what handles count begins with it.
            let clients = self.make_clients(&guard)?;
            Ok(SimulationRun::new(self, clients, clock, duration).run(&gauge))
        })
    }

    fn make_clients<G: Guard>(
        &self,
        guard: &impl Fn(u64) -> G,
    ) -> Result<Vec<SimulatedClient<G>>, ConfigError> {
        let clients = (0..u64::from(self.clients)).map(|index| {
            // Another stream for each: of its guard, of its retries.
            let seed = |part| stream(self.seed, 2 * index + part + 1);
            let retry = self.retry.as_ref().map(|settings| {
                let retry = Retry::builder("simulated").settings(settings);
                retry.seed(seed(1)).build()
            });
            let retry = retry.transpose()?;
            let hedge = self.hedge.as_ref().map(|settings| {
                let hedge = Hedge::builder("simulated").settings(settings);
                hedge.or_retry_budget(retry.as_ref()).build()
            });
            Ok(SimulatedClient {
                guard: guard(seed(0)),
                retry,
                hedge: hedge.transpose()?,
            })
        });
        clients.collect()
    }

    fn check(&self, duration: Duration) -> Result<(), ConfigError> {
        let error = |field, value: String, expected| {
            Err(ConfigError::new("simulator", field, value, expected))
        };
        if duration.is_zero() || duration > MAX_DURATION {
            let expected = "longer than zero, at most 24 h";
            return error("duration", format!("{duration:?}"), expected);
        }
        let is_valid = self.slice >= MIN_SLICE
            && duration.as_nanos().div_ceil(self.slice.as_nanos()) <= MAX_SLICES;
        if !is_valid {
            let expected = "at least 1 ms, and 100000 of them at most";
            return error("slice", format!("{:?}", self.slice), expected);
        }
        if !(1..=MAX_CLIENTS).contains(&self.clients) {
            return error("clients", self.clients.to_string(), "1 to 10000");
        }
        let limit = self.time_limit.unwrap_or(MAX_TIME_LIMIT);
        if limit.is_zero() || limit > MAX_TIME_LIMIT {
            let expected = "longer than zero, at most 1 h";
            return error("time_limit", format!("{limit:?}"), expected);
        }
        self.peer.check()?;
        self.arrivals.check()?;
        self.steps.iter().try_for_each(|(at, step)| {
            let field = match step {
                TimedChange::Peer(peer) => peer.check().map(|()| "peer_at")?,
                TimedChange::Arrivals(arrivals) => arrivals.check().map(|()| "arrivals_at")?,
            };
            match *at < duration {
                true => Ok(()),
                false => error(field, format!("{at:?}"), "before the end of the simulation"),
            }
        })
    }
}
