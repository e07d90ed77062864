//! The guards that the process lists.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tower_keep::registry::{self, Snapshot};

/// The registry, for one test at a time: a guard that is being listed cannot go.
pub struct Listing {
    _alone: MutexGuard<'static, ()>,
}

/// Waits until no other test lists guards, or drops some to see them gone.
pub fn listing() -> Listing {
    static ALONE: Mutex<()> = Mutex::new(());
    Listing {
        _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner),
    }
}

impl Listing {
    pub fn snapshots(&self) -> Vec<Snapshot> {
        registry::snapshots()
    }
}
