//! One circuit for each key, all of one name.

mod authority;
mod guard;
mod handle;
#[cfg(all(test, tower_keep_loom))]
mod models;
mod pick;
mod seat;
mod shelf;

pub use guard::{KeyedGuard, KeyedPermit};
pub use handle::{KeyedBreaker, KeyedBreakerBuilder};
pub use pick::{ByAuthority, ByKey, ByRef, Pick};
pub(super) use seat::Seat;
