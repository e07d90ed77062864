//! Time limits, and deadlines from hop to hop, on a paused clock.

mod apply;
mod bodies;
mod connections;
mod deadlines;
mod grpc;
mod limits;
mod propagation;
mod rules;

use std::time::Duration;

use tower_keep::{
    BoxError,
    call::Elapsed,
    testing::{Reply, Script},
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn after(delay: Duration) -> Script {
    Script::always(move || Reply::ok().after(delay))
}

fn elapsed(error: &BoxError) -> &Elapsed {
    error.downcast_ref().expect("an Elapsed")
}
