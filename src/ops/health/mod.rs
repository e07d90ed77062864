//! Components of a process and whether they are healthy: checks in the background, a snapshot for probes.
//!
//! Use it to tell Kubernetes, load balancers and people what works. Do not use it to decide about single calls: that is what
//! breakers are for, which learn from the calls themselves. A [`Check::breaker`] shows what they have learned.
//!
//! # What happens
//!
//! Each [`Check`] has a task of its own, which runs it again and again. A run that takes longer than its timeout is dropped and
//! has failed, and so has one that panics. A check is never run twice at the same time: one that blocks its thread, so that
//! it cannot be dropped, fails until it returns. Nobody waits for checks: probes, documents and subscribers read the latest
//! [`HealthSnapshot`], whose `Arc` is replaced after each run.
//!
//! | result of a run | status of the component |
//! |---|---|
//! | success | healthy |
//! | success that took at least [`slower_than`](Check::slower_than) | degraded |
//! | failure, fewer than [`failures`](Check::failures) in a row | degraded if it has worked before; otherwise as it was |
//! | failure, that many in a row | unhealthy |
//! | [`CheckResult::unknown`], or no run yet | unknown |
//!
//! | components | status of all together |
//! |---|---|
//! | a critical one is unhealthy | unhealthy |
//! | otherwise: a critical one is unknown | unknown |
//! | otherwise: any is not healthy | degraded |
//! | otherwise | healthy |
//!
//! The first run is within a second of [`Health::spawn`], at a random moment. Each later one is up to 10 % of the interval
//! early or late, so that the processes of a service do not ask at once. Averages and worst durations are of the last 60 runs.
//!
//! Each change of a component is one event of the target `tower_keep::health`, at `INFO` if the component is healthy again and
//! otherwise at `WARN`; a [`HealthChange`] for [subscribers](Health::subscribe); and the metrics `health_check_status`
//! (1 healthy, 0.5 degraded or unknown, 0 unhealthy) and `health_check_duration_seconds`, which each run records.
//!
//! Texts of results and errors are bounded, in one line, and lose what looks like a credential: user and password of a URL,
//! `password=..`, `Bearer ..`.
//!
//! # Probes
//!
//! | route of [`Health::probes`] | 200 | 503 |
//! |---|---|---|
//! | `/livez` | the runtime runs tasks | it has run none for the [liveness limit](HealthBuilder::liveness_limit) |
//! | `/startupz` | everything that must work once has done so, for the rest of the process | until then, or until [`Health::started`] if the builder was told to wait for that |
//! | `/readyz` | it has started, and the components that readiness depends on are healthy or degraded together | otherwise, and for good after [`Health::begin_shutdown`] |
//!
//! Liveness asks no component: a restart repairs none, and a failing database would restart every process that uses it.
//! Readiness depends on all components, or, if there are any in the group [`READINESS`], on these. Think twice about
//! critical components that all processes of a service share: when one fails, all of them stop taking requests. Startup
//! depends on the components of the group [`STARTUP`], or, if there are none, on the critical ones of readiness.
//!
//! Bodies are a word or two. `/readyz?exclude=db` answers as if there were no `db`. With
//! [`verbose_probes`](HealthBuilder::verbose_probes), `/readyz?verbose` lists the components, without reasons.
//!
//! # Documents
//!
//! A [`HealthDocument`] is the answer of a route such as `/health`, in the [form](HealthFormat) that the client accepts. Its
//! details are for those who may see them, which the route decides.
//!
//! # Clones
//!
//! Clones of a [`Health`] share everything. The checks end when the last clone is dropped.
//!
//! # Cancellation
//!
//! [`Health::check_now`] may be dropped: the run goes on. A run that times out is dropped at its next await.
//!
//! # Example
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_keep::{CircuitBreaker, ops::health::{Check, Health}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keep::ConfigError> {
//! let payments = CircuitBreaker::new("payments");
//! let health = Health::builder("orders")
//!     .check(Check::tcp("broker", "broker:5672").critical())
//!     .check(Check::breaker(&payments))
//!     .build()?;
//! health.spawn();
//! let app: Router = Router::new()
//!     .route("/orders/{id}", get(async || "an order"))
//!     .merge(health.probes());
//! # let _ = app;
//! # Ok(()) }
//! ```
//!
//! With thresholds, a document for those who may see it, and a shutdown that no request notices:
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, http::{HeaderMap, header::ACCEPT}, routing::get};
//! use tower_keep::ops::health::{Check, Health, HealthDocument, HealthFormat, READINESS};
//!
//! # struct Pool;
//! # impl Pool { async fn ping(&self) -> Result<(), std::io::Error> { Ok(()) } }
//! # static POOL: Pool = Pool;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keep::ConfigError> {
//! let health = Health::builder("orders")
//!     .version(env!("CARGO_PKG_VERSION"))
//!     .check(
//!         Check::new("ledger-db", || POOL.ping())
//!             .kind("database")
//!             .critical()
//!             .group(READINESS)
//!             .interval(Duration::from_secs(10))
//!             .timeout(Duration::from_secs(2))
//!             .slower_than(Duration::from_millis(250))
//!             .failures(3),
//!     )
//!     .check(Check::http("rates", "http://rates:8080/healthz"))
//!     .build()?;
//! health.spawn();
//!
//! let document = health.clone();
//! let admin: Router = Router::new().route("/health", get(async move |headers: HeaderMap| {
//!     let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
//!     let may_see_details = headers.contains_key("x-operator"); // whatever the application has
//!     HealthDocument::new(&document.snapshot(), HealthFormat::negotiate(accept), may_see_details)
//! }));
//! # let _ = admin;
//!
//! // When told to end: load balancers learn of it first, then the server stops.
//! health.begin_shutdown();
//! assert!(!health.snapshot().is_ready);
//! # Ok(()) }
//! ```

mod actuator_document;
mod aggregate;
mod blocking;
mod breaker_check;
mod builder;
mod change;
mod check;
mod check_output;
mod check_result;
#[cfg(test)]
mod check_tests;
mod component;
mod component_config;
mod component_snapshot;
#[cfg(all(feature = "ops-disk", unix))]
mod disk_space;
mod error_text;
#[cfg(test)]
mod fixtures;
mod health_document;
mod health_format;
mod health_handle;
mod heartbeat;
mod http_get;
mod json_document;
mod metrics;
mod model;
mod phase;
mod probe_query;
mod probe_text;
mod probes;
mod recent_durations;
mod report;
pub(in crate::ops) mod rfc3339;
mod run;
mod run_signal;
mod runner;
mod runtime_lag;
mod schedule;
mod shared;
mod snapshot;
mod status;
mod text_document;
mod trigger;

pub use builder::HealthBuilder;
pub use change::HealthChange;
pub use check::Check;
pub use check_output::CheckOutput;
pub use check_result::CheckResult;
pub use component_snapshot::ComponentSnapshot;
pub use health_document::HealthDocument;
pub use health_format::HealthFormat;
pub use health_handle::Health;
pub use phase::Phase;
pub use snapshot::{HealthSnapshot, READINESS, STARTUP};
pub use status::HealthStatus;
