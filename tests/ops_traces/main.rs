//! Traces that are kept, from spans of a real subscriber to what the API says.

mod calls;
#[path = "../support/callsites.rs"]
mod callsites;
#[cfg(feature = "opentelemetry")]
mod exported;
#[cfg(feature = "ops-sqlite")]
mod file;
mod kept;
#[path = "../ops/schema.rs"]
mod schema;
mod spans;
mod support;
