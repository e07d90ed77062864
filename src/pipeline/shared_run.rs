use std::sync::{Mutex, MutexGuard, PoisonError};

/// The work of a call whose attempts run at the same time. Each takes it for a moment: to begin, and to classify its result. All of
/// them are polled by one task.
pub(super) struct SharedRun<R> {
    /// `None` while an attempt has it.
    run: Mutex<Option<R>>,
}

/// The work in the hands of an attempt, which gives it back, on unwinding too.
struct Taken<'a, R> {
    run: Option<R>,
    owner: &'a SharedRun<R>,
}

impl<R> SharedRun<R> {
    pub(super) fn new(run: R) -> Self {
        SharedRun {
            run: Mutex::new(Some(run)),
        }
    }

    /// Lends the work for a moment. No lock is held meanwhile, since the work is code of the application.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut R) -> T) -> T {
        let run = self.lock().take();
        let mut taken = Taken { run, owner: self };
        let run = taken.run.as_mut();
        look(run.expect("attempts take it one after the other"))
    }

    fn lock(&self) -> MutexGuard<'_, Option<R>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Drop for Taken<'_, R> {
    fn drop(&mut self) {
        *self.owner.lock() = self.run.take();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn work_is_given_back_after_a_panic() {
        let run = SharedRun::new(7);
        let panics = || run.with(|_| panic!("of the work"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        run.with(|number| *number += 1);
        assert_eq!(run.with(|number| *number), 8);
    }
}
