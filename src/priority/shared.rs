use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};

use tokio::time::Instant;

use super::{
    ClassStats, PrioritizerSettings, PrioritizerStats,
    arrivals::LevelCounts,
    counts::ClassCounts,
    distribution::{Distribution, Draws},
    lanes::{Lane, Lanes},
    metrics::PriorityMetrics,
    permit::PrioritizedCall,
    pushback::LoadSign,
};
use crate::{
    call::{ConfigError, Label, Rejection, catch_hook},
    context::{CallPriority, LEVELS, Priority, PriorityClass},
    throttle::{
        throttled_call::CallResult,
        window::{AcceptWindow, WindowChange},
        window_report::WindowReport,
    },
    util::mix::{mix, stream},
};

const REPORT: WindowReport = WindowReport {
    kind: "prioritizer",
    rejecting: "shedding",
    reason: "overload",
};

/// The prioritizer behind all of its handles.
pub(super) struct PrioritizerShared {
    metrics: PriorityMetrics,
    seed: u64,
    lanes: Lanes,
    distribution: Distribution,
    /// The bits of the rate of lifted calls, and the number of the default class: settings that each call reads.
    lift_rate: AtomicU32,
    default_class: AtomicU8,
    /// True if calls may be shed, as of the last one that was counted: then calls take the lock to be admitted.
    may_shed: AtomicBool,
    /// True since a call was pushed back, until the window has forgotten the last one: then each result takes the lock to count. Before
    /// that, calls that get through are counted in the lanes.
    is_watching: AtomicBool,
    is_disabled: AtomicBool,
    shed: ClassCounts,
    /// The shed calls that were admitted, in shadow mode.
    shadowed: ClassCounts,
    pushed_back: ClassCounts,
    locked: Mutex<Locked>,
}

struct Locked {
    window: AcceptWindow,
    /// The moment until which the results of calls are in the window; later ones are in the lanes.
    counted_until: Instant,
    arrivals: LevelCounts,
    settings: PrioritizerSettings,
}

impl PrioritizerShared {
    pub(super) fn new(name: Label, settings: PrioritizerSettings, seed: u64) -> Self {
        let now = Instant::now();
        PrioritizerShared {
            metrics: PriorityMetrics::new(name),
            seed,
            lanes: Lanes::new(),
            distribution: Distribution::new(),
            lift_rate: AtomicU32::new(settings.lift_rate().to_bits()),
            default_class: AtomicU8::new(settings.default_class as u8),
            may_shed: AtomicBool::new(false),
            is_watching: AtomicBool::new(false),
            is_disabled: AtomicBool::new(false),
            shed: ClassCounts::default(),
            shadowed: ClassCounts::default(),
            pushed_back: ClassCounts::default(),
            locked: Mutex::new(Locked {
                window: AcceptWindow::new(settings.config(), now),
                counted_until: now,
                arrivals: LevelCounts::new(),
                settings,
            }),
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    /// Returns the priority of calls that have none.
    #[inline]
    pub(super) fn default_priority(&self) -> Priority {
        let class = self.default_class.load(Ordering::Relaxed);
        Priority::new(PriorityClass::ALL[usize::from(class)])
    }

    /// Admits a call, or sheds it. Reads the clock and takes the lock only if calls may be shed, or once for many calls.
    #[inline]
    pub(super) fn admit(
        &self,
        priority: Priority,
        now: impl FnOnce() -> Instant,
    ) -> Result<CallPriority, Rejection> {
        let call = self.compare(priority);
        match self.may_shed.load(Ordering::Relaxed) {
            false => Ok(call),
            true => self.decide(call, now()),
        }
    }

    /// Counts a call, and finds out where it stands among others. One without a level gets one.
    #[inline]
    fn compare(&self, priority: Priority) -> CallPriority {
        let lane = self.lanes.current();
        let ordinal = lane.next();
        let random = stream(self.seed, ordinal.0);
        let priority = match priority.level() {
            Some(_) => priority,
            None => priority.with_level((mix(random) % u64::from(LEVELS)) as u8),
        };
        lane.count(priority.index());
        self.metrics.count_call(priority.class());
        if ordinal.is_due() {
            self.add_arrivals(lane);
        }
        let lift_rate = f32::from_bits(self.lift_rate.load(Ordering::Relaxed));
        self.distribution
            .compare(priority, lift_rate, Draws::new(random))
    }

    #[cold]
    fn add_arrivals(&self, lane: &Lane) {
        let now = Instant::now();
        let mut locked = self.lock();
        // Often, or nobody would know when they came.
        let change = self.add_accepted(&mut locked, now);
        lane.take(&mut locked.arrivals);
        locked.arrivals.age();
        // Under the lock, so that the last one is the newest.
        self.distribution.replace(&locked.arrivals);
        self.note(&locked);
        let is_shadow = locked.settings.shadow;
        drop(locked);
        self.report(change, is_shadow);
    }

    /// Adds the calls that are in the lanes to the window, as if they had come evenly.
    fn add_accepted(&self, locked: &mut Locked, now: Instant) -> Option<WindowChange> {
        let since = locked.counted_until;
        locked.counted_until = since.max(now);
        let calls = self.lanes.take_accepted();
        locked.window.accept_many(calls, since, now)
    }

    #[cold]
    fn decide(&self, call: CallPriority, now: Instant) -> Result<CallPriority, Rejection> {
        if self.is_disabled() {
            return Ok(call);
        }
        let mut locked = self.lock();
        let (is_shadow, window) = (locked.settings.shadow, locked.settings.window);
        let quantile = f64::from(call.quantile);
        let (is_admitted, change) = locked.window.admit(now, quantile, is_shadow);
        self.note(&locked);
        drop(locked);
        self.report(change, is_shadow);
        if is_admitted {
            return Ok(call);
        }
        let class = call.priority.class();
        // This count first: the recorder may panic.
        self.shed.add(class);
        self.metrics.count_shed(class);
        if is_shadow {
            self.shadowed.add(class);
            return Ok(call);
        }
        let rejection = Rejection::overloaded(self.name().clone());
        let rejection = rejection.with_reason("calls of a higher priority come first");
        // After that, what was shed until now is forgotten.
        Err(rejection.with_retry_after(window))
    }

    /// Counts what a call says about the load further in, at its head and at its end: once, or a pushback in place of what its head
    /// has said.
    #[inline]
    pub(super) fn record(
        &self,
        call: &mut PrioritizedCall,
        sign: LoadSign,
        now: impl FnOnce() -> Instant,
    ) {
        match sign {
            LoadSign::Room if call.result == CallResult::Unknown => {
                if self.is_watching.load(Ordering::Relaxed) {
                    self.count_result(call, sign, now());
                } else {
                    self.lanes.count_accepted();
                    call.result = CallResult::AcceptedSometime;
                }
            }
            LoadSign::NoRoom if call.result != CallResult::Failed => {
                self.count_result(call, sign, now());
            }
            _ => {}
        }
    }

    #[cold]
    fn count_result(&self, call: &mut PrioritizedCall, sign: LoadSign, now: Instant) {
        let mut locked = self.lock();
        // Before the first pushback counts: it is one of so many calls.
        let ended = self.add_accepted(&mut locked, now);
        let (result, change) = match (sign, call.result) {
            (LoadSign::Room, _) => {
                let (slice, change) = locked.window.accept(now);
                (CallResult::Accepted { slice }, change)
            }
            (_, CallResult::AcceptedSometime) => (CallResult::Failed, locked.window.fail_late(now)),
            (_, before) => {
                let change = locked.window.fail(now, before.slice());
                (CallResult::Failed, change)
            }
        };
        let change = change.or(ended);
        call.result = result;
        self.note(&locked);
        let is_shadow = locked.settings.shadow;
        drop(locked);
        if sign == LoadSign::NoRoom {
            let class = call.priority.priority.class();
            self.pushed_back.add(class);
            self.metrics.count_pushed_back(class);
        }
        self.report(change, is_shadow);
    }

    /// Keeps what calls read without the lock; under it, so that the last word is the newest.
    fn note(&self, locked: &Locked) {
        let counts = locked.window.counts();
        let may_shed = locked.window.probability() > 0.0;
        self.may_shed.store(may_shed, Ordering::Relaxed);
        let is_watching = counts.failed > 0 || counts.all_rejected() > 0;
        self.is_watching.store(is_watching, Ordering::Relaxed);
    }

    /// Returns whether calls are shed, or were in this window.
    pub(super) fn is_shedding(&self, now: Instant) -> bool {
        let (rate, rejected) = self.advance(now);
        rate > 0.0 || rejected > 0
    }

    /// Returns the fraction of calls that is shed, and the number that was shed in this window.
    fn advance(&self, now: Instant) -> (f64, u64) {
        let mut locked = self.lock();
        let change = locked.window.advance(now);
        self.add_accepted(&mut locked, now);
        self.note(&locked);
        let rejected = locked.window.counts().all_rejected();
        let seen = (locked.window.probability(), rejected);
        let is_shadow = locked.settings.shadow;
        drop(locked);
        self.report(change, is_shadow);
        seen
    }

    pub(super) fn stats(&self, now: Instant) -> PrioritizerStats {
        let (shed_rate, _) = self.advance(now);
        let locked = self.lock();
        // Under the lock: none is moved from the lanes to the arrivals meanwhile.
        let (waiting, added) = (self.lanes.by_class(), locked.arrivals.by_class());
        drop(locked);
        let classes = PriorityClass::ALL.map(|class| {
            let index = class as usize;
            let (calls, shed) = (waiting[index] + added[index], self.shed.get(class));
            ClassStats {
                // Saturating: the counts are read one after the other.
                admitted: (calls + self.shadowed.get(class)).saturating_sub(shed),
                shed,
                pushed_back: self.pushed_back.get(class),
            }
        });
        PrioritizerStats { shed_rate, classes }
    }

    pub(super) fn settings(&self) -> PrioritizerSettings {
        self.lock().settings.clone()
    }

    /// Applies settings. Logs what has changed.
    pub(super) fn apply(&self, to: &PrioritizerSettings) -> Result<(), ConfigError> {
        to.check(self.name().as_str())?;
        let mut locked = self.lock();
        let changes = locked.settings.changes(to);
        if changes.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let ended = self.add_accepted(&mut locked, now);
        let change = locked.window.set_config(to.config(), now).or(ended);
        locked.settings = to.clone();
        self.note(&locked);
        let lift_rate = to.lift_rate().to_bits();
        self.lift_rate.store(lift_rate, Ordering::Relaxed);
        let class = to.default_class as u8;
        self.default_class.store(class, Ordering::Relaxed);
        drop(locked);
        self.report(change, to.shadow);
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::priority",
                prioritizer = self.name().as_str(),
                changes = &*changes.text(),
                "prioritizer settings applied"
            );
        });
        Ok(())
    }

    pub(super) fn set_shadow(&self, on: bool) {
        self.lock().settings.shadow = on;
    }

    /// Forgets the load and the distribution, and sheds again if it was disabled.
    pub(super) fn reset(&self) {
        self.is_disabled.store(false, Ordering::Relaxed);
        let now = Instant::now();
        let mut locked = self.lock();
        self.lanes.take_accepted();
        locked.counted_until = now;
        let change = locked.window.reset(now);
        self.lanes.take_all(&mut locked.arrivals);
        locked.arrivals.reset();
        self.distribution.reset();
        self.note(&locked);
        let is_shadow = locked.settings.shadow;
        drop(locked);
        self.report(change, is_shadow);
    }

    pub(super) fn disable(&self) {
        self.is_disabled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.is_disabled.load(Ordering::Relaxed)
    }

    /// Tells subscribers and the log that calls are shed, or not any more.
    fn report(&self, change: Option<WindowChange>, shadow: bool) {
        let Some(change) = change else { return };
        REPORT.publish(self.name(), change, shadow);
        let prioritizer = self.name().as_str();
        catch_hook(|| match change {
            WindowChange::Began => {
                tracing::warn!(target: "tower_keep::priority", prioritizer, shadow, "prioritizer sheds calls")
            }
            WindowChange::Ended => {
                tracing::info!(target: "tower_keep::priority", prioritizer, shadow, "prioritizer sheds no calls any more")
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
