//! Counts lines that could not be written.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::call::catch_hook;

static LOST_LINES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
}

/// Returns how many lines of the log were lost in this process, because their writer gave an error or panicked.
///
/// Also sent as the counter `tower_keep_log_lines_lost_total`. Lines that a non-blocking appender drops by itself are
/// not among them.
pub fn lost_lines() -> u64 {
    LOST_LINES.load(Ordering::Relaxed)
}

#[cold]
pub(super) fn count_lost_line() {
    LOST_LINES.fetch_add(1, Ordering::Relaxed);
    // A recorder may log, and that line may be lost as well.
    if COUNTING.replace(true) {
        return;
    }
    catch_hook(|| metrics::counter!("tower_keep_log_lines_lost_total").increment(1));
    COUNTING.set(false);
}
