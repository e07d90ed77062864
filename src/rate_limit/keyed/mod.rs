//! A rate limit for each key.

mod builder;
mod capacity;
mod guard;
mod handle;
mod inspect;
mod key_map;
mod key_source;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod shard;
mod shared;
mod table;

pub use builder::KeyedRateLimitBuilder;
pub use guard::{KeyedRateLimitGuard, KeyedRateLimitPermit};
pub use handle::KeyedRateLimit;
#[cfg(feature = "axum")]
pub use key_source::RouteKey;
pub use key_source::{ClientAddressKey, ClosureKey, HeaderKey, KeySource, RefKey, WeightedKey};
pub(super) use shared::KeyedShared;
