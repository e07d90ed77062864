//! Records the metrics of the process for Prometheus: one call, with the right buckets.
//!
//! Use it in `main` of a program that has no recorder of the `metrics` facade. Without a recorder, all metrics of this crate
//! and of others are dropped. [All metrics](crate::all_metrics) lists those of this crate.
//!
//! Install it first: metrics of other crates that are created earlier may stay dead. Those of this crate do not.
//!
//! # What happens
//!
//! | part | what [`install`] does |
//! |---|---|
//! | recorder | installs one for the whole process; all metrics of the `metrics` facade go there, also those of other crates |
//! | names that end in `_seconds` | get the buckets [`DURATION_BUCKETS`](crate::track::DURATION_BUCKETS) |
//! | durations of long-lived streams | get the buckets [`STREAM_DURATION_BUCKETS`](crate::track::STREAM_DURATION_BUCKETS) |
//! | names that end in `_bytes` | get the buckets [`SIZE_BUCKETS`](crate::track::SIZE_BUCKETS) |
//! | other histograms | are exported as summaries, unless [`buckets`](PrometheusBuilder::buckets) names them |
//! | upkeep | starts a thread that moves recorded values into their buckets every 5 s, or they would pile up until the next scrape |
//!
//! The upkeep has a thread of its own, `tower-keep-prometheus`, since the recorder lives as long as the process: it outlives
//! every runtime, there may be none yet, and handlers that block a runtime must not make it grow.
//!
//! # Clones
//!
//! Clones of a [`Prometheus`] render the same metrics.
//!
//! # Cancellation
//!
//! Nothing is async. The thread ends with the process.
//!
//! # Example
//!
//! With the feature `axum`, the route is ready-made:
//!
#![cfg_attr(feature = "axum", doc = "```no_run")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use axum::{Router, routing::get};
//! use tower_keep::observe;
//!
//! # fn main() -> Result<(), tower_keep::InstallError> {
//! let prometheus = tower_keep::prometheus::install()?;
//! let app: Router = Router::new()
//!     .route("/orders/{id}", get(async || "an order"))
//!     .layer(observe("orders").server())
//!     .route("/metrics", prometheus.route()); // after the layer: scrapes are not calls of the application
//! # let _ = app;
//! # Ok(()) }
//! ```
//!
//! Elsewhere, [`render`](Prometheus::render) gives the text. With settings:
//!
//! ```
//! let prometheus = tower_keep::prometheus::builder()
//!     .global_label("region", "eu-1")
//!     .buckets("operation_duration_seconds", &[1.0, 60.0, 3_600.0]) // one metric
//!     .buckets("_ratio", &[0.1, 0.5, 0.9]) // all metrics that end so
//!     .install()?;
//! metrics::counter!("orders_total").increment(1);
//! assert!(prometheus.render().contains(r#"orders_total{region="eu-1"} 1"#));
//!
//! let error = tower_keep::prometheus::install().unwrap_err();
//! assert!(error.is_already_installed());
//! # Ok::<_, tower_keep::InstallError>(())
//! ```

mod builder;
mod handle;

use crate::call::InstallError;

pub use self::{builder::PrometheusBuilder, handle::Prometheus};

/// Installs the recorder for the whole process with the default settings; see the [module](self).
///
/// ```
/// let prometheus = tower_keep::prometheus::install()?;
/// tower_keep::operation("load").call(|| Ok::<_, std::io::Error>(()))?;
/// assert!(prometheus.render().contains("operation_duration_seconds_count"));
/// # Ok::<_, tower_keep::BoxError>(())
/// ```
///
/// # Errors
///
/// Returns an error if a recorder is installed already, or if the thread of the upkeep cannot be started.
pub fn install() -> Result<Prometheus, InstallError> {
    builder().install()
}

/// Returns a builder with the default settings.
///
/// ```no_run
/// let prometheus = tower_keep::prometheus::builder().global_label("region", "eu-1").install()?;
/// # let _ = prometheus;
/// # Ok::<_, tower_keep::InstallError>(())
/// ```
pub fn builder() -> PrometheusBuilder {
    PrometheusBuilder::default()
}
