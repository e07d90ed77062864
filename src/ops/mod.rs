//! The operations side in the same process: metrics with history, health, a JSON API, live push and a console.

mod access;
mod api;
mod guards;
pub mod health;
pub mod journal;
mod push;
pub mod recorder;
pub mod series;
mod time;

pub use access::{Access, AccessBuilder, Identity, Role};
