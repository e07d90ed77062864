//! The operations side from the outside: its routes over real connections, live push, controls under a paused clock.

mod api;
mod controls;
mod fuzzed;
mod mounting;
mod push;
mod query;
mod schema;
mod security;
mod slow_viewers;
mod support;
