//! Workflows from the outside: what the API says about them, under a paused clock.

#[path = "../support/callsites.rs"]
#[cfg(feature = "ops-logs")]
mod callsites;
mod failures;
#[cfg(feature = "ops-sqlite")]
mod file;
mod links;
mod lists;
mod runs;
mod support;
