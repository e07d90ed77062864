//! The decision of a throttle: what became of the calls of the last while. Pure. That of a prioritizer as well, where the random number
//! is the place of the call among others.

use std::time::Duration;

use tokio::time::Instant;

use super::ThrottleAccounting;

/// The parts of the window. With ten, at most a tenth of it is forgotten at once.
const SLICES: usize = 10;

/// The checked settings that decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WindowConfig {
    pub(crate) accounting: ThrottleAccounting,
    pub(crate) factor: f64,
    pub(crate) window: Duration,
    pub(crate) max_rejection_rate: f64,
    pub(crate) min_calls: u32,
}

/// The counts of calls, in slices of the window.
#[derive(Debug)]
pub(crate) struct AcceptWindow {
    config: WindowConfig,
    start: Instant,
    /// The slice that counts now, as a number since the start.
    current: u64,
    slices: [WindowCounts; SLICES],
    sum: WindowCounts,
}

/// The calls of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WindowCounts {
    /// The peer has served the call.
    pub(crate) accepted: u64,
    /// The peer or the connection to it was at fault.
    pub(crate) failed: u64,
    /// The throttle has rejected the call.
    pub(crate) rejected: u64,
    /// The throttle would have rejected the call, but for its shadow mode. Such a call has a result as well, by which it counts.
    pub(crate) shadowed: u64,
}

impl WindowCounts {
    /// Returns how many calls were rejected, or would have been.
    pub(crate) fn all_rejected(self) -> u64 {
        self.rejected + self.shadowed
    }
}

/// A change of what a throttle does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowChange {
    /// The first call was rejected.
    Began,
    /// A whole window has passed without a rejection.
    Ended,
}

impl AcceptWindow {
    pub(crate) fn new(config: WindowConfig, start: Instant) -> Self {
        AcceptWindow {
            config,
            start,
            current: 0,
            slices: [WindowCounts::default(); SLICES],
            sum: WindowCounts::default(),
        }
    }

    /// Decides about a call, given a random number from 0 up to 1. `true` if it is admitted: then its result counts once it is known, and
    /// calls in flight say nothing. In shadow mode all results come, and `false` says what would be without.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        random: f64,
        is_shadow: bool,
    ) -> (bool, Option<WindowChange>) {
        let ended = self.advance(now);
        if random >= self.probability() {
            return (true, ended);
        }
        let began = (self.sum.all_rejected() == 0).then_some(WindowChange::Began);
        match is_shadow {
            true => self.add(|counts| &mut counts.shadowed),
            false => self.add(|counts| &mut counts.rejected),
        }
        // What has ended begins again at once: nothing has changed.
        let change = if ended.is_some() { None } else { began };
        (false, change)
    }

    /// Counts that the peer serves an admitted call. Returns the slice in which it counts.
    pub(crate) fn accept(&mut self, now: Instant) -> (u64, Option<WindowChange>) {
        let ended = self.advance(now);
        self.add(|counts| &mut counts.accepted);
        (self.current, ended)
    }

    /// Counts that the peer has served so many calls, evenly between two moments.
    pub(crate) fn accept_many(
        &mut self,
        calls: u64,
        since: Instant,
        now: Instant,
    ) -> Option<WindowChange> {
        if calls == 0 {
            return None;
        }
        let ended = self.advance(now);
        let slices = self.current - self.slice_at(since).min(self.current) + 1;
        // Of the slices up to the one that is so many back.
        let until = |back: u64| {
            let share = u128::from(calls) * u128::from(slices - back) / u128::from(slices);
            share as u64
        };
        for back in 0..slices.min(SLICES as u64) {
            let accepted = until(back) - until(back + 1);
            self.slices[place(self.current - back)].accepted += accepted;
            self.sum.accepted += accepted;
        }
        ended
    }

    /// Counts that an admitted call has failed which has counted as accepted, in a slice that is not known.
    pub(crate) fn fail_late(&mut self, now: Instant) -> Option<WindowChange> {
        let ended = self.advance(now);
        let oldest = self.current.saturating_sub(SLICES as u64 - 1);
        let mut newest_first = (oldest..=self.current).rev();
        let slice = newest_first.find(|slice| self.slices[place(*slice)].accepted > 0);
        self.fail(now, slice).or(ended)
    }

    /// Counts that an admitted call has failed, which may count as accepted in a slice until now.
    pub(crate) fn fail(&mut self, now: Instant, accepted_in: Option<u64>) -> Option<WindowChange> {
        let ended = self.advance(now);
        if let Some(slice) = accepted_in {
            self.take_back(slice);
        }
        self.add(|counts| &mut counts.failed);
        ended
    }

    fn take_back(&mut self, slice: u64) {
        let is_kept = (slice..slice + SLICES as u64).contains(&self.current);
        let counts = &mut self.slices[place(slice)];
        // It is gone after a reset.
        if is_kept && counts.accepted > 0 {
            counts.accepted -= 1;
            self.sum.accepted -= 1;
        }
    }

    /// Forgets what is older than the window. Returns whether the last rejection was among it.
    pub(crate) fn advance(&mut self, now: Instant) -> Option<WindowChange> {
        let slice = self.slice_at(now);
        // A clock read by another thread may be a bit behind.
        let steps = slice.saturating_sub(self.current);
        if steps == 0 {
            return None;
        }
        let was_rejecting = self.sum.all_rejected() > 0;
        for step in 1..=steps.min(SLICES as u64) {
            let old = std::mem::take(&mut self.slices[place(self.current + step)]);
            self.sum.accepted -= old.accepted;
            self.sum.failed -= old.failed;
            self.sum.rejected -= old.rejected;
            self.sum.shadowed -= old.shadowed;
        }
        self.current = slice;
        (was_rejecting && self.sum.all_rejected() == 0).then_some(WindowChange::Ended)
    }

    /// Returns the slice of a moment, as a number since the start.
    fn slice_at(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.start).as_nanos();
        (elapsed / self.slice_time().as_nanos()) as u64
    }

    /// Returns the probability with which a call is rejected: that of the SRE book.
    pub(crate) fn probability(&self) -> f64 {
        let WindowCounts {
            accepted,
            failed,
            rejected,
            shadowed: _,
        } = self.sum;
        let calls = match self.config.accounting {
            ThrottleAccounting::All => accepted + failed + rejected,
            ThrottleAccounting::Admitted => accepted + failed,
        };
        if calls < u64::from(self.config.min_calls) {
            return 0.0;
        }
        let calls = calls as f64;
        let excess = calls - self.config.factor * accepted as f64;
        (excess / (calls + 1.0)).clamp(0.0, self.config.max_rejection_rate)
    }

    /// Changes the settings. The counts stay; with another window, all of them count as those of now.
    pub(crate) fn set_config(
        &mut self,
        config: WindowConfig,
        now: Instant,
    ) -> Option<WindowChange> {
        let ended = self.advance(now);
        if config.window != self.config.window {
            let sum = self.sum;
            *self = AcceptWindow::new(config, now);
            (self.sum, self.slices[0]) = (sum, sum);
        }
        self.config = config;
        ended
    }

    /// Forgets all calls.
    pub(crate) fn reset(&mut self, now: Instant) -> Option<WindowChange> {
        let was_rejecting = self.sum.all_rejected() > 0;
        *self = AcceptWindow::new(self.config, now);
        was_rejecting.then_some(WindowChange::Ended)
    }

    pub(crate) fn counts(&self) -> WindowCounts {
        self.sum
    }

    /// Returns the length of a slice: the counts change with age no sooner than after this.
    pub(crate) fn slice_time(&self) -> Duration {
        self.config.window / SLICES as u32
    }

    fn add(&mut self, count: fn(&mut WindowCounts) -> &mut u64) {
        *count(&mut self.slices[place(self.current)]) += 1;
        *count(&mut self.sum) += 1;
    }
}

/// Returns the index at which the counts of a slice stand.
fn place(slice: u64) -> usize {
    (slice % SLICES as u64) as usize
}
