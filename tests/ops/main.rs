//! The operations side from the outside: its routes over real connections, live push, controls under a paused clock.

mod api;
mod controls;
mod mounting;
mod push;
mod schema;
mod security;
mod support;
