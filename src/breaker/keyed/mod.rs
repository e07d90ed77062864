//! One circuit for each key, all of one name.

mod authority_key;
mod builder;
mod eviction_rank;
mod guard;
mod inspect;
mod keyed_breaker;
mod shared;

pub use builder::KeyedBreakerBuilder;
pub use guard::KeyedGuard;
pub use keyed_breaker::KeyedBreaker;
use shared::KeyedShared;
