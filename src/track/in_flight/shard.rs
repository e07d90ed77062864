use tokio::time::Instant;

use super::{CallKind, InFlightEntry};

/// A part of the table: calls in slots.
#[derive(Debug)]
pub(super) struct Shard {
    /// With the number of the call in this shard.
    slots: Vec<Option<(u64, InFlightEntry)>>,
    /// The indices of slots that are empty; the last one is filled next, so that few are used.
    free: Vec<u32>,
    max: usize,
    /// The number of calls that have ever been here.
    calls: u64,
}

impl Shard {
    pub(super) fn new(max: usize) -> Self {
        Shard {
            slots: Vec::new(),
            free: Vec::new(),
            max,
            calls: 0,
        }
    }

    /// Puts a call into a slot, and returns the index of that; the call if all slots are taken.
    #[inline]
    pub(super) fn insert(&mut self, entry: InFlightEntry) -> Result<u32, InFlightEntry> {
        self.calls += 1;
        let call = Some((self.calls, entry));
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            *slot = call;
            return Ok(index);
        }
        self.grow(call)
    }

    #[cold]
    fn grow(&mut self, call: Option<(u64, InFlightEntry)>) -> Result<u32, InFlightEntry> {
        match call {
            Some((_, entry)) if self.slots.len() == self.max => Err(entry),
            call => {
                self.slots.push(call);
                Ok((self.slots.len() - 1) as u32)
            }
        }
    }

    /// Takes a call out of its slot.
    #[inline]
    pub(super) fn remove(&mut self, index: u32) -> Option<(u64, InFlightEntry)> {
        let call = self.slots.get_mut(index as usize)?.take();
        if call.is_some() {
            self.free.push(index);
        }
        call
    }

    /// Returns the number of calls.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns the start of the oldest call of a kind in so many slots from an index on, and whether there are further slots.
    pub(super) fn oldest(
        &self,
        from: usize,
        count: usize,
        kind: CallKind,
    ) -> (Option<Instant>, bool) {
        let slots = self.slots.iter().skip(from).take(count).flatten();
        let calls = slots.filter(|(_, call)| call.subject.kind() == kind);
        let oldest = calls.map(|(_, call)| call.started_at).min();
        (oldest, from + count < self.slots.len())
    }

    /// Adds the calls of so many slots from an index on. Returns whether there are further slots.
    pub(super) fn copy(
        &self,
        from: usize,
        count: usize,
        calls: &mut Vec<(u64, InFlightEntry)>,
    ) -> bool {
        let slots = self.slots.iter().skip(from).take(count);
        calls.extend(slots.flatten().cloned());
        from + count < self.slots.len()
    }
}
