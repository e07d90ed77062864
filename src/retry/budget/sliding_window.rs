use std::{sync::PoisonError, time::Duration};

use tokio::time::Instant;

use super::window::WindowBudget;
use crate::util::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

/// The window slides by a tenth of its length.
const SLICE_COUNT: usize = 10;
/// Units of the window's balance that a retry takes: ratios are exact to a millionth.
const UNITS_PER_RETRY: u128 = 1_000_000;

/// Calls and retries of the last seconds. Slices are numbered from `origin`, and stored in a ring.
///
/// Counts calls without a lock, since every call does, and retries under one, since they must not overdraw.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    origin: Instant,
    slice_length: Duration,
    units_per_call: u128,
    /// Allowed whatever the number of calls.
    min_units: u128,
    /// The number of each slice and its calls: see [`pack`].
    calls: [AtomicU64; SLICE_COUNT],
    retries: Mutex<RetrySlices>,
}

#[derive(Debug, Default)]
struct RetrySlices {
    /// Time never goes backwards here: a slice that expired for one thread stays expired for all.
    latest: u32,
    /// The number of each slice and its retries.
    slices: [(u32, u32); SLICE_COUNT],
}

impl SlidingWindow {
    pub(super) fn new(settings: WindowBudget, origin: Instant) -> Self {
        let unit = UNITS_PER_RETRY as f64;
        let min_units = settings.per_second * settings.window.as_secs_f64() * unit;
        SlidingWindow {
            origin,
            slice_length: settings.window / SLICE_COUNT as u32,
            // Rounded, since a ratio such as 0.29 has no exact number.
            units_per_call: (settings.ratio * unit).round() as u128,
            min_units: min_units.round() as u128,
            calls: Default::default(),
            retries: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn deposit(&self, now: Instant) {
        let slice = self.slice_at(now);
        let slot = &self.calls[slot_index(slice)];
        // Relaxed: number and count share one word, and nothing else is published with it.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let (stored, count) = unpack(word);
            match stored.cmp(&slice) {
                std::cmp::Ordering::Less => Some(pack(slice, 1)),
                std::cmp::Ordering::Equal => Some(pack(slice, count.saturating_add(1))),
                // A later slice took the slot: this call is more than a window old, and would not count.
                std::cmp::Ordering::Greater => None,
            }
        });
    }

    /// Takes back the deposit of a call that did not reach the peer, unless it was made in an earlier slice.
    #[cold]
    pub(super) fn retract(&self, now: Instant) {
        let slice = self.slice_at(now);
        let slot = &self.calls[slot_index(slice)];
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let (stored, count) = unpack(word);
            (stored == slice && count > 0).then(|| pack(slice, count - 1))
        });
    }

    /// Takes a retry; returns the number of its slice, for `refund`.
    pub(super) fn reserve(&self, now: Instant) -> Option<u32> {
        // Check and take under one lock, or two threads could take the last retry.
        let mut retries = self.lock();
        let slice = retries.advance(self.slice_at(now));
        if self.balance(&retries) < UNITS_PER_RETRY {
            return None;
        }
        let slot = &mut retries.slices[slot_index(slice)];
        if slot.0 != slice {
            *slot = (slice, 0);
        }
        slot.1 = slot.1.checked_add(1)?;
        Some(slice)
    }

    pub(super) fn refund(&self, slice: u32) {
        let mut retries = self.lock();
        let slot = &mut retries.slices[slot_index(slice)];
        // A slice that expired counts no more, so there is nothing to refund.
        if slot.0 == slice {
            slot.1 = slot.1.saturating_sub(1);
        }
    }

    pub(super) fn available(&self, now: Instant) -> u64 {
        let mut retries = self.lock();
        retries.advance(self.slice_at(now));
        u64::try_from(self.balance(&retries) / UNITS_PER_RETRY).unwrap_or(u64::MAX)
    }

    /// Returns the units that are left. Calls only grow while they are summed up, so that it is never too much.
    fn balance(&self, retries: &RetrySlices) -> u128 {
        let is_live =
            |slice: u32| u64::from(slice) + SLICE_COUNT as u64 > u64::from(retries.latest);
        let calls = self
            .calls
            .iter()
            .map(|word| unpack(word.load(Ordering::Relaxed)));
        let sum = |slices: &mut dyn Iterator<Item = (u32, u32)>| -> u128 {
            let live = slices.filter(|&(slice, _)| is_live(slice));
            live.map(|(_, count)| u128::from(count)).sum()
        };
        // In units, so that a small ratio adds up over many calls without rounding.
        let earned = self.min_units + sum(&mut { calls }) * self.units_per_call;
        earned.saturating_sub(sum(&mut retries.slices.iter().copied()) * UNITS_PER_RETRY)
    }

    fn slice_at(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.origin);
        let slices = elapsed.as_nanos() / self.slice_length.as_nanos();
        u32::try_from(slices).unwrap_or(u32::MAX)
    }

    /// Locks the retries. Nothing panics under the lock; a poisoned one is still consistent.
    fn lock(&self) -> MutexGuard<'_, RetrySlices> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RetrySlices {
    fn advance(&mut self, slice: u32) -> u32 {
        self.latest = self.latest.max(slice);
        self.latest
    }
}

fn slot_index(slice: u32) -> usize {
    slice as usize % SLICE_COUNT
}

/// Packs the number of a slice into the upper half of a word, and its calls into the lower.
fn pack(slice: u32, count: u32) -> u64 {
    u64::from(slice) << 32 | u64::from(count)
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::{super::Budget, *};
    use crate::{
        call::{CallClock, Outcome},
        retry::Reservation,
    };
    use proptest::prelude::*;

    const SLICE: Duration = Duration::from_secs(1);

    fn window(ratio: f64, per_second: f64, origin: Instant) -> SlidingWindow {
        let settings = Budget::window().ratio(ratio).per_second(per_second);
        SlidingWindow::new(settings, origin)
    }

    #[test]
    fn ratio_is_exact_over_a_hundred_thousand_calls() {
        let origin = Instant::now();
        for ratio in [0.1, 0.29, 0.3, 0.6, 0.7, 1.5] {
            let window = window(ratio, 0.0, origin);
            let mut allowed = 0;
            for _ in 0..100_000 {
                window.deposit(origin);
                while window.reserve(origin).is_some() {
                    allowed += 1;
                }
            }
            assert_eq!(allowed, (ratio * 100_000.0).round() as u32, "{ratio}");
        }
    }

    #[test]
    fn retracted_call_earns_nothing() {
        let origin = Instant::now();
        let window = window(1.0, 0.0, origin);
        (0..3).for_each(|_| window.deposit(origin));
        window.retract(origin);
        assert_eq!(window.available(origin), 2);
        window.retract(origin + SLICE);
        assert_eq!(window.available(origin + SLICE), 2, "not of this slice");
        (0..9).for_each(|_| window.retract(origin));
        assert_eq!(window.available(origin), 0);
    }

    #[test]
    fn calls_stop_counting_when_the_window_has_passed() {
        let origin = Instant::now();
        let window = window(1.0, 0.0, origin);
        window.deposit(origin);
        assert_eq!(window.available(origin + 9 * SLICE), 1);
        assert_eq!(window.available(origin + 10 * SLICE), 0);
        // An older clock reading does not bring them back.
        assert_eq!(window.available(origin), 0);
    }

    #[test]
    fn per_second_allows_retries_of_few_calls() {
        let origin = Instant::now();
        let window = window(0.2, 0.3, origin);
        assert_eq!(window.available(origin), 3);
        assert!((0..3).all(|_| window.reserve(origin).is_some()));
        assert_eq!(window.reserve(origin), None);
        assert_eq!(window.available(origin + 10 * SLICE), 3);
    }

    #[test]
    fn window_is_drained_by_calls_that_fail_once() {
        let budget = Budget::window().ratio(0.2).per_second(0.0).build().unwrap();
        let now = CallClock::at(Instant::now());
        let mut retried = 0;
        for _ in 0..100 {
            budget.deposit(&now);
            budget.complete(Outcome::Failure);
            if let Some(reservation) = budget.reserve(Outcome::Failure, &now) {
                reservation.spend().complete(Outcome::Success);
                retried += 1;
            }
        }
        assert_eq!(retried, 20);
    }

    #[test]
    fn concurrent_reservations_never_overdraw() {
        let budget = Budget::window().ratio(0.3).per_second(0.0).build().unwrap();
        let now = Instant::now();
        let work = || {
            let now = CallClock::at(now);
            let mut kept: Vec<Reservation> = Vec::new();
            for n in 0..5_000 {
                budget.deposit(&now);
                let reservation = budget.reserve(Outcome::Failure, &now);
                if n % 3 == 0 {
                    drop(reservation); // cancelled
                } else {
                    kept.extend(reservation);
                }
            }
            kept
        };
        let kept: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.flat_map(|kept| kept.expect("kept")).collect()
        });
        // None was lost or created: 20,000 calls allow 6,000.
        let available = || {
            budget
                .available(&CallClock::at(now))
                .expect("windows count retries")
        };
        assert_eq!(kept.len() as u64 + available(), 6_000);
        drop(kept);
        assert_eq!(available(), 6_000);
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Call,
        Reserve,
        Spend(usize),
        Cancel(usize),
        Wait(u64),
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Call),
            4 => Just(Event::Reserve),
            1 => any::<usize>().prop_map(Event::Spend),
            1 => any::<usize>().prop_map(Event::Cancel),
            2 => (0_u64..3_000).prop_map(Event::Wait),
            1 => (8_000_u64..12_000).prop_map(Event::Wait),
        ]
    }

    /// Reference model: keeps every timestamp, and adds up.
    #[derive(Default)]
    struct ReferenceWindow {
        calls: Vec<u64>,
        retries: Vec<u64>,
    }

    impl ReferenceWindow {
        /// In millionths.
        fn available(&self, millis: u64, ratio: u64, floor: u64) -> u64 {
            let counted = |times: &[u64]| {
                let live = times.iter().filter(|&&at| at / 1_000 + 10 > millis / 1_000);
                live.count() as u64
            };
            let earned = floor + counted(&self.calls) * ratio;
            earned.saturating_sub(counted(&self.retries) * 1_000_000) / 1_000_000
        }
    }

    proptest! {
        #[test]
        fn window_matches_list_of_timestamps(
            ratio in 0_u64..2_000_000, floor in 0_u64..5, events in prop::collection::vec(any_event(), 1..200),
        ) {
            let origin = Instant::now();
            let window = window(ratio as f64 / 1e6, floor as f64 / 10.0, origin);
            let (mut reference, mut reserved, mut millis) = (ReferenceWindow::default(), Vec::new(), 0);
            for event in events {
                let now = origin + Duration::from_millis(millis);
                let available = reference.available(millis, ratio, floor * 1_000_000);
                prop_assert_eq!(window.available(now), available);
                match event {
                    Event::Call => {
                        window.deposit(now);
                        reference.calls.push(millis);
                    }
                    Event::Reserve => {
                        let slice = window.reserve(now);
                        prop_assert_eq!(slice.is_some(), available > 0);
                        reserved.extend(slice.map(|slice| (slice, millis)));
                        reference.retries.extend(slice.map(|_| millis));
                    }
                    Event::Spend(which) if !reserved.is_empty() => {
                        reserved.swap_remove(which % reserved.len());
                    }
                    Event::Cancel(which) if !reserved.is_empty() => {
                        let (slice, at) = reserved.swap_remove(which % reserved.len());
                        window.refund(slice);
                        let index = reference.retries.iter().position(|&time| time == at);
                        reference.retries.remove(index.expect("reserved then"));
                    }
                    Event::Wait(more) => millis += more,
                    _ => {}
                }
            }
        }
    }
}

#[cfg(all(test, tower_keep_loom))]
mod loom_tests {
    //! All interleavings of a few threads, run by loom: `.ci/models`.

    use std::sync::Arc;

    use loom::thread;

    use super::{super::Budget, *};

    const SLICE: Duration = Duration::from_secs(1);

    fn window(origin: Instant) -> Arc<SlidingWindow> {
        let settings = Budget::window().ratio(0.5).per_second(0.0);
        Arc::new(SlidingWindow::new(settings, origin))
    }

    #[test]
    fn deposits_are_not_lost_while_the_slice_moves_on() {
        loom::model(|| {
            let origin = Instant::now();
            let window = window(origin);
            // The same slot of the ring, ten slices apart.
            let threads = [0, 10, 10].map(|slice| {
                let window = window.clone();
                thread::spawn(move || window.deposit(origin + slice * SLICE))
            });
            for thread in threads {
                thread.join().expect("no panic");
            }
            assert_eq!(window.available(origin + 10 * SLICE), 1);
        });
    }

    #[test]
    fn concurrent_withdrawals_never_overdraw_and_refund_what_they_took() {
        loom::model(|| {
            let origin = Instant::now();
            let window = window(origin);
            (0..2).for_each(|_| window.deposit(origin));
            let other = {
                let window = window.clone();
                thread::spawn(move || window.reserve(origin))
            };
            let mine = window.reserve(origin);
            let taken = [other.join().expect("no panic"), mine];
            assert_eq!(taken.iter().flatten().count(), 1);
            taken
                .into_iter()
                .flatten()
                .for_each(|slice| window.refund(slice));
            assert_eq!(window.available(origin), 1);
        });
    }
}
