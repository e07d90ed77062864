//! The number of lines that could not be written.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use metrics::Unit;

use crate::call::catch_hook;

static LOST_LINES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
}

/// Returns the number of log lines that this process lost because their writer failed or panicked.
///
/// It is also exported as the counter `tower_keep_log_lines_lost_total`. Lines that a non-blocking appender drops are not
/// included.
///
/// A health check that notices a log nobody can read:
///
/// ```
/// assert_eq!(tower_keep::logging::lost_lines(), 0);
/// ```
pub fn lost_lines() -> u64 {
    LOST_LINES.load(Ordering::Relaxed)
}

/// Counts a lost line.
#[cold]
pub(super) fn count_lost_line() {
    LOST_LINES.fetch_add(1, Ordering::Relaxed);
    // A metrics recorder may log, and lose that line as well: count without the metric then.
    if COUNTING.replace(true) {
        return;
    }
    catch_hook(|| {
        const NAME: &str = "tower_keep_log_lines_lost_total";
        metrics::describe_counter!(NAME, Unit::Count, "Log lines that could not be written.");
        metrics::counter!(NAME).increment(1);
    });
    COUNTING.set(false);
}
