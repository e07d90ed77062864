//! The ends of calls: outcomes, evidence, classifiers, and what panics beside them.

mod classify;
#[cfg(feature = "tower")]
mod evidence;
mod grpc_outcomes;
mod outcomes;
mod panics;
