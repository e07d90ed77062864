//! Prioritizers: who is shed when there is no room for all.

mod bursts;
mod calls;
mod orders;
mod overload;
mod pipelines;
#[cfg(all(feature = "axum", feature = "reqwest", feature = "tonic"))]
mod propagation;
mod settings;
mod sources;

use std::time::Duration;

use tower_keep::{
    Outcome,
    priority::{ClassStats, Prioritizer, PrioritizerBuilder, PriorityClass},
};

const SECOND: Duration = Duration::from_secs(1);

fn builder(name: &'static str) -> PrioritizerBuilder {
    Prioritizer::builder(name).seed(7).floor(0.0)
}

fn prioritizer(name: &'static str) -> Prioritizer {
    builder(name).build().expect("valid settings")
}

/// Pushes so many calls of each class back that a prioritizer admits.
fn push_back(prioritizer: &Prioritizer, calls: u32) {
    for call in 0..calls {
        let class = PriorityClass::ALL[call as usize % PriorityClass::ALL.len()];
        if let Ok(permit) = prioritizer.try_acquire(class) {
            permit.complete(Outcome::Overload);
        }
    }
}

/// Admitted, shed and pushed back.
fn class(prioritizer: &Prioritizer, class: PriorityClass) -> (u64, u64, u64) {
    let ClassStats {
        admitted,
        shed,
        pushed_back,
        ..
    } = prioritizer.stats().class(class);
    (admitted, shed, pushed_back)
}
