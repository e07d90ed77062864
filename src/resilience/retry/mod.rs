//! Another attempt after a failure: how long to wait before it.

mod backoff;

pub use backoff::{Backoff, Chance, Delays, Jitter};
