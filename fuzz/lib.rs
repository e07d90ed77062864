//! The laws that the targets run, from the one place where they are written down.

#![forbid(unsafe_code)]

#[path = "../tests/it/parsers/laws.rs"]
pub mod laws;
