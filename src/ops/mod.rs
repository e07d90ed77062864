//! The operations side in the same process: metrics with history, health, logs, traces, workflows, alerts and notifications, with
//! a JSON API, live push and a console.
//!
//! One axum [`Router`](axum::Router) shows the engineer on call what the process knows: calls by outcome, latency, routes and
//! operations, the state of every guard, components with their health, error groups, [`workflows`], [`alerts`], and a [`journal`] of what happened. It
//! [tells](notify) people of what they should look at. With permission, it changes the state of guards and of error groups, and the log level: for a time, and on the record.
//!
//! Other features add logs and traces that are searched in the console (`ops-logs`), a file in which all of it survives
//! a restart (`ops-sqlite`), channels to webhooks, Slack, PagerDuty, Alertmanager, Teams, Discord (`ops-notify`) and by mail
//! (`ops-email`), and export to an OpenTelemetry collector (`ops-otlp`).
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use tower_keep::{observe, ops::{Access, Ops, health::Check}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let ops = Ops::builder("orders")
//!     .version(env!("CARGO_PKG_VERSION"))
//!     .check(Check::tcp("broker", "broker:5672").critical())
//!     .build()?;
//! ops.install()?;
//! let access = Access::builder()
//!     .operator_token(std::env::var("OPS_OPERATOR_TOKEN")?)
//!     .viewer_token(std::env::var("OPS_VIEWER_TOKEN")?)
//!     .build()?;
//! let app: Router = Router::new()
//!     .route("/orders/{id}", get(async || "an order"))
//!     .layer(observe("orders").server())
//!     .merge(ops.probes())
//!     .nest_service("/ops", ops.console::<()>(access)); // after the layer: what the console is asked is no call
//! # let _ = app;
//! # Ok(()) }
//! ```
//!
//! # What is mounted
//!
//! | address | who | what |
//! |---|---|---|
//! | `/livez`, `/readyz`, `/startupz` of [`Ops::probes`] | everybody | the status in one word, from a snapshot |
//! | `ops/` | viewers | the page; strangers get 401, with the login page if they accept HTML |
//! | `ops/api/v1/..` | viewers | JSON; `ops/api/v1/openapi.json` describes it |
//! | `ops/api/v1/live`, `ops/api/v1/events` | viewers | frames over WebSocket, or as server-sent events |
//! | `ops/health` | viewers | the health, for monitors: `application/health+json`, the shape of Spring Boot's Actuator, or text |
//! | `ops/metrics` | viewers | for Prometheus, as text or OpenMetrics |
//! | `POST` to a guard, an error group, an alert, a silence, a channel or the log level | operators | changes it, where [`OpsBuilder::allow_control`] allows that |
//! | `ops/login`, `ops/logout` | everybody | sessions |
//!
//! Put it behind `nest_service("/ops", ..)`: then `/ops` and `/ops/` both lead to the page. As a router, `nest("/ops", ..)` has the
//! page at `/ops` and `/ops/index.html`, and `nest("/ops/", ..)` at `/ops/`. Any path does, also below a path that a proxy removes:
//! all addresses are relative.
//!
//! # Security
//!
//! There is no console without an [`Access`]; see there for tokens, login links, sessions and the application's own login.
//! Viewers see everything; operators may change something, if that is allowed at all. Each change needs a reason and is in the
//! journal with who, before and after. Requests that change something, and WebSockets, must come from the page itself. Pages
//! run no script but their own, and text of whatever origin stays text. Connections of a session end with it.
//!
//! # Cost
//!
//! Calls add to atomics, and are in a table of calls in flight unless [`watch_calls`](OpsBuilder::watch_calls) says no: they take
//! no lock that the rest of this module holds. Once per second one task moves what was added into the history, on a thread for
//! blocking work. While somebody looks, it also makes one update, whatever the number of viewers: some 5 ms with 200 routes and
//! 500 guards (`benches/console.rs`). While nobody looks, none. Everything is bounded: series, events, viewers, holds,
//! answers, parameters and bodies. What was dropped is counted, in `dropped` of the status.
//!
//! With the feature `ops-sqlite` and `OpsBuilder::sqlite`, the journal, the history of metrics, logs, traces, workflows, alerts, silences
//! and notifications that are still to be sent survive a restart, and history reaches back 90 days. Without, and for all else, nothing
//! does: holds, sessions and login links are in memory. Logins and what operators did are in the log as well, with the target
//! `tower_keep::ops`.
//!
//! # Clones
//!
//! Clones of an [`Ops`] share everything. Its tasks end when the last one is dropped, and all consoles that were made of it;
//! then viewers are sent away, guards that an operator holds are as they were before, and what waits for the file is written, for
//! which the drop waits 2 s at most.
//!
//! # Cancellation
//!
//! Reading waits for nothing but short locks. A change of a guard has happened once its response is there; whether it has if the
//! request is cancelled before is in the journal. [`Health::begin_shutdown`](health::Health::begin_shutdown) sends viewers away,
//! so that a graceful shutdown of the server does not wait for them.

mod access;
mod alerting;
pub mod alerts;
mod api;
mod audit;
mod builder;
mod call_metrics;
mod console;
mod control;
mod core;
mod driver;
mod guards;
mod handle;
pub mod health;
pub mod journal;
#[cfg(feature = "ops-logs")]
mod layer;
#[cfg(feature = "ops-logs")]
mod layer_filter;
mod log_level;
#[cfg(feature = "ops-logs")]
pub mod logs;
mod members;
#[cfg(feature = "ops-sqlite")]
mod metric_history;
pub mod notify;
#[cfg(feature = "ops-otlp")]
pub mod otlp;
mod push;
pub mod recorder;
mod redact;
pub mod series;
#[cfg_attr(
    not(all(feature = "ops-logs", feature = "ops-sqlite")),
    allow(
        dead_code,
        unused_imports,
        reason = "the log uses what the others do not"
    )
)]
mod store;
mod time;
#[cfg(feature = "ops-logs")]
pub mod traces;
pub mod workflows;

#[cfg(feature = "ops-sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "ops-sqlite")))]
pub use self::store::StoreFile;
pub use self::{
    access::{Access, AccessBuilder, Identity, Role},
    builder::OpsBuilder,
    handle::Ops,
    log_level::LogFilter,
};

/// Returns a workflow that is recorded in the [`Ops`] of this process; see [`workflows`].
///
/// ```
/// use tower_keep::ops::workflow;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// # async fn reserve() -> std::io::Result<()> { Ok(()) }
/// let checkout = workflow("checkout").run(|flow| async move { flow.step("reserve").run(reserve()).await });
/// checkout.await
/// # }
/// ```
pub fn workflow(name: impl Into<crate::call::Label>) -> workflows::Workflow {
    workflows::Workflow::new(name.into(), None)
}

/// Returns a facade of the recorder of this process, for code that does not use the macros of the `metrics` crate.
///
/// ```
/// tower_keep::ops::metrics().increment("orders_total", 1, &[("shop", "eu")]);
/// ```
pub fn metrics() -> recorder::Metrics {
    recorder::Metrics::global()
}
