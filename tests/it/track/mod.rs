//! What is measured, logged and marked about each call.

#[cfg(feature = "axum")]
mod calls;
#[cfg(feature = "axum")]
mod series;
#[cfg(feature = "axum")]
mod stacks;
