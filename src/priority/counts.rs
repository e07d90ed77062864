use std::sync::atomic::{AtomicU64, Ordering};

use crate::context::PriorityClass;

/// Numbers of calls by class.
#[derive(Debug, Default)]
pub(super) struct ClassCounts([AtomicU64; PriorityClass::ALL.len()]);

impl ClassCounts {
    pub(super) fn add(&self, class: PriorityClass) {
        self.0[class as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self, class: PriorityClass) -> u64 {
        self.0[class as usize].load(Ordering::Relaxed)
    }
}
