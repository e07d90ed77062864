//! Workflows from the outside: what the API says about them, under a paused clock.

mod failures;
#[cfg(feature = "ops-sqlite")]
mod file;
mod links;
mod lists;
mod runs;
mod support;
