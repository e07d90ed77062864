//! Contexts: read, sent on, traced, and followed from hop to hop.

mod hops;
#[cfg(feature = "axum")]
mod journey;
mod parsers;
mod propagation;
mod trace_formats;
