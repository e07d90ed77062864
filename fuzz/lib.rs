//! The laws that the targets run, from the one place where they are written down.

#![forbid(unsafe_code)]

#[path = "../tests/it/parsers/laws.rs"]
pub mod laws;

#[path = "../tests/it/parsers/exchange.rs"]
pub mod exchange;

#[path = "../tests/it/parsers/breaker_key.rs"]
pub mod breaker_key;
