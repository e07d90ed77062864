use std::sync::PoisonError;

use tokio::time::Instant;

use super::{
    slicing::{SLICE_COUNT, Slicing},
    window::WindowBudget,
};
use crate::util::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

/// Units of the window's balance that a retry takes: ratios are exact to a millionth.
const UNITS_PER_RETRY: u128 = 1_000_000;

/// Calls and retries of the last seconds. Slices are numbered from `origin`, and stored in a ring.
///
/// Counts calls without a lock, since every call does, and retries under one, since they must not overdraw. Settings are
/// changed under that lock; a call that is counted in the moment in which the length of the window changes may be lost.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    origin: Instant,
    /// See [`Slicing`].
    slicing: AtomicU64,
    units_per_call: AtomicU64,
    /// Allowed whatever the number of calls.
    min_units: AtomicU64,
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
        let slicing = Slicing::new(settings.window);
        SlidingWindow {
            origin,
            slicing: AtomicU64::new(slicing.pack()),
            units_per_call: AtomicU64::new(units_per_call(settings)),
            min_units: AtomicU64::new(min_units(settings)),
            calls: Default::default(),
            retries: Mutex::default(),
        }
    }

    /// Changes the settings, and keeps the calls and retries by their age.
    ///
    /// If the length of the window has changed, retries that are reserved now are not refunded: they count until they
    /// are as old as the window.
    pub(super) fn apply(&self, settings: WindowBudget, now: Instant) {
        let mut retries = self.lock();
        self.set_units(settings);
        let (current, next) = (self.slicing(), Slicing::new(settings.window));
        if !next.has_length_of(current) {
            self.reslice(&mut retries, current, next, now);
        }
    }

    /// Changes the settings, and starts with no call and no retry.
    pub(super) fn reset(&self, settings: WindowBudget, now: Instant) {
        let mut retries = self.lock();
        self.set_units(settings);
        let next = Slicing::new(settings.window);
        let elapsed = now.saturating_duration_since(self.origin);
        let latest = retries.advance(self.slice_at(now));
        // Nothing that was counted is in a slice of the new numbers.
        self.set_slicing(next.above(latest, elapsed));
        retries.advance(self.slice_at(now));
    }

    fn set_units(&self, settings: WindowBudget) {
        // Relaxed: under the lock, as those who read them are.
        self.units_per_call
            .store(units_per_call(settings), Ordering::Relaxed);
        self.min_units.store(min_units(settings), Ordering::Relaxed);
    }

    /// Divides time otherwise: what was counted moves into the new slice of its age.
    fn reslice(&self, retries: &mut RetrySlices, current: Slicing, next: Slicing, now: Instant) {
        let elapsed = now.saturating_duration_since(self.origin);
        let latest = retries.advance(current.slice_at(elapsed));
        let next = next.above(latest, elapsed);
        let next_latest = next.slice_at(elapsed);
        let moved = |slice: u32| {
            let age = current.age_in(next, latest.saturating_sub(slice))?;
            Some(next_latest.saturating_sub(age))
        };
        // Taken before the new numbers are published: calls with new numbers would overwrite them.
        let calls = self.take_calls();
        self.set_slicing(next);
        for (slice, count) in calls {
            if let Some(slice) = moved(slice) {
                self.add_calls(slice, count);
            }
        }
        let slices = std::mem::take(&mut retries.slices);
        retries.latest = next_latest;
        for (slice, count) in slices {
            if let Some(slice) = moved(slice) {
                let slot = retries.slot(slice);
                *slot = slot.saturating_add(count);
            }
        }
    }

    /// Takes the number and the calls of each slice.
    fn take_calls(&self) -> [(u32, u32); SLICE_COUNT] {
        let calls = self.calls.each_ref();
        calls.map(|slot| unpack(slot.swap(0, Ordering::Relaxed)))
    }

    #[inline]
    pub(super) fn deposit(&self, now: Instant) {
        self.add_calls(self.slice_at(now), 1);
    }

    #[inline]
    fn add_calls(&self, slice: u32, added: u32) {
        let slot = &self.calls[slot_index(slice)];
        // Relaxed: number and count share one word, and nothing else is published with it.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let (stored, count) = unpack(word);
            match stored.cmp(&slice) {
                std::cmp::Ordering::Less => Some(pack(slice, added)),
                std::cmp::Ordering::Equal => Some(pack(slice, count.saturating_add(added))),
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
        let count = retries.slot(slice);
        *count = count.checked_add(1)?;
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

    /// Returns how many retries the calls of the window allow, those that were taken included.
    pub(super) fn capacity(&self, now: Instant) -> u64 {
        let mut retries = self.lock();
        retries.advance(self.slice_at(now));
        u64::try_from(self.earned(&retries) / UNITS_PER_RETRY).unwrap_or(u64::MAX)
    }

    /// Returns the units that are left. Calls only grow while they are summed up, so that it is never too much.
    fn balance(&self, retries: &RetrySlices) -> u128 {
        let taken = retries.sum(retries.slices.iter().copied());
        self.earned(retries).saturating_sub(taken * UNITS_PER_RETRY)
    }

    /// Returns the units that calls have earned.
    fn earned(&self, retries: &RetrySlices) -> u128 {
        let calls = self
            .calls
            .iter()
            .map(|word| unpack(word.load(Ordering::Relaxed)));
        // In units, so that a small ratio adds up over many calls without rounding.
        let units = |units: &AtomicU64| u128::from(units.load(Ordering::Relaxed));
        units(&self.min_units) + retries.sum(calls) * units(&self.units_per_call)
    }

    fn slice_at(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.origin);
        self.slicing().slice_at(elapsed)
    }

    #[inline]
    fn slicing(&self) -> Slicing {
        // Relaxed: the numbers of another slicing are no slices of this one.
        Slicing::unpack(self.slicing.load(Ordering::Relaxed))
    }

    fn set_slicing(&self, slicing: Slicing) {
        self.slicing.store(slicing.pack(), Ordering::Relaxed);
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

    /// Sums up what slices count that are in the window.
    fn sum(&self, slices: impl Iterator<Item = (u32, u32)>) -> u128 {
        let is_live = |slice: u32| u64::from(slice) + SLICE_COUNT as u64 > u64::from(self.latest);
        let live = slices.filter(|&(slice, _)| is_live(slice));
        live.map(|(_, count)| u128::from(count)).sum()
    }

    /// Returns the number of retries of a slice, which takes the slot of an older one.
    fn slot(&mut self, slice: u32) -> &mut u32 {
        let slot = &mut self.slices[slot_index(slice)];
        if slot.0 != slice {
            *slot = (slice, 0);
        }
        &mut slot.1
    }
}

/// Returns the units that a call earns.
fn units_per_call(settings: WindowBudget) -> u64 {
    // Rounded, since a ratio such as 0.29 has no exact number.
    (settings.ratio * UNITS_PER_RETRY as f64).round() as u64
}

/// Returns the units that are there without a call.
fn min_units(settings: WindowBudget) -> u64 {
    let retries = settings.per_second * settings.window.as_secs_f64();
    (retries * UNITS_PER_RETRY as f64).round() as u64
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

#[cfg(all(test, tower_keep_loom))]
mod loom_tests {
    //! All interleavings of a few threads, run by loom: `.ci/models`.

    use std::{sync::Arc, time::Duration};

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

    #[test]
    fn window_overdraws_nothing_while_its_length_changes() {
        loom::model(|| {
            let origin = Instant::now();
            let settings = Budget::window().ratio(1.0).per_second(0.0);
            let window = Arc::new(SlidingWindow::new(settings, origin));
            window.deposit(origin);
            let other = window.clone();
            let other = thread::spawn(move || {
                other.deposit(origin);
                other.reserve(origin)
            });
            window.apply(settings.window(4 * SLICE), origin);
            let taken = other.join().expect("no panic").iter().count() as u64;
            // The call that was counted beside the change may be lost, and no other.
            let left = window.available(origin);
            assert!((1..=2).contains(&(left + taken)), "{left} and {taken}");
        });
    }
}
