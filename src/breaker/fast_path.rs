//! The path of a success through a closed circuit, without the lock.

use super::{
    bucket_clock::BucketClock, config::BreakerConfig, permit::PermitState, state::CircuitState,
};
use crate::{
    call::CallClock,
    util::sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

const STATE_BITS: u32 = 3;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;
const COUNT_BITS: u32 = 16;
const BUCKET_BITS: u32 = 28;
/// The maximum number of pending successes, and the mask of their count.
const MAX_PENDING: u64 = (1 << COUNT_BITS) - 1;

/// The packed words that threads read and write without the lock. Only the thread that holds the lock changes the
/// generation, the state and the run.
#[derive(Debug)]
pub(super) struct FastPath {
    /// 61 bits of generation, 3 bits of state.
    state: AtomicU64,
    /// Successes since the lock was last held, all of one generation and bucket: the last 20 bits of the generation, 28 of
    /// the bucket, 16 of count.
    ///
    /// A success is added only to a word of its own generation and bucket, by one compare-and-swap. So the thread that
    /// holds the lock and swaps the word gets each success once, and in its bucket. They are successes in a row, because
    /// a failure takes the lock and empties the word first. That keeps the failure streak and count windows exact.
    pending: AtomicU64,
    /// The state machine's run of successes, for successes that are counted without the lock.
    run_id: AtomicU32,
    bucket_clock: BucketClock,
    /// The number of pending successes from which another one changes nothing in a count window.
    count_window: Option<u64>,
}

impl FastPath {
    pub(super) fn new(
        state: CircuitState,
        config: &BreakerConfig,
        bucket_clock: BucketClock,
    ) -> Self {
        FastPath {
            state: AtomicU64::new(pack_state(0, state)),
            // Buckets are counted from 1; `Locked` begins with the same.
            pending: AtomicU64::new(pending_tag(0, 1)),
            run_id: AtomicU32::new(0),
            bucket_clock,
            // A window full of successes does not change by another. Two tell that there is another success besides one
            // that becomes a failure.
            count_window: config.count_window.map(|calls| (calls as u64).max(2)),
        }
    }

    /// Returns the generation and the state.
    #[inline]
    pub(super) fn load(&self) -> (u64, CircuitState) {
        let word = self.state.load(Ordering::Acquire);
        // The discriminants of `CircuitState`, which `pack_state` writes.
        let state = match word & STATE_MASK {
            0 => CircuitState::Closed,
            1 => CircuitState::Open,
            2 => CircuitState::HalfOpen,
            3 => CircuitState::ForcedOpen,
            _ => CircuitState::Disabled,
        };
        (word >> STATE_BITS, state)
    }

    #[inline]
    pub(super) fn state(&self) -> CircuitState {
        self.load().1
    }

    /// Publishes a new state. Called under the lock.
    pub(super) fn store(&self, generation: u64, state: CircuitState) {
        self.state
            .store(pack_state(generation, state), Ordering::Release);
    }

    /// Publishes the present run of successes. Called under the lock.
    pub(super) fn store_run_id(&self, run_id: u32) {
        self.run_id.store(run_id, Ordering::Release);
    }

    #[inline]
    pub(super) fn bucket(&self, clock: &CallClock) -> u64 {
        match self.count_window {
            Some(_) => 1,
            None => self.bucket_clock.bucket_at(clock.now()),
        }
    }

    /// Counts a success of a closed circuit: the only thing that most calls do. Returns where it was counted.
    ///
    /// Calls `report_state` now and then: often enough to find a new metrics recorder. Calls `count_locked` with the
    /// bucket if the word is full or belongs to another generation or bucket.
    #[inline]
    pub(super) fn record_success(
        &self,
        generation: u64,
        clock: &CallClock,
        report_state: impl FnOnce(),
        count_locked: impl FnOnce(u64),
    ) -> PermitState {
        // Read first. If the success then falls into a later run, it is never taken out of one that does not have it.
        let run_id = self.run_id.load(Ordering::Acquire);
        let bucket = self.bucket(clock);
        match self.push(pending_tag(generation, bucket)) {
            None => count_locked(bucket),
            // Somebody has held the lock since the last success.
            Some(0) => report_state(),
            // Successes alone never empty the word of a count window, so from then on each of them looks.
            Some(count) if Some(count) == self.count_window => report_state(),
            Some(_) => {}
        }
        PermitState::Success {
            bucket: bucket as u32,
            run_id,
            slow: false,
        }
    }

    /// Adds a success to the word. Returns how many it held before, or `None` if it is full or has another tag.
    #[inline]
    fn push(&self, tag: u64) -> Option<u64> {
        let max = self.count_window.unwrap_or(MAX_PENDING);
        // Relaxed, since a stale word costs no more than another turn: the exchange compares it.
        let mut word = self.pending.load(Ordering::Relaxed);
        loop {
            let count = word & MAX_PENDING;
            if word != tag | count {
                return None;
            }
            if count >= max {
                // A count window that is full of successes does not change by another.
                return self.count_window;
            }
            match self.pending.compare_exchange_weak(
                word,
                word + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(count),
                Err(present) => word = present,
            }
        }
    }

    /// Takes the pending successes, and makes the word one for this generation and bucket. Called under the lock.
    pub(super) fn drain(&self, generation: u64, bucket: u64) -> u64 {
        let tag = pending_tag(generation, bucket);
        self.pending.swap(tag, Ordering::AcqRel) & MAX_PENDING
    }
}

fn pack_state(generation: u64, state: CircuitState) -> u64 {
    generation << STATE_BITS | state as u64
}

#[inline]
fn pending_tag(generation: u64, bucket: u64) -> u64 {
    let bucket = bucket & ((1 << BUCKET_BITS) - 1);
    generation << (BUCKET_BITS + COUNT_BITS) | bucket << COUNT_BITS
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use tokio::time::Instant;

    use super::*;
    use crate::CircuitBreaker;

    const WIDTH: Duration = Duration::from_secs(1);

    struct Harness {
        fast_path: FastPath,
        start: Instant,
    }

    impl Harness {
        fn new(count_window: Option<usize>) -> Self {
            let start = Instant::now();
            let builder = CircuitBreaker::builder("fast path").time_window(10 * WIDTH, 10);
            let builder = match count_window {
                Some(calls) => builder.count_window(calls),
                None => builder,
            };
            let config = builder.validated().expect("valid settings").config;
            let bucket_clock = config.bucket_clock(start);
            let fast_path = FastPath::new(CircuitState::Closed, &config, bucket_clock);
            Harness { fast_path, start }
        }

        /// Records a success. Returns whether it was counted without the lock, and whether the state was reported.
        fn record(&self, generation: u64, bucket: u32) -> (bool, bool) {
            let clock = CallClock::at(self.start + WIDTH * (bucket - 1));
            let (reported, locked) = (Cell::new(false), Cell::new(false));
            self.fast_path.record_success(
                generation,
                &clock,
                || reported.set(true),
                |_| locked.set(true),
            );
            (!locked.get(), reported.get())
        }
    }

    #[test]
    fn state_is_loaded_with_its_generation() {
        let fast_path = Harness::new(None).fast_path;
        for state in CircuitState::ALL {
            for generation in [0, 1, 7, 8, 1 << 40] {
                fast_path.store(generation, state);
                assert_eq!(fast_path.load(), (generation, state));
            }
        }
    }

    #[test]
    fn pending_successes_are_drained_once() {
        let harness = Harness::new(None);
        assert_eq!(
            harness.record(0, 1),
            (true, true),
            "first of the first bucket"
        );
        assert_eq!(harness.fast_path.drain(3, 5), 1);
        assert_eq!(harness.record(3, 5), (true, true), "first");
        assert_eq!(harness.record(3, 5), (true, false));
        assert_eq!(harness.record(3, 5), (true, false));
        assert_eq!(harness.fast_path.drain(3, 6), 3);
        assert_eq!(harness.fast_path.drain(3, 7), 0);
    }

    #[test]
    fn success_of_another_generation_or_bucket_is_counted_under_the_lock() {
        let harness = Harness::new(None);
        harness.fast_path.drain(3, 5);
        for (generation, bucket) in [(2, 5), (4, 5), (3, 4), (3, 6), (5, 3), (0, 1)] {
            assert_eq!(harness.record(generation, bucket), (false, false));
        }
        assert_eq!(harness.fast_path.drain(3, 5), 0);
    }

    #[test]
    fn pending_successes_are_counted_under_the_lock_when_the_word_is_full() {
        let harness = Harness::new(None);
        harness.fast_path.drain(3, 5);
        for _ in 0..MAX_PENDING {
            assert!(harness.record(3, 5).0);
        }
        assert_eq!(harness.record(3, 5), (false, false));
        assert_eq!(harness.fast_path.drain(0, 1), MAX_PENDING);
    }

    #[test]
    fn pending_successes_of_a_count_window_stop_at_its_capacity() {
        for (calls, max) in [(1, 2), (2, 2), (7, 7)] {
            let harness = Harness::new(Some(calls));
            harness.fast_path.drain(3, 1);
            for count in 0..max {
                assert_eq!(harness.record(3, 1), (true, count == 0));
            }
            assert_eq!(harness.record(3, 9), (true, true));
            assert_eq!(harness.fast_path.drain(0, 1), max);
        }
    }

    #[test]
    fn bucket_that_outgrows_its_bits_does_not_change_the_generation() {
        assert_eq!(pending_tag(0, 1 << BUCKET_BITS), pending_tag(0, 0));
        assert_ne!(pending_tag(1, 0), pending_tag(0, 1 << BUCKET_BITS));
    }
}
