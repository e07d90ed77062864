//! The laws that the targets run, from the one place where they are written down.

#![forbid(unsafe_code)]

#[path = "../tests/wire/laws.rs"]
pub mod laws;

#[path = "../tests/wire/exchange.rs"]
pub mod exchange;

#[path = "../tests/wire/breaker_key.rs"]
pub mod breaker_key;
