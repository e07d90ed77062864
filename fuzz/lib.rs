//! The invariants that the targets run, from the one place where they are written down.

#![forbid(unsafe_code)]

#[path = "../tests/it/parsers/invariants.rs"]
pub mod invariants;

#[path = "../tests/it/parsers/exchange.rs"]
pub mod exchange;

#[path = "../tests/it/parsers/breaker_key.rs"]
pub mod breaker_key;

#[path = "../tests/it/parsers/requested_faults.rs"]
pub mod requested_faults;

#[path = "../tests/it/parsers/forwarded.rs"]
pub mod forwarded;

#[path = "../tests/it/parsers/trace_formats.rs"]
pub mod trace_formats;

#[path = "../tests/ops/query.rs"]
pub mod query;
