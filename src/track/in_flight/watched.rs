use std::num::NonZeroU32;

use super::{CallTable, InFlightEntry};
use crate::call::CallEnd;

/// A call that is in the table of the process, until this is dropped. Empty where nobody watches calls, or the table is full.
#[derive(Debug, Default)]
pub(crate) struct WatchedCall(Option<NonZeroU32>);

impl WatchedCall {
    /// Puts a call into the table, if there is one. `enter` makes the entry and inserts it, by [`in_table`](Self::in_table): a
    /// function of its own, so that a call that nobody watches costs a load and a branch.
    #[inline]
    pub(crate) fn enter(enter: impl FnOnce(&'static CallTable) -> WatchedCall) -> Self {
        match CallTable::global_if_set() {
            None => WatchedCall(None),
            Some(table) => enter(table),
        }
    }

    pub(crate) fn in_table(table: &CallTable, entry: InFlightEntry) -> Self {
        WatchedCall(table.insert(entry))
    }

    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.0.is_some()
    }

    /// Takes the call out of the table. `is_slow` is asked only if it is there.
    #[inline]
    pub(crate) fn leave(&mut self, end: &CallEnd<'_>, is_slow: impl FnOnce() -> bool) {
        if self.is_watched() {
            self.leave_table(end, is_slow);
        }
    }

    #[inline(never)]
    fn leave_table(&mut self, end: &CallEnd<'_>, is_slow: impl FnOnce() -> bool) {
        if let Some(slot) = self.0.take()
            && let Some(table) = CallTable::global_if_set()
            && let Some(call) = table.remove(slot)
            && is_slow()
        {
            table.push_slow(call, end);
        }
    }

    /// Takes a call out of the table that nobody has completed.
    #[cold]
    fn remove(&mut self) {
        if let Some(slot) = self.0.take()
            && let Some(table) = CallTable::global_if_set()
        {
            table.remove(slot);
        }
    }
}

impl Drop for WatchedCall {
    #[inline]
    fn drop(&mut self) {
        if self.is_watched() {
            self.remove();
        }
    }
}
