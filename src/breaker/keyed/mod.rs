//! One circuit for each key, all of one name.

mod authority;
mod guard;
mod key;
mod key_metrics;
mod keyed_breaker;
mod map;
#[cfg(all(test, tower_keep_loom))]
mod models;

pub use guard::{KeyedGuard, KeyedPermit};
pub use key::{AuthorityKey, KeyFn, KeyRefFn, KeySource};
pub(super) use key_metrics::KeyMember;
pub use keyed_breaker::{KeyedBreaker, KeyedBreakerBuilder};
