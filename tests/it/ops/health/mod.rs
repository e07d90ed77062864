//! The health of a process: checks under a paused clock, probes by their router, peers on loopback connections.

mod changes;
mod checks;
mod isolation;
mod peers;
mod probes;
mod runs;
mod support;
