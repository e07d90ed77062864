//! Circuit breakers: single, by key and by name, by hand and in ordinary use.

mod by_name;
mod calls;
mod events;
mod evidence;
mod gauges;
mod hooks;
mod keyed;
mod model;
mod readiness;
mod retry_after;
mod settings;
mod simulation;
mod state_machine;
mod subscribers;
mod switch;
