mod health;
//! The operations side.

mod recorder;
