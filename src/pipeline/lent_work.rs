use std::sync::{Arc, Mutex, PoisonError};

/// Work that is lent to one attempt after the other, and comes back when the attempt is dropped.
pub(super) struct LentWork<F> {
    /// `None` while an attempt has it.
    work: Arc<Mutex<Option<F>>>,
}

impl<F> LentWork<F> {
    pub(super) fn new(work: F) -> Self {
        LentWork {
            work: Arc::new(Mutex::new(Some(work))),
        }
    }

    /// Lends the work to an attempt.
    pub(super) fn lend(&self) -> Borrowed<F> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        Borrowed {
            work: work.take(),
            owner: Arc::clone(&self.work),
        }
    }
}

/// The work in the hands of an attempt.
pub(super) struct Borrowed<F> {
    work: Option<F>,
    owner: Arc<Mutex<Option<F>>>,
}

impl<F> Borrowed<F> {
    pub(super) async fn run<T>(&mut self) -> T
    where
        F: AsyncFnMut() -> T,
    {
        let work = self.work.as_mut();
        work.expect("one attempt ends before the next begins")().await
    }
}

impl<F> Drop for Borrowed<F> {
    fn drop(&mut self) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = self.work.take();
    }
}
