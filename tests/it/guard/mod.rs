//! Guards: when they are asked and told, and that each call ends exactly once with nothing left in flight.

pub mod ask;
mod bodies;
mod clock;
mod drops;
mod panics;
pub mod play;
mod properties;
mod readiness;
mod refusals;
