use std::time::Duration;

use super::events::Source;
use crate::retry::DrivenCall;

/// The calls that have not ended, with the permits of their attempts.
#[derive(Debug)]
pub(super) struct CallTable<P> {
    calls: Vec<Option<SimulatedCall<P>>>,
    free: Vec<u32>,
    attempts: u64,
}

/// A call that has not ended.
#[derive(Debug)]
pub(super) struct SimulatedCall<P> {
    pub(super) client: usize,
    pub(super) source: Source,
    pub(super) began: Duration,
    pub(super) attempt_began: Duration,
    /// The attempt that is in flight, or waited for.
    attempt: u64,
    /// Absent while there is a wait, and where no guard holds one.
    pub(super) permit: Option<P>,
    /// Absent where the client does not retry.
    pub(super) retry: Option<DrivenCall>,
}

/// The key of an attempt, which finds nothing any more once that attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptKey {
    index: u32,
    attempt: u64,
}

impl<P> SimulatedCall<P> {
    pub(super) fn new(client: usize, source: Source, now: Duration) -> Self {
        SimulatedCall {
            client,
            source,
            began: now,
            attempt_began: now,
            attempt: 0,
            permit: None,
            retry: None,
        }
    }
}

impl<P> CallTable<P> {
    pub(super) fn new() -> Self {
        CallTable {
            calls: Vec::new(),
            free: Vec::new(),
            attempts: 0,
        }
    }

    /// Inserts a call, and returns the key of its first attempt.
    pub(super) fn insert(&mut self, call: SimulatedCall<P>) -> AttemptKey {
        let index = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            (self.calls.len() - 1) as u32
        });
        self.calls[index as usize] = Some(call);
        self.renew(index)
    }

    /// Returns the call of an attempt, unless that has ended.
    pub(super) fn get_mut(&mut self, key: AttemptKey) -> Option<&mut SimulatedCall<P>> {
        let call = self.calls[key.index as usize].as_mut()?;
        (call.attempt == key.attempt).then_some(call)
    }

    /// Returns whether an attempt has not ended.
    pub(super) fn has(&self, key: AttemptKey) -> bool {
        let call = self.calls[key.index as usize].as_ref();
        call.is_some_and(|call| call.attempt == key.attempt)
    }

    /// Ends an attempt, and returns the key of the next one.
    pub(super) fn next_attempt(&mut self, key: AttemptKey) -> AttemptKey {
        self.renew(key.index)
    }

    /// Removes the call of an attempt, unless that has ended.
    pub(super) fn remove(&mut self, key: AttemptKey) -> Option<SimulatedCall<P>> {
        self.get_mut(key)?;
        self.free.push(key.index);
        self.calls[key.index as usize].take()
    }

    fn renew(&mut self, index: u32) -> AttemptKey {
        self.attempts += 1;
        let attempt = self.attempts;
        if let Some(call) = &mut self.calls[index as usize] {
            call.attempt = attempt;
        }
        AttemptKey { index, attempt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(client: usize) -> SimulatedCall<()> {
        let source = Source {
            generation: 0,
            user: None,
        };
        SimulatedCall::new(client, source, Duration::ZERO)
    }

    #[test]
    fn key_of_an_ended_attempt_finds_nothing() {
        let mut table = CallTable::new();
        let first = table.insert(call(1));
        let second = table.next_attempt(first);
        assert!(table.get_mut(first).is_none() && table.remove(first).is_none());
        assert_eq!(table.remove(second).map(|call| call.client), Some(1));
        let reused = table.insert(call(2));
        assert_eq!(reused.index, first.index, "its position is free");
        assert!(table.get_mut(second).is_none());
        assert_eq!(table.get_mut(reused).map(|call| call.client), Some(2));
    }
}
