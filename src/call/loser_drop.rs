//! Tells calls that are dropped since another attempt has won that nobody has lost patience with them.

use std::cell::Cell;

thread_local! {
    static DROPPING: Cell<bool> = const { Cell::new(false) };
}

/// Drops attempts that are not needed any more, since another one has the result of the call.
pub(crate) fn drop_losers(drop: impl FnOnce()) {
    /// Restores what was set before, on unwinding too.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = DROPPING.try_with(|dropping| dropping.set(self.0));
        }
    }
    let before = DROPPING.try_with(|dropping| dropping.replace(true));
    let _back = Restore(before.unwrap_or(false));
    drop();
}

/// Returns whether this thread drops attempts that another one has made needless. How long they lasted says nothing then.
pub(crate) fn is_dropping_losers() -> bool {
    DROPPING.try_with(Cell::get).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losers_are_known_for_as_long_as_they_are_dropped() {
        assert!(!is_dropping_losers());
        drop_losers(|| {
            drop_losers(|| assert!(is_dropping_losers()));
            assert!(is_dropping_losers());
        });
        assert!(!is_dropping_losers());
        let thrown = std::panic::catch_unwind(|| {
            drop_losers(|| std::panic::resume_unwind(Box::new("thrown")));
        });
        assert!(thrown.is_err() && !is_dropping_losers());
    }
}
