//! The layers in axum, tonic and hyper, over real connections.

#[cfg(feature = "axum")]
mod axum;
mod hyper;
#[cfg(feature = "tonic")]
mod tonic;
