//! The queue of calls that wait for a slot: who is next, and what has become of each.

use std::task::Waker;

use tokio::time::Instant;

use super::{
    QueueOrder,
    priority_order::{PriorityOrder, QueuePlace},
};

/// Stands for no entry in a link.
const NONE: u32 = u32::MAX;
/// A queue that was longer than this gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 64;

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The call has been given a slot.
    Granted,
    /// The time of the call was over when its turn came.
    Expired,
    /// A later call has taken its place in the queue.
    Displaced,
}

/// The entry of a call in the queue, until it is taken out. There is one ticket for each, so that none is out of date.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket(u32);

/// The calls that wait, linked in the order in which they came. One that leaves from anywhere leaves no hole, and costs the
/// same however many there are.
///
/// Decides only: no clock, lock or wake. Wakers that are to be woken are handed out.
#[derive(Debug)]
pub(super) struct WaitQueue {
    entries: Vec<EntryState>,
    free: u32,
    first: u32,
    last: u32,
    /// The number that waits, and of these the number that the queue's limit bounds.
    waiting: u32,
    bounded: u32,
    /// The number of entries in use, those that are settled and not taken out included.
    in_use: u32,
    /// The number of calls that have joined.
    joined: u64,
    /// The calls that wait, by their priority; `None` in another order.
    by_priority: Option<PriorityOrder>,
}

#[derive(Debug)]
enum EntryState {
    Free { next: u32 },
    Waiting(WaitingEntry),
    Settled(Settled),
}

#[derive(Debug)]
struct WaitingEntry {
    before: u32,
    after: u32,
    until: Option<Instant>,
    is_bounded: bool,
    place: QueuePlace,
    /// `None` before its first poll.
    waker: Option<Waker>,
}

/// The entry that [`WaitQueue::remove`] has taken out.
#[derive(Debug)]
pub(super) enum Removed {
    Settled(Settled),
    /// The call still waited. The waker is to be dropped without the lock.
    Waiting(Option<Waker>),
}

impl WaitQueue {
    pub(super) fn new() -> Self {
        WaitQueue {
            entries: Vec::new(),
            free: NONE,
            first: NONE,
            last: NONE,
            waiting: 0,
            bounded: 0,
            in_use: 0,
            joined: 0,
            by_priority: None,
        }
    }

    /// Prepares for an order. Those that wait stay.
    pub(super) fn set_order(&mut self, order: QueueOrder) {
        if order != QueueOrder::Priority {
            self.by_priority = None;
        } else if self.by_priority.is_none() {
            let (mut all, mut index) = (PriorityOrder::default(), self.first);
            while let Some(entry) = self.waiting_entry(index) {
                all.insert(entry.place, index);
                index = entry.after;
            }
            self.by_priority = Some(all);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Returns how many wait.
    pub(super) fn len(&self) -> u32 {
        self.waiting
    }

    /// Returns how many wait that the queue's limit bounds.
    pub(super) fn bounded_len(&self) -> u32 {
        self.bounded
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Adds a call that waits until then, and whose priority stands there among those of others. Handles that wait for readiness
    /// are not bounded.
    pub(super) fn push(
        &mut self,
        until: Option<Instant>,
        is_bounded: bool,
        quantile: Option<f32>,
    ) -> Ticket {
        let before = self.last;
        let place = QueuePlace::new(quantile, self.joined);
        self.joined += 1;
        let index = self.insert(EntryState::Waiting(WaitingEntry {
            before,
            after: NONE,
            until,
            is_bounded,
            place,
            waker: None,
        }));
        if let Some(by_priority) = &mut self.by_priority {
            by_priority.insert(place, index);
        }
        match self.waiting_entry_mut(before) {
            Some(entry) => entry.after = index,
            None => self.first = index,
        }
        self.last = index;
        self.waiting += 1;
        self.bounded += u32::from(is_bounded);
        Ticket(index)
    }

    fn insert(&mut self, entry: EntryState) -> u32 {
        self.in_use += 1;
        let index = self.free;
        if index == NONE {
            self.entries.push(entry);
            return self.entries.len() as u32 - 1;
        }
        let freed = std::mem::replace(&mut self.entries[index as usize], entry);
        if let EntryState::Free { next } = freed {
            self.free = next;
        }
        index
    }

    /// Gives the slot to the call whose turn it is, if one waits whose time is not over. Whoever is to be woken is added.
    pub(super) fn grant_next(
        &mut self,
        order: QueueOrder,
        now: Instant,
        wake: &mut Vec<Waker>,
    ) -> bool {
        loop {
            let index = match order {
                QueueOrder::Fifo => self.first,
                QueueOrder::Lifo => self.last,
                QueueOrder::Priority => self.highest(),
            };
            let Some(entry) = self.waiting_entry(index) else {
                return false;
            };
            let is_expired = entry.until.is_some_and(|until| until <= now);
            let settled = match is_expired {
                true => Settled::Expired,
                false => Settled::Granted,
            };
            wake.extend(self.settle(index, settled));
            if !is_expired {
                return true;
            }
        }
    }

    /// Takes the place of the bounded call that has waited longest, if there is one.
    pub(super) fn displace_oldest(&mut self, wake: &mut Vec<Waker>) -> bool {
        let mut index = self.first;
        while let Some(entry) = self.waiting_entry(index) {
            if entry.is_bounded {
                wake.extend(self.settle(index, Settled::Displaced));
                return true;
            }
            index = entry.after;
        }
        false
    }

    /// Takes the place of the bounded call of the lowest priority, if that is lower than this one.
    pub(super) fn displace_lowest(&mut self, quantile: Option<f32>, wake: &mut Vec<Waker>) -> bool {
        let lowest = self.lowest_bounded();
        let Some((_, index)) = lowest.filter(|(place, _)| place.is_below(quantile)) else {
            return false;
        };
        wake.extend(self.settle(index, Settled::Displaced));
        true
    }

    fn lowest_bounded(&self) -> Option<(QueuePlace, u32)> {
        let mut all = self.by_priority.as_ref()?.lowest_first();
        all.find(|(_, index)| {
            let entry = self.waiting_entry(*index);
            entry.is_some_and(|entry| entry.is_bounded)
        })
    }

    fn highest(&self) -> u32 {
        let by_priority = self.by_priority.as_ref();
        by_priority.and_then(PriorityOrder::highest).unwrap_or(NONE)
    }

    /// Returns what has become of a call, which is taken out then; `None` while it waits.
    pub(super) fn take_settled(&mut self, ticket: &Ticket) -> Option<Settled> {
        let EntryState::Settled(settled) = *self.entries.get(ticket.0 as usize)? else {
            return None;
        };
        self.release(ticket.0);
        Some(settled)
    }

    /// Takes a call out, whatever has become of it.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> Removed {
        if let Some(settled) = self.take_settled(ticket) {
            return Removed::Settled(settled);
        }
        let waker = self.unlink(ticket.0);
        self.release(ticket.0);
        Removed::Waiting(waker)
    }

    /// Returns whether this waker would wake the call already.
    pub(super) fn will_wake(&self, ticket: &Ticket, waker: &Waker) -> bool {
        let entry = self.waiting_entry(ticket.0);
        let known = entry.and_then(|entry| entry.waker.as_ref());
        known.is_some_and(|known| known.will_wake(waker))
    }

    /// Sets the waker of a call that waits, and returns the one that is to be dropped without the lock.
    pub(super) fn set_waker(&mut self, ticket: &Ticket, waker: Waker) -> Option<Waker> {
        match self.waiting_entry_mut(ticket.0) {
            Some(entry) => entry.waker.replace(waker),
            None => Some(waker),
        }
    }

    /// Settles a call that waits, and returns whom to wake.
    fn settle(&mut self, index: u32, settled: Settled) -> Option<Waker> {
        let waker = self.unlink(index);
        self.entries[index as usize] = EntryState::Settled(settled);
        waker
    }

    /// Takes a call that waits out of the order, and returns its waker.
    fn unlink(&mut self, index: u32) -> Option<Waker> {
        let entry = self.waiting_entry_mut(index)?;
        let (before, after, is_bounded) = (entry.before, entry.after, entry.is_bounded);
        let (place, waker) = (entry.place, entry.waker.take());
        if let Some(by_priority) = &mut self.by_priority {
            by_priority.remove(place, index);
        }
        match self.waiting_entry_mut(before) {
            Some(entry) => entry.after = after,
            None => self.first = after,
        }
        match self.waiting_entry_mut(after) {
            Some(entry) => entry.before = before,
            None => self.last = before,
        }
        self.waiting -= 1;
        self.bounded -= u32::from(is_bounded);
        waker
    }

    /// Frees an entry that is in no order.
    fn release(&mut self, index: u32) {
        let next = self.free;
        self.entries[index as usize] = EntryState::Free { next };
        self.free = index;
        self.in_use -= 1;
        if self.in_use == 0 && self.entries.len() > KEPT_CAPACITY {
            self.entries = Vec::new();
            self.free = NONE;
        }
    }

    fn waiting_entry(&self, index: u32) -> Option<&WaitingEntry> {
        match self.entries.get(index as usize)? {
            EntryState::Waiting(entry) => Some(entry),
            EntryState::Free { .. } | EntryState::Settled(_) => None,
        }
    }

    fn waiting_entry_mut(&mut self, index: u32) -> Option<&mut WaitingEntry> {
        match self.entries.get_mut(index as usize)? {
            EntryState::Waiting(entry) => Some(entry),
            EntryState::Free { .. } | EntryState::Settled(_) => None,
        }
    }
}
