//! The operations side from the outside: its routes over real connections, live push, controls under a paused clock.

mod api;
#[path = "../support/callsites.rs"]
mod callsites;
mod chaos;
mod controls;
mod fuzzed;
mod guards;
mod limits;
mod logins;
mod logs;
mod mounting;
mod push;
mod query;
mod schema;
mod security;
mod settings;
mod slow_viewers;
mod support;
