use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    CircuitBreakerBuilder,
    call_sample::CallSample,
    config::BreakerConfig,
    core::{BreakerCore, ErrorText},
    error_text::{bounded_text, end_error_text},
    locked::Locked,
    permit::{BreakerPermit, PermitState},
    report::Reporter,
    retry_after::RetryAfterRules,
    settings::BreakerSettings,
    settings_log::log_applied,
    settings_version::next_settings_version,
    state::CircuitState,
    state_machine::StateMachine,
    switch::SwitchMode,
    validate::validate,
};
use crate::{
    call::{CallClock, CallEnd, ConfigError, Evidence, Label, Rejection, SharedDuration},
    guard::Head,
    util::sync::atomic::Ordering,
};

/// The breaker behind all of its handles: its core, and the rules by which calls are counted.
pub(super) struct BreakerShared {
    pub(super) name: Label,
    slow_call: SharedDuration,
    retry_after: RetryAfterRules,
    pub(super) core: BreakerCore,
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
        shared.core.reporter.register(shared.core.state());
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
        let slow_call = config.settings.slow_call;
        let max_wait = config.settings.open_on_retry_after;
        let labels = (name.clone(), reporter.key().cloned());
        let now = Instant::now();
        let machine = StateMachine::new(labels, config, seed, mode, now);
        BreakerShared {
            name,
            slow_call: SharedDuration::new(slow_call),
            retry_after: RetryAfterRules::new(max_wait, head_rule),
            core: BreakerCore::new(machine, (switch_version, mode), now, reporter),
        }
    }

    /// Returns the settings as they are now.
    pub(super) fn settings(&self) -> BreakerSettings {
        self.settings_of(&self.core.lock())
    }

    fn settings_of(&self, locked: &Locked) -> BreakerSettings {
        BreakerSettings {
            // It has a setter of its own.
            shadow: self.core.is_shadow(),
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
            log_applied(&self.name, self.core.reporter.key(), None, &changes);
        }
    }

    /// Applies settings, unless later ones have been. Returns those of before if that has changed any.
    pub(super) fn apply(&self, version: u64, config: &BreakerConfig) -> Option<BreakerSettings> {
        let mut locked = self.core.lock();
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
        let shape = locked.machine.other_shape(config);
        if let Some(shape) = shape {
            // Before the window itself: what the pending words hold belongs to the window of before.
            self.core.fast_path.store_shape(shape);
            let bucket = self.core.fast_path.bucket(&CallClock::at(now));
            self.core.move_pending(&mut locked, bucket);
        }
        locked.machine.apply(config.clone(), shape, now);
        self.slow_call.set(settings.slow_call);
        let max_retry_after = settings.open_on_retry_after;
        self.retry_after.max_retry_after.set(max_retry_after);
        self.core.shadow.store(settings.shadow, Ordering::Relaxed);
        drop(locked);
        // Whoever waits for readiness looks again: a shadow may reject from now on, or not any more.
        self.core.signal.wake();
        Some(before)
    }

    #[inline]
    pub(super) fn admit(&self, clock: &CallClock) -> Result<BreakerPermit, Rejection> {
        // Read now, so that the time to the head can be told from it later. Without a slow limit nobody needs the clock.
        if self.slow_call.is_some() {
            clock.now();
        }
        if let Some(generation) = self.core.fast_path.closed_generation() {
            let state = PermitState::Admitted;
            return Ok(BreakerPermit { generation, state });
        }
        self.admit_not_closed(clock)
    }

    #[cold]
    fn admit_not_closed(&self, clock: &CallClock) -> Result<BreakerPermit, Rejection> {
        // No success that is counted later reports the state to a new recorder.
        self.core.report_state();
        let (generation, state) = self.core.fast_path.load();
        // Counts nothing, and so needs neither the lock nor the clock.
        if state == CircuitState::Disabled {
            let state = PermitState::Admitted;
            return Ok(BreakerPermit { generation, state });
        }
        let admitted = self.admit_locked(clock.now(), clock.has_upload());
        // Counted without the lock. A shadow counts what it would have rejected.
        let would_reject = |permit: &BreakerPermit| permit.state == PermitState::Uncounted;
        if admitted.as_ref().map_or(true, would_reject) {
            self.core.reporter.count_rejection(&self.name);
        }
        admitted
    }

    fn admit_locked(&self, now: Instant, has_upload: bool) -> Result<BreakerPermit, Rejection> {
        let locked = self.core.lock();
        // Most calls that come here are rejected by a circuit that stays open, which changes nothing.
        if let Err(retry_after) = locked.machine.check_not_open(now) {
            return self.reject(&locked, retry_after);
        }
        self.core.update_locked(locked, &|| None, |locked| {
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
        if self.core.is_shadow() && locked.machine.state() != CircuitState::ForcedOpen {
            return Ok(BreakerPermit {
                generation: locked.machine.generation(),
                state: PermitState::Uncounted,
            });
        }
        let key = self.core.reporter.key();
        Err(locked.rejection(&self.name, key, retry_after))
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
        if is_plain_success && self.core.fast_path.is_closed_in(permit.generation) {
            permit.state = self.core.record_success(permit.generation, head.clock);
        } else {
            self.on_head_slow(permit, head);
        }
    }

    #[cold]
    #[inline(never)]
    fn on_head_slow(&self, permit: &mut BreakerPermit, head: &Head<'_>) {
        // Before the head counts: where it closes the circuit, a wait would come a generation too late to open it.
        self.open_by_head(permit, head);
        // The clock is read here, so that the end of the call sees the time to the head.
        let slow = self
            .slow_call
            .get()
            .is_some_and(|limit| head.elapsed().is_some_and(|took| took >= limit));
        let (generation, state) = self.core.fast_path.load();
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
                    permit.state = self.core.record_success(generation, head.clock);
                }
            }
            PermitState::Probe { .. } => self.on_head_locked(permit, head, slow),
            _ => {}
        }
    }

    /// Opens the circuit for as long as the peer asks in the head of a response.
    fn open_by_head(&self, permit: &BreakerPermit, head: &Head<'_>) {
        if !self.retry_after.is_disabled()
            && let Some(wait) = self.retry_after.head_wait(head)
        {
            let status = || Some(bounded_text(head.status));
            self.core
                .open_on_retry_after(permit, wait, head.clock.now(), &status);
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
        self.core
            .update_with_text(&text, |machine| machine.on_head(permit, sample, now));
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
        if self.slow_call.is_some() || !self.core.fast_path.is_closed_in(permit.generation) {
            return false;
        }
        self.core.record_success(permit.generation, clock);
        true
    }

    /// Opens the circuit for as long as the peer asks in the error of a call.
    fn open_by_end(&self, permit: &BreakerPermit, end: &CallEnd<'_>, text: ErrorText<'_>) {
        if !self.retry_after.is_disabled()
            && let Some(wait) = self.retry_after.end_wait(end)
        {
            self.core.open_on_retry_after(permit, wait, end.now(), text);
        }
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
        self.open_by_end(permit, end, &text);
        let (generation, state) = self.core.fast_path.load();
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
                self.core.record_success(generation, end.clock);
            }
            _ => self
                .core
                .update_with_text(&text, |machine| machine.on_end(permit, sample, end.now())),
        }
    }
}
