//! The layers in axum, tonic and hyper, over real connections.

#[cfg(feature = "axum")]
mod axum;
mod hyper;
#[cfg(all(feature = "axum", feature = "opentelemetry"))]
mod opentelemetry;
#[cfg(feature = "tonic")]
mod tonic;
