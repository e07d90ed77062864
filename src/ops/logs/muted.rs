//! Work of this module whose own events are not kept.

use std::cell::Cell;

thread_local! {
    static IS_MUTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs work on this thread whose events are not kept: whatever stores events must not feed itself.
pub(super) fn muted<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_MUTED.set(self.0);
        }
    }
    let _restore = Restore(IS_MUTED.replace(true));
    work()
}

pub(super) fn is_muted() -> bool {
    IS_MUTED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn muted_work_ends_even_if_it_panics() {
        assert!(!is_muted());
        muted(|| {
            muted(|| assert!(is_muted()));
            assert!(is_muted());
        });
        let _ = std::panic::catch_unwind(|| muted(|| std::panic::resume_unwind(Box::new(()))));
        assert!(!is_muted());
    }
}
