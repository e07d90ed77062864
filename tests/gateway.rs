//! The gateway as a process of its own, with real traffic over the loopback; and its files' own tests.

// `cargo test` builds examples, but runs the tests in them only instead of building them.
#[allow(dead_code)]
#[path = "../examples/gateway.rs"]
mod example;
