//! What layers are checked with, and the contract that each of ours keeps.

#[cfg(feature = "axum")]
mod contract;
mod script;
