//! The services that layers are checked with, and the contract that each of ours keeps.

#[cfg(feature = "axum")]
mod broken;
#[cfg(feature = "axum")]
mod contract;
#[cfg(feature = "axum")]
mod fits;
mod script;
mod simulator;
mod simulator_hedges;
