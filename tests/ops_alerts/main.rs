//! Alerts from the outside: their API as `openapi.json` has it, live push, the scrape, rules of a file, and a restart.

#[cfg(feature = "serde")]
mod file;
mod operators;
#[cfg(feature = "ops-sqlite")]
mod restart;
mod rules;
#[path = "../ops/schema.rs"]
mod schema;
mod states;
mod support;
mod telling;
