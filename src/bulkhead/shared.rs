use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    BulkheadSettings, BulkheadStats, counts::Counts, estimate::expected_wait,
    metrics::BulkheadMetrics, permit::SlotPermit, reject_reason::RejectReason,
    run_result::RunResult, slots::Slots,
};
use crate::{
    call::{Label, Rejection, catch_hook},
    guard::ReadySignal,
    util::padded::Padded,
};

/// The state that all clones of a bulkhead share.
pub(super) struct BulkheadShared {
    pub(super) slots: Padded<Slots>,
    until_head: AtomicBool,
    pub(super) counts: Counts,
    pub(super) metrics: BulkheadMetrics,
    /// Wakes handles that wait for readiness.
    pub(super) signal: ReadySignal,
    settings: Mutex<BulkheadSettings>,
}

impl BulkheadShared {
    pub(super) fn new(name: Label, settings: BulkheadSettings) -> Arc<Self> {
        Arc::new(BulkheadShared {
            slots: Padded(Slots::new(settings.limit)),
            until_head: AtomicBool::new(settings.until_head),
            counts: Counts::new(),
            metrics: BulkheadMetrics::new(name),
            signal: ReadySignal::new(),
            settings: Mutex::new(settings),
        })
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    pub(super) fn limit(&self) -> u32 {
        self.slots.load().limit()
    }

    pub(super) fn settings(&self) -> BulkheadSettings {
        self.lock_settings().clone()
    }

    /// Applies checked settings, and logs what they have changed.
    pub(super) fn apply(&self, settings: &BulkheadSettings) {
        let mut current = self.lock_settings();
        let changes = current.changes(settings);
        if changes.is_empty() {
            return;
        }
        *current = settings.clone();
        // Relaxed: a call reads it when it begins, and nothing else depends on it.
        self.until_head
            .store(settings.until_head, Ordering::Relaxed);
        // Under the lock, so that threads that apply some at once leave those of the same in both places.
        let wakes = self.slots.set_limit(settings.limit);
        drop(current);
        if wakes {
            self.signal.wake();
        }
        self.metrics.report_limit(self.limit());
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::bulkhead",
                bulkhead = self.name().as_str(),
                changes = &*changes.text(),
                "bulkhead settings applied"
            );
        });
    }

    /// Takes a slot for a call that begins now, or rejects the call.
    #[inline]
    pub(super) fn try_acquire(&self) -> Result<SlotPermit, Rejection> {
        if self.slots.try_take() {
            Ok(self.permit())
        } else {
            Err(self.reject(RejectReason::Full))
        }
    }

    /// Makes the permit of a call that has taken a slot.
    #[inline]
    fn permit(&self) -> SlotPermit {
        SlotPermit {
            in_flight: self.metrics.enter(self.limit()),
            until_head: self.until_head.load(Ordering::Relaxed),
            held_for: None,
        }
    }

    #[cold]
    pub(super) fn reject(&self, reason: RejectReason) -> Rejection {
        self.counts.count_rejection(reason);
        let limit = self.limit();
        self.metrics.count_rejection(reason, limit);
        let rejection = Rejection::full(self.name().clone());
        match expected_wait(self.counts.recent_run(), 0, limit) {
            Some(wait) => rejection.with_retry_after(wait),
            None => rejection,
        }
    }

    /// Gives the slot of a call back before the call ends.
    #[inline]
    pub(super) fn release(&self, permit: &mut SlotPermit, held_for: Duration) {
        if permit.held_for.is_none() {
            permit.held_for = Some(held_for);
            self.give_back(permit);
        }
    }

    /// Counts a call that has ended, and gives its slot back unless that has been done.
    #[inline]
    pub(super) fn complete(&self, mut permit: SlotPermit, result: RunResult, elapsed: Duration) {
        let time = permit.held_for.unwrap_or(elapsed);
        if permit.held_for.is_none() {
            self.give_back(&mut permit);
        }
        self.counts.count_run(result, time);
        self.metrics.record_run(result, time, self.limit());
    }

    #[inline]
    fn give_back(&self, permit: &mut SlotPermit) {
        // The slot first: nothing of the recorder's may keep it.
        if self.slots.give_back() {
            self.signal.wake();
        }
        self.metrics.leave(std::mem::take(&mut permit.in_flight));
    }

    pub(super) fn stats(&self) -> BulkheadStats {
        let word = self.slots.load();
        let [done, failed, inconclusive] = self.counts.ended();
        BulkheadStats {
            in_flight: word.in_flight(),
            limit: word.limit(),
            done,
            failed,
            inconclusive,
            rejected: self.counts.rejected(),
            mean_run: self.counts.mean_run(),
            recent_run: self.counts.recent_run(),
        }
    }

    fn lock_settings(&self) -> MutexGuard<'_, BulkheadSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
