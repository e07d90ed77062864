use std::time::Duration;

use super::events::CallOrigin;
use crate::{hedge::DrivenHedge, retry::DrivenCall};

/// The calls that have not ended, with the permits of their attempts.
#[derive(Debug)]
pub(super) struct SimulatedCalls<P> {
    calls: Vec<Option<SimulatedCall<P>>>,
    free: Vec<u32>,
    rounds: u64,
}

/// A call that has not ended.
#[derive(Debug)]
pub(super) struct SimulatedCall<P> {
    pub(super) client: usize,
    pub(super) source: CallOrigin,
    pub(super) began: Duration,
    round: u64,
    /// The attempts in flight: one, or several beside each other where the client hedges; none while the call waits for a retry.
    pub(super) attempts: Vec<SimulatedAttempt<P>>,
    /// Absent where the client does not retry.
    pub(super) retry: Option<DrivenCall>,
    /// Absent where the client does not hedge.
    pub(super) hedge: Option<DrivenHedge>,
}

/// An attempt in flight.
#[derive(Debug)]
pub(super) struct SimulatedAttempt<P> {
    /// The number within the round: 1 for the first, more for its hedges.
    pub(super) number: u32,
    pub(super) began: Duration,
    /// Absent where no guard holds one.
    pub(super) permit: Option<P>,
}

/// The key of a round of a call: of the first attempt or of a retry, with its hedges. It finds nothing any more once that
/// round has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoundKey {
    index: u32,
    round: u64,
}

/// The key of an attempt, which finds nothing any more once that attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptKey {
    pub(super) call: RoundKey,
    pub(super) number: u32,
}

impl<P> SimulatedCall<P> {
    pub(super) fn new(client: usize, source: CallOrigin, now: Duration) -> Self {
        SimulatedCall {
            client,
            source,
            began: now,
            round: 0,
            attempts: Vec::new(),
            retry: None,
            hedge: None,
        }
    }

    fn position(&self, number: u32) -> Option<usize> {
        let mut attempts = self.attempts.iter();
        attempts.position(|attempt| attempt.number == number)
    }
}

impl<P> SimulatedCalls<P> {
    pub(super) fn new() -> Self {
        SimulatedCalls {
            calls: Vec::new(),
            free: Vec::new(),
            rounds: 0,
        }
    }

    /// Inserts a call, and returns the key of its first round.
    pub(super) fn insert(&mut self, call: SimulatedCall<P>) -> RoundKey {
        let index = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            (self.calls.len() - 1) as u32
        });
        self.calls[index as usize] = Some(call);
        self.renew(index)
    }

    /// Returns the call of a round, unless that has ended.
    pub(super) fn get_mut(&mut self, key: RoundKey) -> Option<&mut SimulatedCall<P>> {
        let call = self.calls[key.index as usize].as_mut()?;
        (call.round == key.round).then_some(call)
    }

    /// Returns whether a round has not ended.
    pub(super) fn has(&self, key: RoundKey) -> bool {
        self.get(key).is_some()
    }

    /// Returns whether an attempt has not ended.
    pub(super) fn has_attempt(&self, key: AttemptKey) -> bool {
        let call = self.get(key.call);
        call.is_some_and(|call| call.position(key.number).is_some())
    }

    /// Removes an attempt from its call, unless it has ended.
    pub(super) fn remove_attempt(&mut self, key: AttemptKey) -> Option<SimulatedAttempt<P>> {
        let call = self.get_mut(key.call)?;
        let position = call.position(key.number)?;
        Some(call.attempts.remove(position))
    }

    /// Ends a round, and returns the key of the next one.
    pub(super) fn next_round(&mut self, key: RoundKey) -> RoundKey {
        self.renew(key.index)
    }

    /// Removes the call of a round, unless that has ended.
    pub(super) fn remove(&mut self, key: RoundKey) -> Option<SimulatedCall<P>> {
        self.get_mut(key)?;
        self.free.push(key.index);
        self.calls[key.index as usize].take()
    }

    fn get(&self, key: RoundKey) -> Option<&SimulatedCall<P>> {
        let call = self.calls[key.index as usize].as_ref()?;
        (call.round == key.round).then_some(call)
    }

    fn renew(&mut self, index: u32) -> RoundKey {
        self.rounds += 1;
        let round = self.rounds;
        if let Some(call) = &mut self.calls[index as usize] {
            call.round = round;
        }
        RoundKey { index, round }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(client: usize) -> SimulatedCall<()> {
        let source = CallOrigin {
            generation: 0,
            user: None,
        };
        SimulatedCall::new(client, source, Duration::ZERO)
    }

    fn attempt(number: u32) -> SimulatedAttempt<()> {
        SimulatedAttempt {
            number,
            began: Duration::ZERO,
            permit: None,
        }
    }

    #[test]
    fn key_of_an_ended_round_finds_nothing() {
        let mut table = SimulatedCalls::new();
        let first = table.insert(call(1));
        let second = table.next_round(first);
        assert!(table.get_mut(first).is_none() && table.remove(first).is_none());
        assert!(!table.has(first) && table.has(second));
        assert_eq!(table.remove(second).map(|call| call.client), Some(1));
        let reused = table.insert(call(2));
        assert_eq!(reused.index, first.index, "its position is free");
        assert!(table.get_mut(second).is_none());
        assert_eq!(table.get_mut(reused).map(|call| call.client), Some(2));
    }

    #[test]
    fn key_of_an_ended_attempt_finds_nothing() {
        let mut table = SimulatedCalls::new();
        let call = table.insert(call(1));
        let keys = [1, 2].map(|number| AttemptKey { call, number });
        let in_table = table.get_mut(call).expect("it has not ended");
        in_table.attempts.extend([attempt(1), attempt(2)]);
        let removed = table.remove_attempt(keys[0]);
        assert_eq!(removed.map(|attempt| attempt.number), Some(1));
        assert_eq!(keys.map(|key| table.has_attempt(key)), [false, true]);
        assert!(table.remove_attempt(keys[0]).is_none());
        table.next_round(call);
        assert!(
            !table.has_attempt(keys[1]),
            "nor has that of an ended round"
        );
    }
}
