use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use super::{CallTarget, CallText};
use crate::track::request_labels::RequestLabels;

/// A tracker, as the table knows it: it has the texts of the calls that it has put there.
pub(crate) trait CallSource: Send + Sync {
    /// Returns the texts of one of its calls.
    fn describe(&self, request: RequestLabels, target: &CallTarget) -> CallText;
}

/// The trackers that have put calls into the table.
///
/// A number is given out anew when its tracker is gone: then none of its calls is in flight, since a call holds its tracker.
#[derive(Default)]
pub(super) struct Sources(Mutex<Vec<Weak<dyn CallSource>>>);

impl Sources {
    /// Adds a tracker, and returns its number.
    pub(super) fn add(&self, source: Weak<dyn CallSource>) -> u32 {
        let mut all = self.lock();
        // Asks for the count alone: an upgrade might drop the last reference under the lock.
        let free = all.iter().position(|other| other.strong_count() == 0);
        match free {
            Some(at) => {
                all[at] = source;
                at as u32
            }
            None => {
                all.push(source);
                (all.len() - 1) as u32
            }
        }
    }

    /// Returns a copy, by number.
    pub(super) fn list(&self) -> Vec<Weak<dyn CallSource>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn CallSource>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Named;

    impl CallSource for Named {
        fn describe(&self, _: RequestLabels, _: &CallTarget) -> CallText {
            unreachable!("no call is described")
        }
    }

    #[test]
    fn number_of_a_source_that_is_gone_is_given_out_anew() {
        let sources = Sources::default();
        let all: Vec<Arc<dyn CallSource>> = vec![Arc::new(Named), Arc::new(Named)];
        let add = |source: &Arc<dyn CallSource>| sources.add(Arc::downgrade(source));
        assert_eq!(all.iter().map(add).collect::<Vec<_>>(), [0, 1]);
        let mut all = all.into_iter();
        drop(all.next());
        let third: Arc<dyn CallSource> = Arc::new(Named);
        assert_eq!(add(&third), 0);
        assert_eq!(add(&third), 2);
        assert_eq!(sources.list().len(), 3);
    }
}
