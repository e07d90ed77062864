//! The integration tests: one module for each of the crate's own, and one for each framework.
//!
//! They share a process, and with it the registry and all else that is found by name: a test that counts in one of these
//! uses names of its own. A test that needs more of the process than that is a program of its own beside this one.

mod adaptive;
#[cfg(feature = "balance")]
mod balance;
mod breaker;
mod bulkhead;
#[cfg(feature = "cache")]
mod cache;
mod call;
mod chaos;
mod coalesce;
mod context;
mod errors;
mod fallback;
mod guard;
mod hedge;
mod integration;
mod operation;
#[cfg(feature = "ops")]
mod ops;
mod parsers;
mod pipeline;
mod priority;
#[cfg(feature = "axum")]
mod protocol;
mod rate_limit;
mod registry;
#[cfg(feature = "reqwest")]
mod reqwest;
mod retry;
mod support;
mod testing;
mod throttle;
mod timeout;
#[cfg(feature = "axum")]
mod track;
