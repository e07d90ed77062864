//! The integration tests: one module for each of the crate's own, and one for each framework.
//!
//! They share a process, and with it the registry and all else that is found by name: a test that counts in one of these
//! uses names of its own. A test that needs more of the process than that is a program of its own beside this one.

mod breaker;
mod bulkhead;
mod call;
mod chaos;
mod context;
mod errors;
mod fallback;
mod guard;
mod integration;
mod operation;
#[cfg(feature = "ops")]
mod ops;
mod parsers;
mod pipeline;
#[cfg(feature = "axum")]
mod protocol;
mod rate_limit;
mod registry;
#[cfg(feature = "reqwest")]
mod reqwest;
mod retry;
mod support;
mod testing;
mod timeout;
#[cfg(feature = "axum")]
mod track;
