//! The path of a success through a closed circuit, without the lock.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    bucket::Bucket,
    pending_successes::{PendingSuccesses, Push},
    permit::PermitState,
    state::CircuitState,
    window_shape::WindowShape,
};
use crate::{
    call::CallClock,
    util::sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

const STATE_BITS: u32 = 3;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;

/// The packed words that threads read and write without the lock. Only the thread that holds the lock changes the
/// generation, the state, the run and the shape.
#[derive(Debug)]
pub(super) struct FastPath {
    /// 61 bits of generation, 3 bits of state.
    state: AtomicU64,
    pending: PendingSuccesses,
    /// The state machine's run of successes, for successes that are counted without the lock.
    run_id: AtomicU32,
    start: Instant,
    /// The shape of the window. One that is out of date costs no more than the lock: it has another number than the
    /// pending words, so that the success is counted under the lock, which has the present shape.
    shape: AtomicU64,
}

impl FastPath {
    pub(super) fn new(
        state: CircuitState,
        start: Instant,
        shape: WindowShape,
        pending_bucket: Bucket,
    ) -> Self {
        FastPath {
            state: AtomicU64::new(pack_state(0, state)),
            pending: PendingSuccesses::new(0, pending_bucket),
            run_id: AtomicU32::new(0),
            start,
            shape: AtomicU64::new(shape.bits()),
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

    /// Returns the generation of a closed circuit.
    #[inline]
    pub(super) fn closed_generation(&self) -> Option<u64> {
        let word = self.state.load(Ordering::Acquire);
        (word & STATE_MASK == CircuitState::Closed as u64).then_some(word >> STATE_BITS)
    }

    /// Returns whether the circuit is closed, and of this generation: both, since a permit of a disabled circuit has the
    /// present generation, too.
    #[inline]
    pub(super) fn is_closed_in(&self, generation: u64) -> bool {
        self.state.load(Ordering::Acquire) == pack_state(generation, CircuitState::Closed)
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

    /// Publishes a new shape. Called under the lock, before the word of [`drain`](Self::drain).
    pub(super) fn store_shape(&self, shape: WindowShape) {
        self.shape.store(shape.bits(), Ordering::Relaxed);
    }

    #[inline]
    fn shape(&self) -> WindowShape {
        WindowShape::from_bits(self.shape.load(Ordering::Relaxed))
    }

    /// Returns the bucket of a call. A count window does not read the clock.
    #[inline]
    pub(super) fn bucket(&self, clock: &CallClock) -> Bucket {
        self.shape().bucket_at(|| self.since_start(clock))
    }

    #[inline]
    fn since_start(&self, clock: &CallClock) -> Duration {
        clock.now().saturating_duration_since(self.start)
    }

    /// Counts a success of a closed circuit: the only thing that most calls do. Returns where it was counted.
    ///
    /// Calls `report_state` now and then: often enough to find a new metrics recorder. Calls `count_locked` if the thread's lane is
    /// full or belongs to another generation, shape or bucket; it returns the bucket in which it has counted the success.
    #[inline]
    pub(super) fn record_success(
        &self,
        generation: u64,
        clock: &CallClock,
        report_state: impl FnOnce(),
        count_locked: impl FnOnce() -> Bucket,
    ) -> PermitState {
        // Read first. If the success then falls into a later run, it is never taken out of one that does not have it.
        let run_id = self.run_id.load(Ordering::Acquire);
        // Once: the bucket, its number and the maximum belong together.
        let shape = self.shape();
        let mut bucket = shape.bucket_at(|| self.since_start(clock));
        match self.pending.push(generation, bucket, shape.max_pending()) {
            // Somebody has held the lock since the last success of this lane.
            Push::Added { before: 0 } => report_state(),
            Push::Added { .. } => {}
            // A count window that is full of successes does not change by another. Successes alone never empty its word,
            // so from then on each of them looks.
            Push::Full if shape.is_count() => report_state(),
            Push::Full | Push::OtherTag => bucket = count_locked(),
        }
        PermitState::Success {
            shape: bucket.shape,
            slow: false,
            bucket: bucket.index as u32,
            run_id,
        }
    }

    /// Takes the pending successes, and makes what comes next that of this generation and bucket. Called under the lock.
    pub(super) fn drain(&self, generation: u64, bucket: Bucket) -> u64 {
        self.pending.drain(generation, bucket)
    }
}

#[inline]
fn pack_state(generation: u64, state: CircuitState) -> u64 {
    generation << STATE_BITS | state as u64
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::breaker::pending_successes::MAX_PENDING;

    const WIDTH: Duration = Duration::from_secs(1);

    const SHAPE: u8 = 1;
    const COUNTED_UNDER_LOCK: Bucket = Bucket {
        shape: 200,
        index: 77,
    };

    struct Harness {
        fast_path: FastPath,
        start: Instant,
    }

    fn bucket(index: u64) -> Bucket {
        let shape = SHAPE;
        Bucket { shape, index }
    }

    impl Harness {
        fn new(count_window: Option<usize>) -> Self {
            let start = Instant::now();
            let shape = match count_window {
                Some(calls) => WindowShape::of_calls(SHAPE, calls),
                None => WindowShape::of_time(SHAPE, 10 * WIDTH, 10),
            };
            let fast_path = FastPath::new(CircuitState::Closed, start, shape, bucket(1));
            Harness { fast_path, start }
        }

        /// Records a success. Returns whether it was counted without the lock, and whether the state was reported.
        fn record(&self, generation: u64, bucket: u32) -> (bool, bool) {
            let (without_lock, reported, _) = self.record_success(generation, bucket);
            (without_lock, reported)
        }

        fn record_success(&self, generation: u64, index: u32) -> (bool, bool, PermitState) {
            let clock = CallClock::at(self.start + WIDTH * (index - 1));
            let (reported, locked) = (Cell::new(false), Cell::new(false));
            let permit = self.fast_path.record_success(
                generation,
                &clock,
                || reported.set(true),
                || {
                    locked.set(true);
                    COUNTED_UNDER_LOCK
                },
            );
            (!locked.get(), reported.get(), permit)
        }
    }

    #[test]
    fn bucket_of_a_moment_before_the_start_is_the_first() {
        let Harness { fast_path, start } = Harness::new(None);
        let before = CallClock::at(start - Duration::from_nanos(1));
        assert_eq!(fast_path.bucket(&before), bucket(1));
    }

    #[test]
    fn state_is_loaded_with_its_generation() {
        let fast_path = Harness::new(None).fast_path;
        for state in CircuitState::ALL {
            for generation in [0, 1, 7, 8, 1 << 40] {
                fast_path.store(generation, state);
                assert_eq!(fast_path.load(), (generation, state));
                let closed = (state == CircuitState::Closed).then_some(generation);
                assert_eq!(fast_path.closed_generation(), closed);
                for other in [0, 1, 7, 8, 1 << 40] {
                    let is_closed = fast_path.is_closed_in(other);
                    assert_eq!(is_closed, closed == Some(other), "{state:?}");
                }
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
        assert_eq!(harness.fast_path.drain(3, bucket(5)), 1);
        assert_eq!(harness.record(3, 5), (true, true), "first");
        assert_eq!(harness.record(3, 5), (true, false));
        assert_eq!(harness.record(3, 5), (true, false));
        assert_eq!(harness.fast_path.drain(3, bucket(6)), 3);
        assert_eq!(harness.fast_path.drain(3, bucket(7)), 0);
    }

    #[test]
    fn success_of_another_generation_or_bucket_is_counted_under_the_lock() {
        let harness = Harness::new(None);
        harness.fast_path.drain(3, bucket(5));
        for (generation, bucket) in [(2, 5), (4, 5), (3, 4), (3, 6), (5, 3), (0, 1)] {
            assert_eq!(harness.record(generation, bucket), (false, false));
        }
        assert_eq!(harness.fast_path.drain(3, bucket(5)), 0);
    }

    #[test]
    fn pending_successes_are_counted_under_the_lock_when_the_word_is_full() {
        let harness = Harness::new(None);
        harness.fast_path.drain(3, bucket(5));
        for _ in 0..MAX_PENDING {
            assert!(harness.record(3, 5).0);
        }
        assert_eq!(harness.record(3, 5), (false, false));
        assert_eq!(harness.fast_path.drain(0, bucket(1)), MAX_PENDING);
    }

    #[test]
    fn pending_successes_of_a_count_window_stop_at_its_capacity() {
        for (calls, max) in [(1, 2), (2, 2), (7, 7)] {
            let harness = Harness::new(Some(calls));
            harness.fast_path.drain(3, bucket(1));
            for count in 0..max {
                assert_eq!(harness.record(3, 1), (true, count == 0));
            }
            assert_eq!(harness.record(3, 9), (true, true));
            assert_eq!(harness.fast_path.drain(0, bucket(1)), max);
        }
    }

    #[test]
    fn success_has_the_bucket_in_which_it_was_counted() {
        let harness = Harness::new(None);
        let counted_in = |(_, _, permit): (bool, bool, PermitState)| match permit {
            PermitState::Success {
                bucket,
                shape,
                slow: false,
                run_id: 5,
            } => (shape, bucket),
            other => panic!("{other:?}"),
        };
        harness.fast_path.store_run_id(5);
        harness.fast_path.drain(3, bucket(4));
        assert_eq!(counted_in(harness.record_success(3, 4)), (SHAPE, 4));
        assert_eq!(counted_in(harness.record_success(3, 5)), (200, 77));
    }

    #[test]
    fn success_is_counted_by_the_present_shape() {
        let harness = Harness::new(None);
        let fast_path = &harness.fast_path;
        let shape = WindowShape::of_time(2, 5 * WIDTH, 10);
        fast_path.store_shape(shape);
        let in_second = Bucket { shape: 2, index: 3 };
        let clock = CallClock::at(harness.start + WIDTH);
        assert_eq!(fast_path.bucket(&clock), in_second);
        assert_eq!(
            harness.record(0, 2),
            (false, false),
            "the word is of the shape before"
        );
        assert_eq!(fast_path.drain(0, in_second), 0);
        assert_eq!(harness.record(0, 2), (true, true));
        fast_path.store_shape(WindowShape::of_calls(3, 2));
        fast_path.drain(0, Bucket { shape: 3, index: 1 });
        for _ in 0..4 {
            assert!(harness.record(0, 2).0);
        }
        assert_eq!(fast_path.drain(0, bucket(1)), 2);
    }
}
