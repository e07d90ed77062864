//! The file of the operations side: what survives a stop, a kill, a full disk, other processes and damage.

mod faults;
mod journal;
mod kills;
mod metrics;
mod support;
