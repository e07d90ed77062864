//! How calls end: outcomes, evidence, classifiers, and what panics beside them.

mod classify;
#[cfg(feature = "tower")]
mod evidence;
mod outcomes;
mod panics;
