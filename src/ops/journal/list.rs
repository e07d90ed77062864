use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tokio::sync::watch;

use super::{Event, EventKind, JournalEvents};

/// The events for which one more is kept of those that operators caused. The rest may be caused by anybody.
const EVENTS_PER_KEPT: usize = 10;

/// An ordered, bounded, numbered list of events; see the [module](super).
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    max: usize,
    events: Mutex<Events>,
    /// The number of the last event that is in a file: it is not lost when it is dropped here.
    written: AtomicU64,
    /// The number of the first event in the file; 0 if there is none.
    first_written: AtomicU64,
    /// The number of the last event.
    last: watch::Sender<u64>,
}

/// The events, in the order of their numbers.
#[derive(Default)]
struct Events {
    /// Older events of operators.
    kept: VecDeque<Arc<Event>>,
    /// All since the first of them.
    latest: VecDeque<Arc<Event>>,
    dropped: u64,
}

impl Events {
    /// Adds an event. What is dropped for it is lost if its number is above `written`.
    fn push(&mut self, event: Event, max: usize, written: u64) {
        let mut dropped = (self.latest.len() >= max).then(|| self.latest.pop_front());
        if let Some(Some(oldest)) = &mut dropped
            && matches!(oldest.kind(), EventKind::Control | EventKind::LogLevel)
        {
            self.kept.push_back(oldest.clone());
            let is_full = self.kept.len() > max / EVENTS_PER_KEPT;
            dropped = is_full.then(|| self.kept.pop_front());
        }
        let lost = dropped.flatten().filter(|event| event.seq > written);
        self.dropped += u64::from(lost.is_some());
        self.latest.push_back(Arc::new(event));
    }

    fn after(&self, seq: u64) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        let after = |events: &VecDeque<Arc<Event>>| events.partition_point(|each| each.seq <= seq);
        let (kept, latest) = (after(&self.kept), after(&self.latest));
        self.kept.range(kept..).chain(self.latest.range(latest..))
    }
}

impl Journal {
    /// Creates a journal of at most so many events, at least one, and of a tenth more that operators caused.
    ///
    /// ```
    /// use tower_keep::ops::journal::Journal;
    ///
    /// assert_eq!(Journal::new(1_000).last(), 0);
    /// ```
    pub fn new(max_events: usize) -> Self {
        Journal(Arc::new(Shared {
            max: max_events.max(1),
            events: Mutex::default(),
            written: AtomicU64::new(0),
            first_written: AtomicU64::new(0),
            last: watch::Sender::new(0),
        }))
    }

    /// Records an event that happened now, and returns its number.
    pub fn record(&self, event: Event) -> u64 {
        self.record_at(event, SystemTime::now())
    }

    /// Records an event that happened then.
    pub fn record_at(&self, mut event: Event, at: SystemTime) -> u64 {
        let mut events = self.lock();
        let seq = *self.0.last.borrow() + 1;
        (event.seq, event.at) = (seq, at);
        let written = self.0.written.load(Ordering::Relaxed);
        events.push(event, self.0.max, written);
        // Under the lock, so that numbers come in order. It wakes tasks and runs nothing of theirs.
        self.0.last.send_replace(seq);
        seq
    }

    /// Returns up to `limit` events with a higher number for which the filter holds, the oldest first.
    ///
    /// ```
    /// use tower_keep::ops::journal::{Event, EventKind, Journal, Severity};
    ///
    /// let journal = Journal::new(10);
    /// for severity in [Severity::Info, Severity::Critical] {
    ///     journal.record(Event::new(EventKind::Custom, severity, "orders", "it happened"));
    /// }
    /// let critical = journal.after(0, 10, |event| event.severity() == Severity::Critical);
    /// assert_eq!(critical[0].seq(), 2);
    /// ```
    pub fn after(
        &self,
        seq: u64,
        limit: usize,
        filter: impl Fn(&Event) -> bool,
    ) -> Vec<Arc<Event>> {
        // A copy of the references: the filter runs without the lock.
        let later: Vec<_> = self.lock().after(seq).cloned().collect();
        let found = later.into_iter().filter(|event| filter(event));
        found.take(limit).collect()
    }

    /// Returns up to `limit` of the latest events for which the filter holds, the oldest of them first.
    ///
    /// ```
    /// use tower_keep::ops::journal::{Event, EventKind, Journal, Severity};
    ///
    /// let journal = Journal::new(10);
    /// for text in ["first", "second", "third"] {
    ///     journal.record(Event::new(EventKind::Custom, Severity::Info, "orders", text));
    /// }
    /// let latest = journal.latest(2, |_| true);
    /// assert_eq!(latest.iter().map(|event| event.seq()).collect::<Vec<_>>(), [2, 3]);
    /// ```
    pub fn latest(&self, limit: usize, filter: impl Fn(&Event) -> bool) -> Vec<Arc<Event>> {
        let all: Vec<_> = self.lock().after(0).cloned().collect();
        let found = all.into_iter().rev().filter(|event| filter(event));
        let mut found: Vec<_> = found.take(limit).collect();
        found.reverse();
        found
    }

    /// Returns the number of the last event; 0 without any.
    pub fn last(&self) -> u64 {
        *self.0.last.borrow()
    }

    /// Returns how many events were dropped to make room for others, and are in no file.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Returns the number from which on all events are there.
    pub(in crate::ops) fn oldest(&self) -> u64 {
        let events = self.lock();
        *self.0.last.borrow() - events.latest.len() as u64 + 1
    }

    /// Returns the number from which on all events are there, or in the file.
    pub(in crate::ops) fn oldest_kept(&self) -> u64 {
        match self.0.first_written.load(Ordering::Relaxed) {
            0 => self.oldest(),
            first => first.min(self.oldest()),
        }
    }

    /// Returns up to `limit` of the latest events with a lower number for which the filter holds, the oldest of them first.
    pub(in crate::ops) fn before(
        &self,
        seq: u64,
        limit: usize,
        filter: impl Fn(&Event) -> bool,
    ) -> Vec<Arc<Event>> {
        self.latest(limit, |event| event.seq < seq && filter(event))
    }

    /// Goes on after the events of an earlier process, which are in the order of their numbers, or after a number. For a journal
    /// that is new.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn go_on(&self, earlier: Vec<Event>, last: u64) {
        let mut events = self.lock();
        events.latest = earlier.into_iter().map(Arc::new).collect();
        self.0.last.send_replace(last);
    }

    /// Learns which events are in the file: the numbers of the first and of the last one.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn set_written(&self, first: u64, last: u64) {
        self.0.written.store(last, Ordering::Relaxed);
        self.0.first_written.store(first, Ordering::Relaxed);
    }

    #[cfg(feature = "ops-sqlite")]
    pub(super) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    #[cfg(feature = "ops-sqlite")]
    pub(super) fn first_written(&self) -> u64 {
        self.0.first_written.load(Ordering::Relaxed)
    }

    /// Subscribes to all later events.
    pub fn subscribe(&self) -> JournalEvents {
        JournalEvents::new(self.clone(), self.0.last.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        let events = &self.0.events;
        events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Journal");
        debug.field("last", &self.last()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::journal::Severity;

    fn event(text: &str) -> Event {
        Event::new(EventKind::Custom, Severity::Info, "test", text)
    }

    #[test]
    fn journal_pages_by_number() {
        let journal = Journal::new(100);
        for n in 0..10 {
            assert_eq!(journal.record(event(&n.to_string())), n + 1);
        }
        let page = |after, limit| {
            let found = journal.after(after, limit, |event| event.seq() % 2 == 0);
            found.iter().map(|event| event.seq()).collect::<Vec<_>>()
        };
        assert_eq!(page(0, 2), [2, 4]);
        assert_eq!(page(4, 10), [6, 8, 10]);
        assert!(page(10, 10).is_empty() && page(u64::MAX, 10).is_empty());
        assert_eq!(format!("{journal:?}"), "Journal { last: 10, .. }");
    }

    #[test]
    fn journal_pages_backwards_by_number() {
        let journal = Journal::new(100);
        (0..10).for_each(|_| _ = journal.record(event("x")));
        let page = |before, limit| {
            let found = journal.before(before, limit, |event| event.seq() % 2 == 0);
            found.iter().map(|event| event.seq()).collect::<Vec<_>>()
        };
        assert_eq!(page(7, 2), [4, 6]);
        assert_eq!(page(6, 10), [2, 4]);
        assert_eq!(page(u64::MAX, 2), [8, 10]);
        assert!(page(2, 10).is_empty() && page(0, 10).is_empty());
    }

    #[cfg(feature = "ops-sqlite")]
    #[test]
    fn journal_goes_on_after_earlier_events_and_knows_which_are_in_the_file() {
        let journal = Journal::new(100);
        assert_eq!((journal.oldest(), journal.oldest_kept()), (1, 1));
        let earlier = [5, 6].map(|seq| {
            let mut event = event("earlier");
            event.seq = seq;
            event
        });
        journal.go_on(earlier.to_vec(), 6);
        assert_eq!(journal.record(event("next")), 7);
        let found = journal.after(0, 10, |_| true);
        let numbers = found.iter().map(|event| event.seq()).collect::<Vec<_>>();
        assert_eq!(numbers, [5, 6, 7]);
        assert_eq!((journal.oldest(), journal.oldest_kept()), (5, 5));
        journal.set_written(2, 6);
        assert_eq!((journal.first_written(), journal.written()), (2, 6));
        assert_eq!((journal.oldest(), journal.oldest_kept()), (5, 2));
        // The file has the last ones only: the others are in memory.
        journal.set_written(6, 7);
        assert_eq!(journal.oldest_kept(), 5);
    }

    /// An outage, or a stranger who causes errors, pushed out what operators had done.
    #[test]
    fn journal_keeps_what_operators_did_for_longer() {
        let journal = Journal::new(20);
        let control = || Event::new(EventKind::Control, Severity::Warning, "ledger", "hold_open");
        for _ in 0..4 {
            journal.record(control());
            (0..3).for_each(|_| _ = journal.record(event("x")));
        }
        (0..100).for_each(|_| _ = journal.record(event("x")));
        let kept = journal.after(0, 100, |event| event.kind() == EventKind::Control);
        assert_eq!(
            kept.iter().map(|event| event.seq()).collect::<Vec<_>>(),
            [9, 13]
        );
        assert_eq!(journal.after(9, 100, |_| true).len(), 21);
        assert_eq!(journal.latest(22, |_| true)[0].seq(), 9);
        assert_eq!(
            (journal.oldest(), journal.dropped(), journal.last()),
            (97, 94, 116)
        );
    }

    proptest! {
        #[test]
        fn journal_keeps_the_latest_and_counts_what_it_drops(max in 0..20_usize, records in 0..50_u64) {
            let journal = Journal::new(max);
            for _ in 0..records {
                journal.record(event("x"));
            }
            let kept = records.min(max.max(1) as u64);
            let expected: Vec<u64> = (records - kept + 1..=records).collect();
            let seqs = |found: Vec<Arc<Event>>| found.iter().map(|event| event.seq()).collect::<Vec<_>>();
            prop_assert_eq!(seqs(journal.after(0, 100, |_| true)), expected.clone());
            prop_assert_eq!(seqs(journal.latest(100, |_| true)), expected);
            prop_assert_eq!(journal.dropped(), records - kept);
            prop_assert_eq!(journal.last(), records);
        }
    }
}
