use std::{collections::BTreeMap, sync::Arc};

#[cfg(feature = "ops-sqlite")]
use super::record_file;
use super::{Event, EventKind, Journal};
use crate::ops::store::Store;

/// The events that are asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct EventPage {
    pub(in crate::ops) from: PageStart,
    pub(in crate::ops) limit: usize,
    pub(in crate::ops) kind: Option<EventKind>,
}

/// The end of a page that is known, which is not part of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) enum PageStart {
    /// The first events with a higher number.
    After(u64),
    /// The last events with a lower number.
    Before(u64),
}

impl EventPage {
    /// Returns the page of a journal as far as it is in memory, and whether all of it is.
    pub(in crate::ops) fn in_memory(&self, journal: &Journal) -> (Vec<Arc<Event>>, bool) {
        let is_wanted = |event: &Event| self.kind.is_none_or(|kind| event.kind() == kind);
        // Before the events: what comes in between is in memory.
        let (oldest, oldest_kept) = (journal.oldest(), journal.oldest_kept());
        let (events, is_whole) = match self.from {
            PageStart::After(seq) => {
                let events = journal.after(seq, self.limit, is_wanted);
                (events, seq.saturating_add(1) >= oldest)
            }
            PageStart::Before(seq) => {
                let events = journal.before(seq, self.limit, is_wanted);
                let without_gap = events.iter().filter(|event| event.seq() >= oldest).count();
                (events, without_gap == self.limit)
            }
        };
        (events, is_whole || oldest_kept >= oldest)
    }

    /// Returns the page of a journal, from the file where it is not in memory. Blocks; without the file, as far as it is in memory.
    #[cfg(feature = "ops-sqlite")]
    pub(in crate::ops) fn with_file(&self, journal: &Journal, store: &Store) -> Vec<Arc<Event>> {
        let stored = record_file::read(store, self).unwrap_or_default();
        let (in_memory, _) = self.in_memory(journal);
        self.of(stored.into_iter().map(Arc::new).chain(in_memory))
    }

    /// Returns the page of a journal.
    #[cfg(not(feature = "ops-sqlite"))]
    pub(in crate::ops) fn with_file(&self, journal: &Journal, _store: &Store) -> Vec<Arc<Event>> {
        self.of(self.in_memory(journal).0)
    }

    /// Returns the page of these events, the oldest first. Later ones replace others of the same number.
    fn of(&self, events: impl IntoIterator<Item = Arc<Event>>) -> Vec<Arc<Event>> {
        let events = events.into_iter().map(|event| (event.seq(), event));
        let mut page: Vec<_> = events.collect::<BTreeMap<_, _>>().into_values().collect();
        match self.from {
            PageStart::After(_) => page.truncate(self.limit),
            PageStart::Before(_) => _ = page.drain(..page.len().saturating_sub(self.limit)),
        }
        page
    }
}
