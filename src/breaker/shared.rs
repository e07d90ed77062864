use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    CircuitBreakerBuilder,
    bucket::Bucket,
    call_sample::CallSample,
    config::BreakerConfig,
    error_text::{bounded_text, end_error_text},
    fast_path::FastPath,
    locked::Locked,
    permit::{BreakerPermit, PermitState},
    report::Reporter,
    retry_after::RetryAfterRules,
    settings::BreakerSettings,
    settings_log::log_applied,
    settings_version::next_settings_version,
    shared_duration::SharedDuration,
    state::CircuitState,
    state_machine::StateMachine,
    switch::SwitchMode,
    transition::Transition,
    validate::validate,
};
use crate::{
    call::{CallClock, CallEnd, ConfigError, Evidence, Label, Rejection, catch_hook},
    guard::{Head, ReadySignal, Rejects},
    protocol::upload::Upload,
    util::{
        padded::Padded,
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
    },
};

/// Formats the error of a call; only called if the call opens the circuit.
type ErrorText<'a> = &'a dyn Fn() -> Option<Box<str>>;

/// The breaker behind all of its handles: the state machine behind a lock, and the fast path beside it.
///
/// The lock is never held while user code runs: recorders, subscribers, wakers, the formatting of errors. The map of a
/// keyed breaker is the only lock that may be held while it is taken, and while it is held only the progress of an upload
/// is locked.
pub(super) struct BreakerShared {
    pub(super) name: Label,
    slow_call: SharedDuration,
    retry_after: RetryAfterRules,
    shadow: AtomicBool,
    pub(super) fast_path: FastPath,
    /// Padded: whoever takes it must not take the lines of what every call reads.
    locked: Padded<Mutex<Locked>>,
    pub(super) reporter: Reporter,
    /// Wakes callers that wait for readiness whenever the calls that are rejected may have changed.
    pub(super) signal: ReadySignal,
}

impl BreakerShared {
    /// Creates the breaker, and registers it with its switch.
    pub(super) fn new(
        mut builder: CircuitBreakerBuilder,
        config: BreakerConfig,
        reporter: Reporter,
    ) -> Arc<Self> {
        // Taken out: a breaker that held its switch would keep it set when the application's last handle of it is gone.
        let switch = builder.switch.take();
        let reporter = reporter.with_hook(builder.on_transition.take());
        let (version, mode) = switch
            .as_ref()
            .map_or_else(Default::default, |switch| switch.current());
        let shared = Arc::new(BreakerShared::with_switch_mode(
            builder, config, reporter, version, mode,
        ));
        shared.reporter.register(shared.state());
        if let Some(switch) = switch {
            // After the breaker has been counted: this may apply a mode at once, which moves it on in the counts.
            switch.register(&shared);
        }
        shared
    }

    fn with_switch_mode(
        builder: CircuitBreakerBuilder,
        config: BreakerConfig,
        reporter: Reporter,
        switch_version: u64,
        mode: SwitchMode,
    ) -> Self {
        let CircuitBreakerBuilder {
            name,
            head_rule,
            seed,
            ..
        } = builder;
        let BreakerSettings {
            slow_call,
            shadow,
            open_on_retry_after,
            ..
        } = config.settings;
        let labels = (name.clone(), reporter.key().cloned());
        let now = Instant::now();
        let machine = StateMachine::new(labels, config, seed, mode, now);
        let clock = machine.bucket_clock();
        let bucket = clock.bucket_at(now);
        BreakerShared {
            name,
            slow_call: SharedDuration::new(slow_call),
            shadow: AtomicBool::new(shadow),
            retry_after: RetryAfterRules::new(open_on_retry_after, head_rule),
            fast_path: FastPath::new(machine.state(), clock, bucket),
            locked: Padded(Mutex::new(Locked::new(
                machine,
                bucket,
                switch_version,
                mode,
            ))),
            reporter,
            signal: ReadySignal::new(),
        }
    }

    /// Returns the state, without the lock.
    pub(super) fn state(&self) -> CircuitState {
        self.fast_path.state()
    }

    /// Reports the state to a metrics recorder that does not have it. Must not be called under the lock.
    #[inline]
    pub(super) fn report_state(&self) {
        self.reporter.report_state();
    }

    pub(super) fn is_shadow(&self) -> bool {
        self.shadow.load(Ordering::Relaxed)
    }

    pub(super) fn set_shadow(&self, on: bool) {
        self.shadow.store(on, Ordering::Relaxed);
        // Under the lock: a circuit that opens later is a shadow to all whom its transition wakes.
        let is_closed = self.lock().machine.state() == CircuitState::Closed;
        // Some wait for the service, and may be rejected from now on; others for the circuit, and are not any more. While it
        // is closed there are none of those.
        if !on || !is_closed {
            self.signal.wake();
        }
    }

    /// Returns the settings as they are now.
    pub(super) fn settings(&self) -> BreakerSettings {
        self.settings_of(&self.lock())
    }

    fn settings_of(&self, locked: &Locked) -> BreakerSettings {
        BreakerSettings {
            // It has a setter of its own.
            shadow: self.is_shadow(),
            ..locked.machine.settings().clone()
        }
    }

    /// Checks settings, applies them, and logs what they have changed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub(super) fn apply_settings(&self, settings: &BreakerSettings) -> Result<(), ConfigError> {
        let config = validate(self.name.as_str(), settings)?;
        self.apply_config(next_settings_version(), &config);
        Ok(())
    }

    /// Applies checked settings, and logs what they have changed.
    pub(super) fn apply_config(&self, version: u64, config: &BreakerConfig) {
        if let Some(before) = self.apply(version, config) {
            let changes = before.changes(&config.settings);
            log_applied(&self.name, self.reporter.key(), None, &changes);
        }
    }

    /// Applies settings, unless later ones have been. Returns those of before if that has changed any.
    pub(super) fn apply(&self, version: u64, config: &BreakerConfig) -> Option<BreakerSettings> {
        let mut locked = self.lock();
        if version <= locked.settings_version {
            return None;
        }
        locked.settings_version = version;
        let before = self.settings_of(&locked);
        let settings = &config.settings;
        if before == *settings {
            return None;
        }
        let now = Instant::now();
        let clock = locked.machine.clock_of(config);
        if let Some(clock) = clock {
            // Before the window itself: what the pending words hold belongs to the window of before.
            self.fast_path.store_shape(clock.shape);
            self.move_pending(&mut locked, clock.bucket_at(now));
        }
        locked.machine.apply(config.clone(), clock, now);
        self.slow_call.set(settings.slow_call);
        let max_retry_after = settings.open_on_retry_after;
        self.retry_after.max_retry_after.set(max_retry_after);
        self.shadow.store(settings.shadow, Ordering::Relaxed);
        drop(locked);
        // Whoever waits for readiness looks again: a shadow may reject from now on, or not any more.
        self.signal.wake();
        Some(before)
    }

    /// Counts overdue probes as failed, without waiting for a call to notice.
    pub(super) fn expire_probes(&self) {
        if self.state() == CircuitState::HalfOpen {
            self.update(|machine| machine.expire(Instant::now()));
        }
    }

    /// Returns which calls would be rejected now. A closed circuit needs neither the lock nor the clock.
    #[inline]
    pub(super) fn rejects(&self, clock: &CallClock) -> Rejects {
        match self.state() {
            CircuitState::Closed | CircuitState::Disabled => Rejects::None,
            CircuitState::ForcedOpen => Rejects::All,
            CircuitState::Open | CircuitState::HalfOpen => self.rejects_locked(clock),
        }
    }

    #[cold]
    fn rejects_locked(&self, clock: &CallClock) -> Rejects {
        // A shadow rejects only when it is forced open, which has been answered before.
        if self.is_shadow() {
            return Rejects::None;
        }
        let now = clock.now();
        self.update_locked(self.lock(), &|| None, |locked| {
            // First: an overdue probe may end the phase, and a stalled one loses its slot.
            let transition = locked.machine.expire(now);
            (locked.machine.rejects(now), transition)
        })
    }

    /// Returns whether some calls would be rejected now. Needs neither the lock nor the clock.
    #[inline]
    pub(super) fn rejects_any(&self) -> bool {
        match self.state() {
            CircuitState::Closed | CircuitState::Disabled => false,
            CircuitState::ForcedOpen => true,
            CircuitState::Open | CircuitState::HalfOpen => !self.is_shadow(),
        }
    }

    /// Returns whether every call would be rejected now.
    pub(super) fn is_rejecting(&self) -> bool {
        self.rejects(&CallClock::default()).is_all()
    }

    /// Takes the lock, and counts the pending successes of the fast path.
    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        // Only a closed circuit has any. The state cannot change meanwhile: it changes under the lock alone.
        if self.state() == CircuitState::Closed {
            let bucket = locked.pending_bucket;
            let successes = self.fast_path.drain(locked.machine.generation(), bucket);
            locked.machine.record_successes(bucket.index, successes);
        }
        locked
    }

    #[inline]
    pub(super) fn admit(&self, clock: &CallClock) -> Result<BreakerPermit, Rejection> {
        // Read now, so that the time to the head can be told from it later. Without a slow limit nobody needs the clock.
        if self.slow_call.is_some() {
            clock.now();
        }
        if let Some(generation) = self.fast_path.closed_generation() {
            let state = PermitState::Admitted;
            return Ok(BreakerPermit { generation, state });
        }
        self.admit_not_closed(clock)
    }

    #[cold]
    fn admit_not_closed(&self, clock: &CallClock) -> Result<BreakerPermit, Rejection> {
        // No success that is counted later reports the state to a new recorder.
        self.report_state();
        let (generation, state) = self.fast_path.load();
        // Counts nothing, and so needs neither the lock nor the clock.
        if state == CircuitState::Disabled {
            let state = PermitState::Admitted;
            return Ok(BreakerPermit { generation, state });
        }
        let admitted = self.admit_locked(clock.now(), clock.has_upload());
        // Counted without the lock. A shadow counts what it would have rejected.
        let would_reject = |permit: &BreakerPermit| permit.state == PermitState::Uncounted;
        if admitted.as_ref().map_or(true, would_reject) {
            self.reporter.count_rejection(&self.name);
        }
        admitted
    }

    fn admit_locked(&self, now: Instant, has_upload: bool) -> Result<BreakerPermit, Rejection> {
        let locked = self.lock();
        // Most calls that come here are rejected by a circuit that stays open, which changes nothing.
        if let Err(retry_after) = locked.machine.check_not_open(now) {
            return self.reject(&locked, retry_after);
        }
        self.update_locked(locked, &|| None, |locked| {
            let (admitted, transition) = locked.machine.admit(now, has_upload);
            let admitted = admitted.or_else(|retry_after| self.reject(locked, retry_after));
            (admitted, transition)
        })
    }

    /// Rejects a call, unless the breaker is a shadow. A shadow rejects only what an override tells it to.
    fn reject(
        &self,
        locked: &Locked,
        retry_after: Option<Duration>,
    ) -> Result<BreakerPermit, Rejection> {
        if self.is_shadow() && locked.machine.state() != CircuitState::ForcedOpen {
            return Ok(BreakerPermit {
                generation: locked.machine.generation(),
                state: PermitState::Uncounted,
            });
        }
        let key = self.reporter.key();
        Err(locked.rejection(&self.name, key, retry_after))
    }

    /// Watches the upload of a call, which its caller may stall. Only that of a probe matters.
    pub(super) fn watch_upload(&self, permit: &BreakerPermit, upload: &Upload) {
        if matches!(permit.state, PermitState::Probe { .. }) {
            self.update(|machine| {
                machine.watch_upload(permit, upload.clone());
                None
            });
        }
    }

    /// Records that the service failed to become ready.
    pub(super) fn on_not_ready(&self) {
        self.update(|machine| machine.on_not_ready(Instant::now()));
    }

    /// Records the head of a response. A good one counts at once, since its body may take its time, and it decides a
    /// probe.
    #[inline]
    pub(super) fn on_head(&self, permit: &mut BreakerPermit, head: &Head<'_>) {
        // True of most heads.
        let is_plain_success = head.evidence == Evidence::Healthy
            && permit.state == PermitState::Admitted
            && !self.slow_call.is_some()
            && self.retry_after.is_disabled();
        if is_plain_success && self.fast_path.is_closed_in(permit.generation) {
            permit.state = self.record_success(permit.generation, head.clock);
        } else {
            self.on_head_slow(permit, head);
        }
    }

    #[cold]
    #[inline(never)]
    fn on_head_slow(&self, permit: &mut BreakerPermit, head: &Head<'_>) {
        // Before the head counts: where it closes the circuit, a wait would come a generation too late to open it.
        if !self.retry_after.is_disabled()
            && let Some(wait) = self.retry_after.head_wait(head)
        {
            let status = || Some(bounded_text(head.status));
            self.open_on_retry_after(permit, wait, head.clock.now(), &status);
        }
        // The clock is read here, so that the end of the call sees the time to the head.
        let slow = self
            .slow_call
            .get()
            .is_some_and(|limit| head.elapsed().is_some_and(|took| took >= limit));
        let (generation, state) = self.fast_path.load();
        // The wait has just opened the circuit, or another thread has changed it.
        if generation != permit.generation {
            return;
        }
        match permit.state {
            // A head that has failed counts at the end of its call, when the cause is known.
            PermitState::Admitted
                if state == CircuitState::Closed && head.evidence == Evidence::Healthy =>
            {
                if slow {
                    self.on_head_locked(permit, head, slow);
                } else {
                    permit.state = self.record_success(generation, head.clock);
                }
            }
            PermitState::Probe { .. } => self.on_head_locked(permit, head, slow),
            _ => {}
        }
    }

    #[cold]
    fn on_head_locked(&self, permit: &mut BreakerPermit, head: &Head<'_>, slow: bool) {
        let sample = CallSample::new(head.evidence, slow);
        let text = || {
            Some(match sample {
                Some(CallSample::SlowSuccess) => {
                    bounded_text(format_args!("too slow: {}", head.status))
                }
                _ => bounded_text(head.status),
            })
        };
        let now = head.clock.now();
        self.update_with_text(&text, |machine| machine.on_head(permit, sample, now));
    }

    /// Records the end of a call. `error` is its error, if the end itself cannot show one.
    #[inline]
    pub(super) fn complete(
        &self,
        permit: BreakerPermit,
        end: &CallEnd<'_>,
        error: Option<&dyn fmt::Display>,
    ) {
        if !self.try_complete_success(&permit, end.evidence(), end.clock) {
            self.complete_slow(&permit, end, error);
        }
    }

    /// Completes what most calls are, without the lock and without a [`CallEnd`]: a success that was counted at its head,
    /// or one of a closed circuit where no call is slow. Returns `false` for every other.
    #[inline]
    pub(super) fn try_complete_success(
        &self,
        permit: &BreakerPermit,
        evidence: Evidence,
        clock: &CallClock,
    ) -> bool {
        if evidence != Evidence::Healthy {
            return false;
        }
        if permit.state != PermitState::Admitted {
            return permit.state.is_counted();
        }
        if self.slow_call.is_some() || !self.fast_path.is_closed_in(permit.generation) {
            return false;
        }
        self.record_success(permit.generation, clock);
        true
    }

    #[cold]
    #[inline(never)]
    fn complete_slow(
        &self,
        permit: &BreakerPermit,
        end: &CallEnd<'_>,
        error: Option<&dyn fmt::Display>,
    ) {
        let text = || end_error_text(end).or_else(|| error.map(bounded_text));
        // Before the end counts, as at the head.
        if !self.retry_after.is_disabled()
            && let Some(wait) = self.retry_after.end_wait(end)
        {
            self.open_on_retry_after(permit, wait, end.now(), &text);
        }
        let (generation, state) = self.fast_path.load();
        if generation != permit.generation {
            return;
        }
        // What was counted at its head stays so, unless its body has broken.
        if permit.state.is_counted() && end.evidence() == Evidence::Inconclusive {
            return;
        }
        let sample = CallSample::from_end(end, self.slow_call.get());
        match (permit.state, sample) {
            (PermitState::Uncounted, _) | (PermitState::Admitted, None) => {}
            // Admitted by a disabled circuit, which counts nothing.
            (PermitState::Admitted | PermitState::Success { .. }, _)
                if state != CircuitState::Closed => {}
            // Every success without a head comes here if there is a slow limit, and needs no lock either.
            (PermitState::Admitted, Some(CallSample::Success)) => {
                self.record_success(generation, end.clock);
            }
            _ => self.update_with_text(&text, |machine| machine.on_end(permit, sample, end.now())),
        }
    }

    /// Opens the circuit for as long as the peer asks in its answer to this call.
    fn open_on_retry_after(
        &self,
        permit: &BreakerPermit,
        wait: Duration,
        now: Instant,
        text: ErrorText<'_>,
    ) {
        let generation = permit.generation;
        self.update_with_text(text, |machine| {
            machine.open_on_retry_after(generation, wait, now)
        });
    }

    #[inline]
    fn record_success(&self, generation: u64, clock: &CallClock) -> PermitState {
        self.fast_path.record_success(
            generation,
            clock,
            || self.report_state(),
            || self.rotate_bucket(generation, clock),
        )
    }

    /// Counts the first success of a bucket under the lock, and moves the fast path on to that bucket unless it is ahead
    /// already.
    #[cold]
    fn rotate_bucket(&self, generation: u64, clock: &CallClock) -> Bucket {
        // Counts what is pending, so the old bucket is complete but for what comes in from here on.
        let mut locked = self.lock();
        // Again, under the lock: the window may have got another shape since.
        let bucket = self.fast_path.bucket(clock);
        // The circuit has changed since the success was found to belong to it: it is too late.
        if locked.machine.generation() != generation {
            return bucket;
        }
        locked.machine.record_successes(bucket.index, 1);
        // A thread that read the clock earlier must not turn the word back to its bucket.
        if bucket.index > locked.pending_bucket.index {
            self.move_pending(&mut locked, bucket);
        }
        // A recorder is user code.
        drop(locked);
        self.report_state();
        bucket
    }

    /// Makes the pending words those of this bucket. What they hold belongs to the bucket of before: successes that other
    /// threads have added since the lock was taken.
    fn move_pending(&self, locked: &mut Locked, bucket: Bucket) {
        let before = std::mem::replace(&mut locked.pending_bucket, bucket);
        let generation = locked.machine.generation();
        let late = self.fast_path.drain(generation, bucket);
        locked.machine.record_successes(before.index, late);
    }

    /// Applies a mode of the switch. Versions may arrive out of order; the highest one wins.
    pub(super) fn apply_switch(&self, version: u64, mode: SwitchMode) {
        self.update_locked(self.lock(), &|| None, |locked| {
            if version <= locked.switch_version {
                return ((), None);
            }
            locked.switch_version = version;
            let transition = locked.machine.set_switch_mode(mode, Instant::now());
            ((), transition)
        });
    }

    /// Runs a step that may be a transition.
    pub(super) fn update(&self, step: impl FnOnce(&mut StateMachine) -> Option<Transition>) {
        self.update_with_text(&|| None, step);
    }

    fn update_with_text(
        &self,
        text: ErrorText<'_>,
        step: impl FnOnce(&mut StateMachine) -> Option<Transition>,
    ) {
        self.update_locked(self.lock(), text, |locked| ((), step(&mut locked.machine)));
    }

    /// Runs a step that may be a transition, publishes the new state, and reports it once the lock is free.
    fn update_locked<'a, R>(
        &'a self,
        mut locked: MutexGuard<'a, Locked>,
        text: ErrorText<'_>,
        step: impl FnOnce(&mut Locked) -> (R, Option<Transition>),
    ) -> R {
        let before = locked.machine.generation();
        let was_full = locked.machine.is_probing_at_limit();
        let (result, transition) = step(&mut locked);
        let has_free_slot = was_full && !locked.machine.is_probing_at_limit();
        // Before the state: whoever loads a new generation must find its run of successes.
        self.fast_path.store_run_id(locked.machine.run_id());
        let generation = locked.machine.generation();
        // Not by the transition: the reset of a closed circuit is none, and yet makes the calls in flight too late.
        if generation != before {
            // The pending words first: a success of the new generation must find it.
            self.fast_path.drain(generation, locked.pending_bucket);
            self.fast_path.store(generation, locked.machine.state());
        }
        match transition {
            Some(transition) => self.report(locked, transition, text),
            None => {
                drop(locked);
                // A probe without a result has left its slot to another call. That is no transition.
                if has_free_slot {
                    self.signal.wake();
                }
            }
        }
        result
    }

    /// Reports a transition, after those that other threads have queued before.
    fn report<'a>(
        &'a self,
        mut locked: MutexGuard<'a, Locked>,
        mut transition: Transition,
        text: ErrorText<'_>,
    ) {
        let is_open = matches!(transition.to, CircuitState::Open | CircuitState::ForcedOpen);
        transition.shadow = self.is_shadow();
        // Under the lock that made the transition, so that the queue has their order.
        let number = locked.queue(transition);
        drop(locked);
        // Callers that wait come first: what follows is user code and may take its time.
        self.signal.wake();
        let text = is_open.then(|| catch_hook(text)).flatten().flatten();
        let last_error = text.map(|text| Label::from(String::from(text)));
        let mut locked = self.lock();
        locked.complete(number, last_error);
        // The thread that is reporting comes to this transition as well. One that had come to it before would have stopped
        // there, and left the rest to this thread.
        if !locked.begin_reporting() {
            return;
        }
        while let Some(transition) = locked.next_transition() {
            drop(locked);
            self.reporter.report(&transition);
            locked = self.lock();
        }
    }
}
