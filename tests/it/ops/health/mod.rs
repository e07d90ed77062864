//! The health of a process: checks under a paused clock, probes by their router.

mod checks;
mod probes;
mod support;
