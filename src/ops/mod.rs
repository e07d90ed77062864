//! The operations side in the same process: metrics with history, health, a JSON API, live push and a console.

mod access;
mod api;
mod builder;
mod console;
mod control;
mod core;
mod driver;
mod guards;
mod handle;
pub mod health;
pub mod journal;
mod members;
mod push;
pub mod recorder;
pub mod series;
mod time;

pub use self::{
    access::{Access, AccessBuilder, Identity, Role},
    builder::OpsBuilder,
    handle::Ops,
};

/// Returns a facade of the recorder of this process, for code that does not use the macros of the `metrics` crate.
///
/// ```
/// tower_keep::ops::metrics().increment("orders_total", 1, &[("shop", "eu")]);
/// ```
pub fn metrics() -> recorder::Metrics {
    recorder::Metrics::global()
}
