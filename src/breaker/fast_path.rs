//! The two words that a closed circuit gets by with, instead of the lock.

use super::state::CircuitState;
use crate::util::sync::atomic::{AtomicU64, Ordering};

/// The generation, and the state that it is in.
#[derive(Debug)]
pub(super) struct PackedState(AtomicU64);

/// What the gate said at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct StateSnapshot(u64);

const STATE_BITS: u32 = 3;

impl PackedState {
    pub(super) fn new(state: CircuitState) -> Self {
        PackedState(AtomicU64::new(StateSnapshot::pack(0, state).0))
    }

    #[inline]
    pub(super) fn load(&self) -> StateSnapshot {
        StateSnapshot(self.0.load(Ordering::Acquire))
    }

    pub(super) fn store(&self, generation: u64, state: CircuitState) {
        self.0
            .store(StateSnapshot::pack(generation, state).0, Ordering::Release);
    }
}

impl StateSnapshot {
    fn pack(generation: u64, state: CircuitState) -> Self {
        StateSnapshot(generation << STATE_BITS | state as u64)
    }

    #[inline]
    pub(super) fn generation(self) -> u64 {
        self.0 >> STATE_BITS
    }

    #[inline]
    fn is_in(self, state: CircuitState) -> bool {
        self.0 & ((1 << STATE_BITS) - 1) == state as u64
    }

    pub(super) fn state(self) -> CircuitState {
        let state = CircuitState::ALL
            .into_iter()
            .find(|state| self.is_in(*state));
        state.expect("only states are shown")
    }

    /// Calls pass without the lock, and successes are counted without it.
    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.is_in(CircuitState::Closed)
    }

    /// Nothing is counted.
    #[inline]
    pub(super) fn is_disabled(self) -> bool {
        self.is_in(CircuitState::Disabled)
    }

    /// Whoever holds the lock decides whether a call passes.
    #[inline]
    pub(super) fn needs_lock(self) -> bool {
        !self.is_closed() && !self.is_disabled()
    }
}

/// Successes of one generation and bucket: the last 20 bits of generation, 28 of tick, 16 of count.
///
/// A success is added only if the word still bears its generation and bucket, by one compare-and-swap; so
/// whoever holds the lock and swaps the word gets each success once, and all in the bucket where they belong.
/// They are successes in a row: a failure empties the word first. That keeps streaks and count rings exact.
#[derive(Debug)]
pub(super) struct PendingSuccesses(AtomicU64);

/// Whether a success found its place in the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushResult {
    /// Into an empty word.
    First,
    Counted,
    /// The word holds all that it can, or that is wanted.
    Full,
    /// The word bears another generation or bucket.
    Stale,
}

impl PendingSuccesses {
    /// The most successes that a word holds.
    pub(super) const MAX: u64 = 0xffff;

    pub(super) fn new() -> Self {
        PendingSuccesses(AtomicU64::new(PendingSuccesses::tag(0, 1)))
    }

    #[inline]
    fn tag(generation: u64, tick: u64) -> u64 {
        generation << 44 | (tick & 0xfff_ffff) << 16
    }

    /// The successes that were waiting; the word is for this generation and bucket from now on.
    pub(super) fn drain(&self, generation: u64, tick: u64) -> u64 {
        let word = PendingSuccesses::tag(generation, tick);
        self.0.swap(word, Ordering::AcqRel) & PendingSuccesses::MAX
    }

    #[inline]
    pub(super) fn push(&self, generation: u64, tick: u64, most: u64) -> PushResult {
        let wanted = PendingSuccesses::tag(generation, tick);
        let mut word = self.0.load(Ordering::Relaxed);
        while word & !PendingSuccesses::MAX == wanted {
            if word & PendingSuccesses::MAX >= most {
                return PushResult::Full;
            }
            let swapped =
                self.0
                    .compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Relaxed);
            match swapped {
                Ok(_) if word & PendingSuccesses::MAX == 0 => return PushResult::First,
                Ok(_) => return PushResult::Counted,
                Err(now) => word = now,
            }
        }
        PushResult::Stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_shows_the_generation_and_the_state_that_it_was_told() {
        for state in CircuitState::ALL {
            assert_eq!(PackedState::new(state).load().state(), state);
            let gate = PackedState::new(CircuitState::Closed);
            for generation in [0, 1, 7, 8, 1 << 40] {
                gate.store(generation, state);
                let seen = gate.load();
                assert_eq!((seen.generation(), seen.state()), (generation, state));
                assert_eq!(seen.is_closed(), state == CircuitState::Closed);
                assert_eq!(seen.is_disabled(), state == CircuitState::Disabled);
                let decided = matches!(state, CircuitState::Closed | CircuitState::Disabled);
                assert_eq!(seen.needs_lock(), !decided, "{state}");
            }
        }
    }

    #[test]
    fn successes_wait_for_whoever_takes_them_and_are_taken_once() {
        let pending = PendingSuccesses::new();
        assert_eq!(
            pending.push(0, 1, 9),
            PushResult::First,
            "of the first bucket"
        );
        assert_eq!(pending.drain(3, 5), 1);
        assert_eq!(pending.push(3, 5, 9), PushResult::First);
        assert_eq!(pending.push(3, 5, 9), PushResult::Counted);
        assert_eq!(pending.push(3, 5, 9), PushResult::Counted);
        assert_eq!(pending.drain(3, 6), 3);
        assert_eq!(pending.drain(3, 7), 0);
    }

    #[test]
    fn a_success_of_another_generation_or_bucket_finds_no_place() {
        let pending = PendingSuccesses::new();
        pending.drain(3, 5);
        for (generation, tick) in [(2, 5), (4, 5), (3, 4), (3, 6), (5, 3), (0, 1)] {
            assert_eq!(pending.push(generation, tick, 9), PushResult::Stale);
        }
        assert_eq!(pending.drain(3, 5), 0);
    }

    #[test]
    fn a_word_holds_what_is_wanted_and_no_more() {
        let pending = PendingSuccesses::new();
        for most in [1, 2, PendingSuccesses::MAX] {
            pending.drain(3, 5);
            for _ in 0..most {
                assert_ne!(pending.push(3, 5, most), PushResult::Full);
            }
            assert_eq!(pending.push(3, 5, most), PushResult::Full);
            assert_eq!(pending.drain(0, 1), most);
        }
    }

    #[test]
    fn a_bucket_whose_number_has_outgrown_its_bits_is_not_taken_for_another_generation() {
        let pending = PendingSuccesses::new();
        pending.drain(0, 1 << 28);
        assert_eq!(pending.push(1, 0, 9), PushResult::Stale);
        assert_eq!(pending.push(0, 1 << 28, 9), PushResult::First);
    }
}
