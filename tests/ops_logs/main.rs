//! Logs that are kept for the console: from a real subscriber to the API.

#[path = "../../benches/support/allocations.rs"]
mod allocations;
mod bounds;
#[path = "../support/callsites.rs"]
mod callsites;
mod event;
#[cfg(feature = "ops-sqlite")]
mod file;
mod process;
mod search;
mod support;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;
