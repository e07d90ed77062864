//! Checks what the console shows of calls in flight and of slow ones, and the log level. A process of its own: from the first
//! console on, the calls of all of it are in one table.
#![cfg(feature = "ops")]

#[path = "../../benches/support/allocations.rs"]
mod allocations;
#[path = "../../benches/support/poll.rs"]
mod poll;

mod console;
mod cost;
mod drops;
mod in_flight;
#[cfg(feature = "logging")]
mod log_level;
mod slow;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;
