//! The two words that a closed circuit gets by with, instead of the lock.

use super::state::State;
use crate::util::sync::atomic::{AtomicU64, Ordering};

/// The generation, and the state that it is in.
#[derive(Debug)]
pub(super) struct Gate(AtomicU64);

/// What the gate said at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

const STATE_BITS: u32 = 3;

impl Gate {
    pub(super) fn new(state: State) -> Self {
        Gate(AtomicU64::new(Seen::of(0, state).0))
    }

    #[inline]
    pub(super) fn see(&self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }

    pub(super) fn show(&self, generation: u64, state: State) {
        self.0
            .store(Seen::of(generation, state).0, Ordering::Release);
    }
}

impl Seen {
    fn of(generation: u64, state: State) -> Self {
        Seen(generation << STATE_BITS | state as u64)
    }

    #[inline]
    pub(super) fn generation(self) -> u64 {
        self.0 >> STATE_BITS
    }

    #[inline]
    fn is(self, state: State) -> bool {
        self.0 & ((1 << STATE_BITS) - 1) == state as u64
    }

    pub(super) fn state(self) -> State {
        let state = State::ALL.into_iter().find(|state| self.is(*state));
        state.expect("only states are shown")
    }

    /// Calls pass without the lock, and successes are counted without it.
    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.is(State::Closed)
    }

    /// Nothing is counted.
    #[inline]
    pub(super) fn is_disabled(self) -> bool {
        self.is(State::Disabled)
    }

    /// Whoever holds the lock decides whether a call passes.
    #[inline]
    pub(super) fn wants_lock(self) -> bool {
        !self.is_closed() && !self.is_disabled()
    }
}

/// Successes of one generation and bucket: the last 20 bits of generation, 28 of tick, 16 of count.
///
/// A success is added only if the word still bears its generation and bucket, by one compare-and-swap; so
/// whoever holds the lock and swaps the word gets each success once, and all in the bucket where they belong.
/// They are successes in a row: a failure empties the word first. That keeps streaks and count rings exact.
#[derive(Debug)]
pub(super) struct Pending(AtomicU64);

/// Whether a success found its place in the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Into an empty word.
    First,
    Yes,
    /// The word holds all that it can, or that is wanted.
    Full,
    /// The word bears another generation or bucket.
    Elsewhere,
}

impl Pending {
    /// The most successes that a word holds.
    pub(super) const MOST: u64 = 0xffff;

    pub(super) fn new() -> Self {
        Pending(AtomicU64::new(Pending::word(0, 1)))
    }

    #[inline]
    fn word(generation: u64, tick: u64) -> u64 {
        generation << 44 | (tick & 0xfff_ffff) << 16
    }

    /// The successes that were waiting; the word is for this generation and bucket from now on.
    pub(super) fn take(&self, generation: u64, tick: u64) -> u64 {
        let word = Pending::word(generation, tick);
        self.0.swap(word, Ordering::AcqRel) & Pending::MOST
    }

    #[inline]
    pub(super) fn add(&self, generation: u64, tick: u64, most: u64) -> Added {
        let wanted = Pending::word(generation, tick);
        let mut word = self.0.load(Ordering::Relaxed);
        while word & !Pending::MOST == wanted {
            if word & Pending::MOST >= most {
                return Added::Full;
            }
            let swapped =
                self.0
                    .compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Relaxed);
            match swapped {
                Ok(_) if word & Pending::MOST == 0 => return Added::First,
                Ok(_) => return Added::Yes,
                Err(now) => word = now,
            }
        }
        Added::Elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_shows_the_generation_and_the_state_that_it_was_told() {
        for state in State::ALL {
            assert_eq!(Gate::new(state).see().state(), state);
            let gate = Gate::new(State::Closed);
            for generation in [0, 1, 7, 8, 1 << 40] {
                gate.show(generation, state);
                let seen = gate.see();
                assert_eq!((seen.generation(), seen.state()), (generation, state));
                assert_eq!(seen.is_closed(), state == State::Closed);
                assert_eq!(seen.is_disabled(), state == State::Disabled);
                let decided = matches!(state, State::Closed | State::Disabled);
                assert_eq!(seen.wants_lock(), !decided, "{state}");
            }
        }
    }

    #[test]
    fn successes_wait_for_whoever_takes_them_and_are_taken_once() {
        let pending = Pending::new();
        assert_eq!(pending.add(0, 1, 9), Added::First, "of the first bucket");
        assert_eq!(pending.take(3, 5), 1);
        assert_eq!(pending.add(3, 5, 9), Added::First);
        assert_eq!(pending.add(3, 5, 9), Added::Yes);
        assert_eq!(pending.add(3, 5, 9), Added::Yes);
        assert_eq!(pending.take(3, 6), 3);
        assert_eq!(pending.take(3, 7), 0);
    }

    #[test]
    fn a_success_of_another_generation_or_bucket_finds_no_place() {
        let pending = Pending::new();
        pending.take(3, 5);
        for (generation, tick) in [(2, 5), (4, 5), (3, 4), (3, 6), (5, 3), (0, 1)] {
            assert_eq!(pending.add(generation, tick, 9), Added::Elsewhere);
        }
        assert_eq!(pending.take(3, 5), 0);
    }

    #[test]
    fn a_word_holds_what_is_wanted_and_no_more() {
        let pending = Pending::new();
        for most in [1, 2, Pending::MOST] {
            pending.take(3, 5);
            for _ in 0..most {
                assert_ne!(pending.add(3, 5, most), Added::Full);
            }
            assert_eq!(pending.add(3, 5, most), Added::Full);
            assert_eq!(pending.take(0, 1), most);
        }
    }

    #[test]
    fn a_bucket_whose_number_has_outgrown_its_bits_is_not_taken_for_another_generation() {
        let pending = Pending::new();
        pending.take(0, 1 << 28);
        assert_eq!(pending.add(1, 0, 9), Added::Elsewhere);
        assert_eq!(pending.add(0, 1 << 28, 9), Added::First);
    }
}
