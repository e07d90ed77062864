//! The operations side.

mod health;
mod recorder;
