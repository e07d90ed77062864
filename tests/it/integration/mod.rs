//! The layers in axum, tonic and hyper, over real connections.

#[cfg(feature = "axum")]
mod axum;
mod hyper;
#[cfg(all(feature = "axum", feature = "opentelemetry"))]
mod opentelemetry;
#[cfg(feature = "tonic")]
mod tonic;

use tower_keep::{ErrorTracker, Track};

/// Returns a tracker with an error tracker of its own.
fn tracked(name: &'static str) -> (Track, ErrorTracker) {
    let errors = ErrorTracker::default();
    let track = Track::builder(name).errors(errors.clone()).build();
    (track.expect("a tracker"), errors)
}
