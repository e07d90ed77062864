//! A rate limit for each key.

mod builder;
mod capacity;
mod guard;
mod handle;
mod inspect;
mod key_map;
mod limit_key;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod shard;
mod shared;
mod table;

pub use builder::KeyedRateLimitBuilder;
pub use guard::{KeyedRateLimitGuard, KeyedRateLimitPermit};
pub use handle::KeyedRateLimit;
pub(super) use limit_key::LimitKey;
#[cfg(feature = "axum")]
pub use limit_key::RouteKey;
pub use limit_key::{ClientAddressKey, ClosureKey, HeaderKey, RefKey, WeightedKey};
pub(super) use shared::KeyedShared;
