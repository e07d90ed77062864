use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use metrics::Gauge;
use tokio::time::Instant;

use super::{
    ChaosSettings, FaultKind, InjectedFault,
    draw::Draw,
    metrics::{ChaosMetrics, enabled_gauge},
    plan::Plan,
    switch_word::SwitchWord,
};
use crate::{
    call::{ConfigError, Label, catch_hook},
    guard::ReadySignal,
    registry::{self, GuardTransition},
    util::{
        duration::saturating_nanos,
        per_recorder::PerRecorder,
        shared_gauges::SharedGauges,
        sync::atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

/// State that clones of a [`Chaos`](super::Chaos) share.
pub struct ChaosShared {
    pub(super) name: Label,
    pub(super) seed: u64,
    /// A [`SwitchWord`], whose times count from `created`.
    switch: AtomicU64,
    created: Instant,
    /// The number of calls that were drawn for since the chaos was switched on.
    draws: AtomicU64,
    settings: std::sync::Mutex<ChaosSettings>,
    /// The number of calls that are delayed.
    delayed: AtomicU32,
    injected: [AtomicU64; FaultKind::ALL.len()],
    skipped: AtomicU64,
    metrics: PerRecorder<ChaosMetrics>,
    enabled: SharedGauges<Gauge>,
    /// Wakes what waits when the switch changes.
    pub(super) switched: ReadySignal,
}

impl ChaosShared {
    pub(super) fn new(name: Label, seed: u64, settings: ChaosSettings) -> Arc<Self> {
        let shared = Arc::new(ChaosShared::unlisted(name, seed, settings));
        registry::register(&shared);
        shared.report_gauge();
        shared
    }

    fn unlisted(name: Label, seed: u64, settings: ChaosSettings) -> Self {
        ChaosShared {
            name,
            seed,
            switch: AtomicU64::new(SwitchWord::default().0),
            created: Instant::now(),
            draws: AtomicU64::new(0),
            settings: settings.into(),
            delayed: AtomicU32::new(0),
            injected: Default::default(),
            skipped: AtomicU64::new(0),
            metrics: PerRecorder::new(),
            enabled: SharedGauges::new(),
            switched: ReadySignal::new(),
        }
    }

    /// Returns whether faults are injected. While nobody has switched it on, this is one load.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        // Relaxed: nothing else is published with it.
        let word = self.switch.load(Ordering::Relaxed);
        word != 0 && self.is_on_now()
    }

    /// Returns whether faults are injected, and notices that their time is over.
    #[cold]
    fn is_on_now(&self) -> bool {
        let now = self.now();
        self.expire(now);
        self.word().is_on(now)
    }

    /// Returns when the chaos will be off by itself, if ever.
    pub(super) fn end(&self) -> Option<Instant> {
        let nanos = self.word().end()?;
        self.created.checked_add(Duration::from_nanos(nanos))
    }

    pub(super) fn enable(&self, time: Option<Duration>) {
        match time.map(saturating_nanos) {
            None => self.change("enabled", |word, _| word.enabled()),
            Some(time) => self.change("enabled_for", |word, now| {
                word.enabled_until(now.saturating_add(time), now)
            }),
        }
    }

    pub(super) fn disable(&self) {
        self.change("disabled", |word, _| word.disabled());
    }

    /// Sets what an operator says instead of the application.
    pub(super) fn override_with(&self, state: Option<bool>) {
        let reason = match state {
            Some(true) => "forced_on",
            Some(false) => "forced_off",
            None => "reset",
        };
        self.change(reason, |word, _| word.overridden_by(state));
    }

    fn change(&self, reason: &'static str, change: impl Fn(SwitchWord, u64) -> SwitchWord) {
        let now = self.now();
        // First, so that each time of being on has its end reported.
        self.expire(now);
        let (before, after) = self.update(now, |word| Some(change(word, now)));
        self.report_switch(before.is_on(now), after.is_on(now), reason);
    }

    /// Switches the chaos off if its time is over. Whoever comes first reports it.
    fn expire(&self, now: u64) {
        let (before, after) = self.update(now, |word| word.expired(now));
        // Without an override it was on until a moment ago, and is off now. With one, nothing has changed.
        if before != after && before.end().is_some() {
            self.report_switch(true, false, "elapsed");
        }
    }

    /// Changes the switch, and returns it as it was and as it is. `None` leaves it.
    fn update(
        &self,
        now: u64,
        change: impl Fn(SwitchWord) -> Option<SwitchWord>,
    ) -> (SwitchWord, SwitchWord) {
        let mut before = self.word();
        while let Some(after) = change(before) {
            if !before.is_on(now) && after.is_on(now) {
                // Before it is on: the sequence of a seed begins with the first call.
                self.draws.store(0, Ordering::Relaxed);
            }
            let swapped = self.switch.compare_exchange_weak(
                before.0,
                after.0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return (before, after),
                Err(present) => before = SwitchWord(present),
            }
        }
        (before, before)
    }

    fn word(&self) -> SwitchWord {
        SwitchWord(self.switch.load(Ordering::Relaxed))
    }

    /// Returns the nanoseconds since the chaos was made.
    fn now(&self) -> u64 {
        saturating_nanos(self.created.elapsed())
    }

    fn report_switch(&self, was_on: bool, is_on: bool, reason: &'static str) {
        if was_on == is_on {
            return;
        }
        self.switched.wake();
        self.report_gauge();
        let (from, to) = (state_text(was_on), state_text(is_on));
        catch_hook(|| self.log_switch(is_on, reason));
        registry::publish(|| GuardTransition {
            kind: KIND,
            name: self.name.clone(),
            key: None,
            from,
            to,
            limits: None,
            reason,
            last_error: None,
            shadow: false,
            at: SystemTime::now(),
        });
    }

    fn log_switch(&self, is_on: bool, reason: &'static str) {
        let chaos = self.name.as_str();
        if is_on {
            // With the seed, by which the same faults can be had again.
            let seed = self.seed;
            tracing::warn!(target: "tower_keep::chaos", chaos, reason, seed, "chaos is on");
        } else {
            tracing::info!(target: "tower_keep::chaos", chaos, reason, "chaos is off");
        }
    }

    /// Sets the gauge to what the switch says. If that changes meanwhile, again: the last one to set it has seen the last change.
    pub(super) fn report_gauge(&self) {
        catch_hook(|| {
            self.enabled.register(|| enabled_gauge(&self.name));
            loop {
                let word = self.word();
                let value = f64::from(u8::from(word.is_on(self.now())));
                self.enabled.for_each(|gauge| gauge.set(value));
                if self.word() == word {
                    return;
                }
            }
        });
    }

    /// Reports to a recorder that was installed after the last switch.
    pub(super) fn report_late(&self) {
        if !self.enabled.is_registered() {
            self.report_gauge();
        }
    }

    /// Decides about a call, the next one of the sequence.
    pub(super) fn plan_next(&self) -> Plan {
        let ordinal = self.draws.fetch_add(1, Ordering::Relaxed);
        let draw = Draw::of_call(self.seed, ordinal);
        Plan::decide(&self.lock_settings(), &draw)
    }

    pub(super) fn lock_settings(&self) -> MutexGuard<'_, ChaosSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes all settings, and reports those that differ.
    pub(super) fn apply(&self, settings: &ChaosSettings) -> Result<(), ConfigError> {
        settings.check(self.name.as_str())?;
        let changes = {
            let mut present = self.lock_settings();
            let changes = present.changes(settings);
            *present = settings.clone();
            changes
        };
        if !changes.is_empty() {
            catch_hook(|| {
                let (chaos, changes) = (self.name.as_str(), &*changes.text());
                tracing::info!(target: "tower_keep::chaos", chaos, changes, "chaos settings applied");
            });
        }
        Ok(())
    }

    /// Counts a call as delayed, unless there are too many.
    pub(super) fn begin_delay(&self) -> bool {
        let max = self.lock_settings().max_delayed;
        let delayed = self
            .delayed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |delayed| {
                (delayed < max).then_some(delayed + 1)
            });
        if delayed.is_err() {
            self.count_skipped();
        }
        delayed.is_ok()
    }

    pub(super) fn count_skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.with_metrics(|metrics| metrics.skipped.increment(1));
    }

    pub(super) fn end_delay(&self) {
        self.delayed.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn delayed_count(&self) -> u32 {
        self.delayed.load(Ordering::Relaxed)
    }

    pub(super) fn injected_count(&self, kind: FaultKind) -> u64 {
        self.injected[kind as usize].load(Ordering::Relaxed)
    }

    pub(super) fn skipped_count(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Counts a fault, and returns it as an error.
    pub(super) fn record(&self, kind: FaultKind) -> InjectedFault {
        // The registry's count first: the recorder and the subscriber may panic.
        self.injected[kind as usize].fetch_add(1, Ordering::Relaxed);
        self.with_metrics(|metrics| metrics.count(kind));
        catch_hook(|| {
            let (chaos, fault) = (self.name.as_str(), kind.as_str());
            tracing::debug!(target: "tower_keep::chaos", chaos, fault, "fault injected");
        });
        self.report_late();
        InjectedFault::new(self.name.clone(), kind)
    }

    fn with_metrics(&self, count: impl FnOnce(&ChaosMetrics)) {
        catch_hook(|| self.metrics.with(|| ChaosMetrics::new(&self.name), count));
    }
}

/// The gauge must not show forever that a chaos is on which is gone.
impl Drop for ChaosShared {
    fn drop(&mut self) {
        if self.word() != SwitchWord::default() {
            catch_hook(|| self.enabled.for_each(|gauge| gauge.set(0.0)));
        }
    }
}

/// The kind of guard in the registry.
pub(super) const KIND: &str = "chaos";

pub(super) fn state_text(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

#[cfg(all(test, tower_keep_loom))]
mod loom_tests {
    //! Every interleaving of a few threads that the memory model allows, run by loom: `.ci/models`.

    use loom::thread;

    use super::*;

    /// Returns a chaos whose time is over at 5.
    fn timed() -> Arc<ChaosShared> {
        let shared = ChaosShared::unlisted("model".into(), 7, ChaosSettings::default());
        let until_5 = SwitchWord::default().enabled_until(5, 0);
        shared.switch.store(until_5.0, Ordering::Relaxed);
        Arc::new(shared)
    }

    /// Removes a time that is over, and returns whether this was who did.
    fn expire(chaos: &ChaosShared) -> bool {
        let (before, after) = chaos.update(5, |word| word.expired(5));
        before != after
    }

    #[test]
    fn time_of_a_chaos_that_is_over_is_noticed_by_one_of_two_threads() {
        loom::model(|| {
            let chaos = timed();
            let other = chaos.clone();
            let other = thread::spawn(move || expire(&other));
            let noticed = u8::from(expire(&chaos)) + u8::from(other.join().expect("no panic"));
            assert_eq!((noticed, chaos.word()), (1, SwitchWord::default()));
        });
    }

    #[test]
    fn override_of_a_chaos_is_not_lost_to_the_end_of_its_time() {
        loom::model(|| {
            let chaos = timed();
            let other = chaos.clone();
            let other = thread::spawn(move || expire(&other));
            chaos.update(5, |word| Some(word.overridden_by(Some(true))));
            other.join().expect("no panic");
            assert!(chaos.word().is_on(5));
        });
    }

    #[test]
    fn delayed_calls_of_two_threads_are_never_more_than_allowed() {
        loom::model(|| {
            let settings = ChaosSettings {
                max_delayed: 1,
                ..ChaosSettings::default()
            };
            let chaos = ChaosShared::unlisted("model".into(), 7, settings);
            let chaos = Arc::new(chaos);
            let other = chaos.clone();
            let delay = |chaos: &ChaosShared| {
                let is_delayed = chaos.begin_delay();
                if is_delayed {
                    assert_eq!(chaos.delayed_count(), 1);
                    chaos.end_delay();
                }
                is_delayed
            };
            let other = thread::spawn(move || delay(&other));
            let own = delay(&chaos);
            assert!(other.join().expect("no panic") || own);
            assert_eq!(chaos.delayed_count(), 0);
        });
    }
}
