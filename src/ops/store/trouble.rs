use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The most texts that wait to be recorded.
const MAX_NOTICES: usize = 16;

/// The trouble with the file, if there is any, for health and journal. Clones share it; they do not keep the file open.
#[derive(Clone, Debug)]
pub(crate) struct Trouble(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reason: watch::Sender<Option<Arc<str>>>,
    notices: Mutex<Vec<String>>,
}

impl Trouble {
    pub(super) fn new() -> Self {
        Trouble(Arc::new(Shared {
            reason: watch::Sender::new(None),
            notices: Mutex::default(),
        }))
    }

    /// Returns why the file cannot be used, if it cannot.
    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.0.reason.borrow().clone()
    }

    /// Returns a receiver that is woken when that changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.reason.subscribe()
    }

    /// Sets it, and returns whether it was none, or is none now.
    pub(super) fn set(&self, reason: Option<String>) -> bool {
        let mut is_turn = false;
        self.0.reason.send_if_modified(|current| {
            is_turn = current.is_some() != reason.is_some();
            let is_same = current.as_deref() == reason.as_deref();
            *current = reason.map(Into::into);
            !is_same
        });
        is_turn
    }

    /// Adds a text for the journal.
    pub(super) fn notice(&self, text: String) {
        let mut notices = self.notices();
        if notices.len() < MAX_NOTICES {
            notices.push(text);
        }
    }

    /// Takes the texts for the journal.
    pub(crate) fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices())
    }

    fn notices(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        let notices = &self.0.notices;
        notices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
