use std::{sync::PoisonError, time::Duration};

use tokio::time::Instant;

use super::{Budget, Core};
use crate::{
    call::ConfigError,
    util::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

const COMPONENT: &str = "retry budget";
/// Slices of the window: it slides by a tenth.
const SLICE_COUNT: usize = 10;
/// One retry, in the unit that is counted in: ratios are exact to a millionth.
const UNITS_PER_RETRY: u128 = 1_000_000;
const MAX_RATIO: f64 = 10.0;
const MAX_RATE: f64 = 1_000_000.0;
const MIN_WINDOW: Duration = Duration::from_millis(100);
const MAX_WINDOW: Duration = Duration::from_secs(3_600);

/// Settings of a windowed budget; made by [`Budget::window`].
#[derive(Clone, Copy, Debug)]
pub struct WindowBudget {
    ratio: f64,
    per_second: f64,
    window: Duration,
}

impl Default for WindowBudget {
    fn default() -> Self {
        WindowBudget {
            ratio: 0.2,
            per_second: 10.0,
            window: Duration::from_secs(10),
        }
    }
}

impl WindowBudget {
    /// How many retries there may be for each call, as a fraction; exact to a millionth.
    ///
    /// Bounds how much an outage multiplies the load. Must be 0 to 10. Default: 0.2.
    #[must_use]
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    /// How many retries a second are allowed on top, so that those who make few calls can retry at all.
    ///
    /// Each process has a budget of its own: of a hundred that make few calls, this adds up to a thousand retries a
    /// second. Lower it there, or have a breaker bound what it does not.
    ///
    /// Must be 0 to 1,000,000. Default: 10.
    #[must_use]
    pub fn per_second(mut self, rate: f64) -> Self {
        self.per_second = rate;
        self
    }

    /// How long calls and retries count. Longer allows longer bursts of retries.
    ///
    /// Must be 100 ms to 1 h. Default: 10 s.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Makes the budget, full.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting that makes no sense.
    pub fn build(self) -> Result<Budget, ConfigError> {
        if !(0.0..=MAX_RATIO).contains(&self.ratio) {
            let hint = if (MAX_RATIO..=100.0).contains(&self.ratio) {
                // To a millionth, as it is counted: division alone makes 0.10099999999999999 of 10.1.
                let fraction = (self.ratio * 1e4).round() / 1e6;
                format!("; did you mean {fraction}?")
            } else {
                String::new()
            };
            let must = format!("0 to 10 (retries for each call{hint})");
            return Err(ConfigError::new(COMPONENT, "ratio", self.ratio, must));
        }
        if !(0.0..=MAX_RATE).contains(&self.per_second) {
            let must = "0 to 1000000";
            return Err(ConfigError::new(
                COMPONENT,
                "per_second",
                self.per_second,
                must,
            ));
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&self.window) {
            let got = format!("{:?}", self.window);
            return Err(ConfigError::new(COMPONENT, "window", got, "100 ms to 1 h"));
        }
        Ok(self.build_unchecked())
    }

    pub(super) fn build_unchecked(self) -> Budget {
        Budget::new(Core::Window(SlidingWindow::new(self, Instant::now())))
    }
}

/// The number of a slice of time.
pub(super) type SliceIndex = u32;

/// Counts calls without a lock, since every call does, and retries under one, since they must not overdraw.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    origin: Instant,
    slice: Duration,
    /// What one call allows, and what is allowed in any case.
    units_per_call: u128,
    min_units: u128,
    /// Each slice's epoch and number of calls, packed into one word.
    calls: [AtomicU64; SLICE_COUNT],
    retries: Mutex<RetrySlices>,
}

#[derive(Debug, Default)]
struct RetrySlices {
    /// Time never runs back here: slices that somebody has seen expire stay expired for everybody.
    latest_slice: SliceIndex,
    slices: [(SliceIndex, u32); SLICE_COUNT],
}

impl SlidingWindow {
    fn new(settings: WindowBudget, origin: Instant) -> Self {
        let unit = UNITS_PER_RETRY as f64;
        let floor = settings.per_second * settings.window.as_secs_f64() * unit;
        SlidingWindow {
            origin,
            slice: settings.window / SLICE_COUNT as u32,
            units_per_call: (settings.ratio * unit).round() as u128,
            min_units: floor.round() as u128,
            calls: Default::default(),
            retries: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn deposit(&self, now: Instant) {
        let epoch = self.slice_at(now);
        let slot = &self.calls[slot_index(epoch)];
        // A slice that is already a later one's lies more than a window back: nobody would count it.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let (of, count) = unpack(word);
            match of.cmp(&epoch) {
                std::cmp::Ordering::Less => Some(pack(epoch, 1)),
                std::cmp::Ordering::Equal => Some(pack(epoch, count.saturating_add(1))),
                std::cmp::Ordering::Greater => None,
            }
        });
    }

    /// A call has reached nobody, and earns nothing. One that has begun in an earlier slice is left alone.
    #[cold]
    pub(super) fn retract(&self, now: Instant) {
        let epoch = self.slice_at(now);
        let slot = &self.calls[slot_index(epoch)];
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let (of, count) = unpack(word);
            (of == epoch && count > 0).then(|| pack(epoch, count - 1))
        });
    }

    pub(super) fn withdraw(&self, now: Instant) -> Option<SliceIndex> {
        let mut retries = self.lock();
        let epoch = retries.advance(self.slice_at(now));
        if self.balance(&retries) < UNITS_PER_RETRY {
            return None;
        }
        let slice = &mut retries.slices[slot_index(epoch)];
        if slice.0 != epoch {
            *slice = (epoch, 0);
        }
        slice.1 = slice.1.checked_add(1)?;
        Some(epoch)
    }

    pub(super) fn refund(&self, epoch: SliceIndex) {
        let mut retries = self.lock();
        let slice = &mut retries.slices[slot_index(epoch)];
        if slice.0 == epoch {
            slice.1 = slice.1.saturating_sub(1);
        }
    }

    pub(super) fn available(&self, now: Instant) -> u64 {
        let mut retries = self.lock();
        retries.advance(self.slice_at(now));
        u64::try_from(self.balance(&retries) / UNITS_PER_RETRY).unwrap_or(u64::MAX)
    }

    /// What is left. Calls only ever grow while it is read, so that it is never too much.
    fn balance(&self, retries: &RetrySlices) -> u128 {
        let counts = |epoch: SliceIndex| {
            u64::from(epoch) + SLICE_COUNT as u64 > u64::from(retries.latest_slice)
        };
        let calls = self
            .calls
            .iter()
            .map(|word| unpack(word.load(Ordering::Relaxed)));
        let sum = |slices: &mut dyn Iterator<Item = (SliceIndex, u32)>| -> u128 {
            let live = slices.filter(|&(epoch, _)| counts(epoch));
            live.map(|(_, count)| u128::from(count)).sum()
        };
        let earned = self.min_units + sum(&mut { calls }) * self.units_per_call;
        earned.saturating_sub(sum(&mut retries.slices.iter().copied()) * UNITS_PER_RETRY)
    }

    fn slice_at(&self, now: Instant) -> SliceIndex {
        let slices = now.saturating_duration_since(self.origin).as_nanos() / self.slice.as_nanos();
        u32::try_from(slices).unwrap_or(u32::MAX)
    }

    /// Nothing in here panics under the lock; a poisoned one would be as good.
    fn lock(&self) -> MutexGuard<'_, RetrySlices> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RetrySlices {
    fn advance(&mut self, epoch: SliceIndex) -> SliceIndex {
        self.latest_slice = self.latest_slice.max(epoch);
        self.latest_slice
    }
}

fn slot_index(epoch: SliceIndex) -> usize {
    epoch as usize % SLICE_COUNT
}

fn pack(epoch: SliceIndex, count: u32) -> u64 {
    u64::from(epoch) << 32 | u64::from(count)
}

fn unpack(word: u64) -> (SliceIndex, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn any_ratio_is_exact_over_a_hundred_thousand_calls() {
        let origin = Instant::now();
        for ratio in [0.1, 0.29, 0.3, 0.6, 0.7, 1.5] {
            let window = window(ratio, 0.0, origin);
            let mut allowed = 0;
            for _ in 0..100_000 {
                window.deposit(origin);
                while window.withdraw(origin).is_some() {
                    allowed += 1;
                }
            }
            assert_eq!(allowed, (ratio * 100_000.0).round() as u32, "{ratio}");
        }
    }

    #[test]
    fn call_that_is_retracted_earns_nothing() {
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
        // A clock that was read earlier does not bring them back.
        assert_eq!(window.available(origin), 0);
    }

    #[test]
    fn those_who_make_few_calls_have_their_floor() {
        let origin = Instant::now();
        let window = window(0.2, 0.3, origin);
        assert_eq!(window.available(origin), 3);
        assert!((0..3).all(|_| window.withdraw(origin).is_some()));
        assert_eq!(window.withdraw(origin), None);
        assert_eq!(window.available(origin + 10 * SLICE), 3);
    }

    #[test]
    fn a_load_that_fails_once_and_then_succeeds_drains_it() {
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
    fn threads_never_overdraw() {
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
        // Not one was lost or made: 20,000 calls allow 6,000.
        let available = || budget.available(&CallClock::at(now)).expect("a window's");
        assert_eq!(kept.len() as u64 + available(), 6_000);
        drop(kept);
        assert_eq!(available(), 6_000);
    }

    #[test]
    fn silly_settings_are_named() {
        let ratio = Budget::window().ratio(20.0).build().unwrap_err();
        let says =
            "retry budget: ratio is 20, must be 0 to 10 (retries for each call; did you mean 0.2?)";
        assert_eq!(ratio.to_string(), says);
        let ratio = Budget::window().ratio(10.1).build().unwrap_err();
        assert!(ratio.to_string().ends_with("did you mean 0.101?)"));
        for ratio in [-0.5, 200.0] {
            let error = Budget::window().ratio(ratio).build().unwrap_err();
            let says =
                format!("retry budget: ratio is {ratio}, must be 0 to 10 (retries for each call)");
            assert_eq!(error.to_string(), says, "no percentage");
        }
        let rate = Budget::window().per_second(f64::NAN).build().unwrap_err();
        assert_eq!(rate.field(), "per_second");
        let window = Budget::window().window(Duration::ZERO).build().unwrap_err();
        let says = "retry budget: window is 0ns, must be 100 ms to 1 h";
        assert_eq!(window.to_string(), says);
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

    /// Keeps every timestamp, forgets nothing, and adds up.
    #[derive(Default)]
    struct Naive {
        calls: Vec<u64>,
        retries: Vec<u64>,
    }

    impl Naive {
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
        fn it_agrees_with_a_list_of_timestamps(
            ratio in 0_u64..2_000_000, floor in 0_u64..5, events in prop::collection::vec(any_event(), 1..200),
        ) {
            let origin = Instant::now();
            let window = window(ratio as f64 / 1e6, floor as f64 / 10.0, origin);
            let (mut naive, mut held, mut millis) = (Naive::default(), Vec::new(), 0);
            for event in events {
                let now = origin + Duration::from_millis(millis);
                let available = naive.available(millis, ratio, floor * 1_000_000);
                prop_assert_eq!(window.available(now), available);
                match event {
                    Event::Call => {
                        window.deposit(now);
                        naive.calls.push(millis);
                    }
                    Event::Reserve => {
                        let epoch = window.withdraw(now);
                        prop_assert_eq!(epoch.is_some(), available > 0);
                        held.extend(epoch.map(|epoch| (epoch, millis)));
                        naive.retries.extend(epoch.map(|_| millis));
                    }
                    Event::Spend(which) if !held.is_empty() => {
                        held.swap_remove(which % held.len());
                    }
                    Event::Cancel(which) if !held.is_empty() => {
                        let (epoch, at) = held.swap_remove(which % held.len());
                        window.refund(epoch);
                        let mine = naive.retries.iter().position(|&time| time == at);
                        naive.retries.remove(mine.expect("reserved then"));
                    }
                    Event::Wait(more) => millis += more,
                    _ => {}
                }
            }
        }
    }
}

#[cfg(all(test, tower_keep_loom))]
mod models {
    //! Every order of a few threads that the memory model allows, played by loom: `.ci/models`.

    use std::sync::Arc;

    use loom::thread;

    use super::*;

    const SLICE: Duration = Duration::from_secs(1);

    fn window(origin: Instant) -> Arc<SlidingWindow> {
        let settings = Budget::window().ratio(0.5).per_second(0.0);
        Arc::new(SlidingWindow::new(settings, origin))
    }

    #[test]
    fn calls_are_neither_lost_nor_turned_back_while_the_slice_moves_on() {
        loom::model(|| {
            let origin = Instant::now();
            let window = window(origin);
            // The same place in the ring, ten slices apart.
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
    fn two_who_retry_at_once_never_overdraw_and_give_back_what_they_took() {
        loom::model(|| {
            let origin = Instant::now();
            let window = window(origin);
            (0..2).for_each(|_| window.deposit(origin));
            let other = {
                let window = window.clone();
                thread::spawn(move || window.withdraw(origin))
            };
            let mine = window.withdraw(origin);
            let taken = [other.join().expect("no panic"), mine];
            assert_eq!(taken.iter().flatten().count(), 1);
            taken
                .into_iter()
                .flatten()
                .for_each(|epoch| window.give_back(epoch));
            assert_eq!(window.available(origin), 1);
        });
    }
}
