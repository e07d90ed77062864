//! Guards: when they are asked and told, and that each call ends exactly once with nothing left in flight.

mod bodies;
mod clock;
pub mod driver;
mod drops;
mod panics;
mod properties;
mod readiness;
mod rejections;
pub mod requests;
