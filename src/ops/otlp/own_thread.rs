//! Marks the threads of exporters: nothing that happens on them is exported, or each export would cause the next.

use std::cell::Cell;

thread_local! {
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one of an exporter.
pub(super) fn mark() {
    IS_OWN.set(true);
}

/// Returns whether this thread is one of an exporter.
pub(super) fn is_own() -> bool {
    // A thread that ends is not asked any more.
    IS_OWN.try_with(Cell::get).unwrap_or(false)
}
