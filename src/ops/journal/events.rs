use std::{collections::VecDeque, sync::Arc};

use tokio::sync::watch;

use super::{Event, Journal};

/// The most events that a subscriber takes from the journal at once.
const BATCH: usize = 64;

/// A subscription to a [`Journal`]: the events after it was made, in order.
///
/// A subscriber that is slower than the journal is long misses the events that were dropped meanwhile: their numbers are
/// missing.
#[derive(Debug)]
pub struct JournalEvents {
    journal: Journal,
    last: watch::Receiver<u64>,
    seen: u64,
    batch: VecDeque<Arc<Event>>,
}

impl JournalEvents {
    pub(super) fn new(journal: Journal, mut last: watch::Receiver<u64>) -> Self {
        let seen = *last.borrow_and_update();
        JournalEvents {
            journal,
            last,
            seen,
            batch: VecDeque::new(),
        }
    }

    /// Waits for the next event.
    pub async fn next(&mut self) -> Arc<Event> {
        loop {
            if let Some(event) = self.batch.pop_front() {
                self.seen = event.seq();
                return event;
            }
            // Marked as seen before it is read: what comes in between wakes again.
            self.last.borrow_and_update();
            self.batch = self.journal.after(self.seen, BATCH, |_| true).into();
            if self.batch.is_empty() && self.last.changed().await.is_err() {
                // The journal is held by this subscription, so its sender is there.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::journal::{EventKind, Severity};

    fn event(text: &str) -> Event {
        Event::new(EventKind::Custom, Severity::Info, "test", text)
    }

    #[tokio::test]
    async fn journal_subscriber_gets_later_events_in_order() {
        let journal = Journal::new(1_000);
        journal.record(event("before"));
        let mut events = journal.subscribe();
        for n in 0..200 {
            journal.record(event(&n.to_string()));
        }
        for n in 0..200 {
            assert_eq!(events.next().await.text(), n.to_string());
        }
        let later = tokio::spawn(async move { events.next().await });
        tokio::task::yield_now().await;
        journal.record(event("later"));
        assert_eq!(later.await.expect("no panic").text(), "later");
    }

    #[tokio::test]
    async fn journal_subscriber_that_is_too_slow_misses_dropped_events() {
        let journal = Journal::new(2);
        let mut events = journal.subscribe();
        for _ in 0..5 {
            journal.record(event("x"));
        }
        assert_eq!(events.next().await.seq(), 4);
        assert_eq!(events.next().await.seq(), 5);
    }
}
