//! Helpers that every module may use. Nothing here imports another module of the crate.

pub(crate) mod append_map;
#[cfg(any(feature = "logging", feature = "ops", feature = "serde"))]
pub(crate) mod calendar;
#[cfg(any(feature = "logging", feature = "ops-logs"))]
pub(crate) mod callsites;
pub(crate) mod captured_panic;
pub(crate) mod credentials;
pub(crate) mod duration;
pub(crate) mod error_chain;
pub(crate) mod event;
pub(crate) mod event_counts;
pub(crate) mod family;
pub(crate) mod fnv;
pub(crate) mod headers;
pub(crate) mod history;
pub(crate) mod hook;
pub(crate) mod log_linear;
pub(crate) mod mix;
pub(crate) mod padded;
pub(crate) mod panics;
pub(crate) mod per_recorder;
pub(crate) mod poll;
pub(crate) mod ranked_lru;
pub(crate) mod recorder;
pub(crate) mod service_body;
pub(crate) mod setting_changes;
#[cfg(feature = "serde")]
pub(crate) mod setting_serde;
pub(crate) mod sharded_arc;
pub(crate) mod shards;
pub(crate) mod shared_gauges;
pub(crate) mod sync;
#[cfg(test)]
#[path = "../../tests/support/callsites.rs"]
pub(crate) mod test_callsites;
pub(crate) mod text;
pub(crate) mod thread_slot;
