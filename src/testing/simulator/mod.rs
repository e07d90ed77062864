//! A simulator of clients that call a peer through guards, to see what settings do before an outage does.
//!
//! Hours take seconds: nothing sleeps, and no thread waits. The guards, the retries, the hedges and their budgets are the real ones,
//! and so are their settings; the peer, the calls and the clock are simulated. Use it to choose settings, and in tests of a guard that
//! learns from what calls it admits. It is no load test: a real peer has caches, locks, garbage collectors and neighbors, and
//! what the simulator says holds as far as the peer behaves like workers behind a queue.
//!
//! # What is simulated
//!
//! ```text
//! arrivals → client: retries → hedges → guards → time limit → peer: queue → workers
//! ```
//!
//! | part | set by | what it does |
//! |---|---|---|
//! | [`Arrivals`] | [`Simulator::new`], [`arrivals_at`](Simulator::arrivals_at) | open: whatever becomes of calls. Closed: users that wait for the end of theirs |
//! | clients | [`clients`](Simulator::clients) | processes, each with guards, retries and hedges of its own |
//! | retries | [`retry`](Simulator::retry) | by [`RetrySettings`](crate::retry::RetrySettings): attempts, backoff, budget |
//! | hedges | [`hedge`](Simulator::hedge) | by [`HedgeSettings`](crate::hedge::HedgeSettings): a percentile or a fixed time, budget |
//! | guards | [`run`](Simulator::run) | any [`Guard`](crate::Guard) of calls without a request: breaker, throttle, bulkhead, one of your own, a pair |
//! | time limit | [`time_limit`](Simulator::time_limit) | of each attempt |
//! | [`Peer`] | [`Simulator::new`], [`peer_at`](Simulator::peer_at) | workers, their time for a call, a queue; failures |
//!
//! # What happens
//!
//! | an attempt | outcome | evidence |
//! |---|---|---|
//! | is served | success | healthy |
//! | is served, and fails by [`failure_rate`](Peer::failure_rate) | failure | unhealthy |
//! | finds the queue full | overload, at once | unhealthy |
//! | is still queued or served when its time limit elapses | timed out; the peer does the work all the same | unhealthy |
//! | is rejected by a guard | rejected | inconclusive |
//! | runs when another attempt of its call has won | cancelled; the peer does the work all the same | none |
//!
//! The time that a run takes grows with the number of attempts, whatever time is simulated.
//!
//! A call has no head and no body. Guards are asked when a call comes, not for their readiness: a queue of a bulkhead is not
//! simulated, and [`BulkheadBuilder::queue_limit`](crate::bulkhead::BulkheadBuilder::queue_limit) changes nothing.
//!
//! The clock is tokio's, [paused](tokio::time::pause), in a runtime that the simulator makes: what handles read is the simulated time,
//! also in `guard` and `gauge` of [`run_with_gauge`](Simulator::run_with_gauge). Handles must be made in `guard`, or they count from
//! another time. Like all handles, they are in the [registry](crate::registry) while the simulation runs, record metrics and log.
//!
//! # Clones
//!
//! Clones of a [`Simulator`] have settings of their own; runs share nothing.
//!
//! # Cancellation
//!
//! A run is a function that returns when it is done; there is nothing to cancel. It blocks its thread: in an application, give it
//! to `spawn_blocking`.
//!
//! # Example
//!
//! For ten seconds a peer is ten times as slow. Without a budget, the retries of its clients keep it down after that:
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{CircuitBreaker, retry::RetrySettings};
//! use tower_keep::testing::simulator::{Arrivals, Peer, Simulator};
//!
//! let seconds = Duration::from_secs;
//! let peer = Peer::new(5, Duration::from_millis(25)).queue(200);
//! let dip = Peer::new(5, Duration::from_millis(250)).queue(200);
//! let simulator = Simulator::new(peer, Arrivals::open(150.0))
//!     .clients(5)
//!     .time_limit(Duration::from_millis(500))
//!     .peer_at(seconds(10), dip)
//!     .peer_at(seconds(20), peer);
//! let after = seconds(40)..seconds(60);
//! let no_guard = |_| None::<CircuitBreaker>;
//!
//! let with_budget = simulator.clone().retry(RetrySettings::default());
//! assert!(with_budget.run(seconds(60), no_guard)?.total(after.clone()).goodput() > 0.95);
//!
//! let mut unbounded = RetrySettings::default();
//! unbounded.budget = None;
//! let without = simulator.retry(unbounded);
//! assert!(without.run(seconds(60), no_guard)?.total(after).goodput() < 0.05);
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod arrivals;
mod call_table;
mod call_times;
mod events;
mod peer;
mod report;
mod run;
mod server;
#[expect(
    clippy::module_inception,
    reason = "the simulator has the name of the module"
)]
mod simulator;
mod slice;
mod virtual_clock;

pub use arrivals::Arrivals;
pub use peer::Peer;
pub use report::Report;
pub use simulator::Simulator;
pub use slice::Slice;
