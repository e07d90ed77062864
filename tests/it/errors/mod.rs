//! Errors: groups of them, and the names of faults.

#[cfg(all(feature = "axum", feature = "tonic", feature = "tower"))]
mod error_type;
mod groups;
