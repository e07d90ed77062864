use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    BulkheadSettings, BulkheadStats, QueueOrder,
    adaptive_limit::{AdaptiveLimit, StartAlgorithm, report_adapted},
    counts::BulkheadCounts,
    estimate::expected_wait,
    metrics::BulkheadMetrics,
    permit::SlotPermit,
    queue::{Removed, Settled, Ticket, WaitQueue},
    recent_run::RecentRun,
    reject_reason::RejectReason,
    run_result::RunResult,
    slots::{Freed, Slots, Taken},
    wait_rules::WaitEnd,
};
use crate::{
    adaptive::{Adapted, LimitSample, Load},
    call::{Label, Rejection, catch_hook},
    guard::ReadySignal,
    util::{
        padded::Padded,
        sync::{Mutex, MutexGuard},
    },
};

/// The state that all clones of a bulkhead share.
pub(super) struct BulkheadShared {
    hot: Padded<Hot>,
    until_head: AtomicBool,
    pub(super) counts: BulkheadCounts,
    pub(super) metrics: BulkheadMetrics,
    /// Wakes handles that wait for readiness.
    pub(super) signal: ReadySignal,
    adaptive: AdaptiveLimit,
    locked: Mutex<Locked>,
}

/// The state that each call writes, on a cache line of its own.
struct Hot {
    slots: Slots,
    recent_run: RecentRun,
}

/// The state that is changed under the lock. No code of others runs under it: wakers are woken and dropped afterwards.
struct Locked {
    queue: WaitQueue,
    settings: BulkheadSettings,
}

/// The kinds of those that wait for a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WaiterKind {
    /// A call, which may wait for so long and among so many. With its deadline, and where its priority stands.
    Call {
        deadline: Option<Instant>,
        quantile: Option<f32>,
    },
    /// A handle that waits for readiness, for as long as its caller wants.
    Handle,
}

/// The result of an attempt to wait for a slot.
#[derive(Debug)]
pub(super) enum SlotAttempt {
    /// A slot was free.
    Granted,
    Waits(Ticket, WaitEnd),
    Rejected(RejectReason),
}

/// The tasks that are to be woken once the lock is free.
#[derive(Default)]
#[must_use = "whoever waits is not woken"]
struct Wakes {
    wakers: Vec<Waker>,
    handles: bool,
}

impl BulkheadShared {
    pub(super) fn new(
        name: Label,
        settings: BulkheadSettings,
        algorithm: Option<StartAlgorithm>,
    ) -> Arc<Self> {
        let mut queue = WaitQueue::new();
        queue.set_order(settings.queue_order);
        Arc::new(BulkheadShared {
            hot: Padded(Hot {
                slots: Slots::new(settings.limit),
                recent_run: RecentRun::default(),
            }),
            until_head: AtomicBool::new(settings.until_head),
            counts: BulkheadCounts::new(),
            metrics: BulkheadMetrics::new(name),
            signal: ReadySignal::new(),
            adaptive: AdaptiveLimit::new(&settings, algorithm),
            locked: Mutex::new(Locked { queue, settings }),
        })
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    #[inline]
    pub(super) fn slots(&self) -> &Slots {
        &self.hot.slots
    }

    pub(super) fn limit(&self) -> u32 {
        self.slots().load().limit()
    }

    pub(super) fn settings(&self) -> BulkheadSettings {
        self.lock().settings.clone()
    }

    /// Returns how many calls and handles wait.
    pub(super) fn queued(&self) -> u32 {
        self.lock().queue.len()
    }

    /// Applies checked settings, and logs what they have changed.
    pub(super) fn apply(&self, settings: &BulkheadSettings) {
        let now = Instant::now();
        let mut locked = self.lock();
        let changes = locked.settings.changes(settings);
        if changes.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut locked.settings, settings.clone());
        locked.queue.set_order(settings.queue_order);
        // Relaxed: a call reads it when it begins, and nothing else depends on it.
        self.until_head
            .store(settings.until_head, Ordering::Relaxed);
        // Under the lock, so that threads that apply some at once leave those of the same in both places.
        let limit = self.limit_after(&before, settings);
        let handles = self.slots().set_limit(limit);
        if before.adaptive != settings.adaptive {
            self.adaptive.restart(settings, limit);
        }
        let mut wakes = self.grant(&mut locked, now);
        drop(locked);
        wakes.handles |= handles;
        self.wake(wakes);
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

    /// Returns the limit that follows from new settings: the one that was set, or that of now, as it has adapted itself.
    fn limit_after(&self, before: &BulkheadSettings, settings: &BulkheadSettings) -> u32 {
        match &settings.adaptive {
            Some(adaptive) if before.limit == settings.limit => {
                self.limit().clamp(adaptive.min, adaptive.max)
            }
            _ => settings.limit,
        }
    }

    /// Has the limit adapt itself to the end of a call, which still has its slot.
    #[inline]
    pub(super) fn adapt(&self, permit: &SlotPermit, sample: LimitSample, now: Instant) {
        let word = self.slots().load();
        let load = Load {
            // A slot that was given back at the head is the call's own.
            in_flight: word.in_flight() + u32::from(permit.held_for.is_some()),
            limit: word.limit(),
        };
        if let Some(adapted) = self.adaptive.judge(sample, load, now) {
            self.adapt_to(adapted, load.limit, now);
        }
    }

    #[cold]
    fn adapt_to(&self, adapted: Adapted, before: u32, now: Instant) {
        let is_in_force = adapted.limit == before || self.replace_limit(before, adapted.limit, now);
        if is_in_force && let Some(report) = adapted.report {
            report_adapted(self.name(), self.slots().load().state(), report);
        }
    }

    /// Replaces the limit, unless it is another one by now; returns whether it did.
    fn replace_limit(&self, before: u32, limit: u32, now: Instant) -> bool {
        let mut locked = self.lock();
        // Settings that were applied meanwhile come first.
        if !self.adaptive.is_on() || self.limit() != before {
            return false;
        }
        let handles = self.slots().set_limit(limit);
        let mut wakes = self.grant(&mut locked, now);
        drop(locked);
        wakes.handles |= handles;
        self.wake(wakes);
        self.metrics.report_limit(limit);
        catch_hook(|| {
            tracing::debug!(
                target: "tower_keep::bulkhead",
                bulkhead = self.name().as_str(),
                from = before,
                to = limit,
                "limit adapted"
            );
        });
        true
    }

    /// Takes a slot if one is free; returns whether it did.
    #[inline]
    pub(super) fn take_slot(&self) -> bool {
        match self.slots().try_take() {
            Taken::None => false,
            Taken::Slot => true,
            Taken::LastSlot => {
                self.signal.wake();
                true
            }
        }
    }

    /// Takes a slot for a call that begins now, or rejects the call: it cannot wait.
    #[inline]
    pub(super) fn try_acquire(&self) -> Result<SlotPermit, Rejection> {
        if self.take_slot() {
            Ok(self.permit())
        } else {
            Err(self.reject(RejectReason::Full))
        }
    }

    /// Makes the permit of a call that has taken a slot.
    #[inline]
    pub(super) fn permit(&self) -> SlotPermit {
        SlotPermit {
            in_flight: self.metrics.enter(self.limit()),
            until_head: self.until_head.load(Ordering::Relaxed),
            is_adaptive: self.adaptive.is_on(),
            held_for: None,
        }
    }

    #[cold]
    pub(super) fn reject(&self, reason: RejectReason) -> Rejection {
        self.counts.count_rejection(reason);
        let limit = self.limit();
        self.metrics.count_rejection(reason, limit);
        let rejection = Rejection::full(self.name().clone());
        let rejection = match reason {
            // All that there is to say.
            RejectReason::Full => rejection,
            _ => rejection.with_reason(reason.as_str()),
        };
        // No lock where no queue is: a full bulkhead may reject very often.
        let ahead = match self.slots().load().is_queued() {
            true => self.queued(),
            false => 0,
        };
        match expected_wait(self.hot.recent_run.get(), ahead, limit) {
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
        if result != RunResult::Inconclusive {
            // Right before the slot, which is on the same cache line.
            self.hot.recent_run.add(time);
        }
        if permit.held_for.is_none() {
            self.give_back(&mut permit);
        }
        self.counts.count_run(result, time);
        self.metrics.record_run(result, time, self.limit());
    }

    #[inline]
    pub(super) fn give_back(&self, permit: &mut SlotPermit) {
        // The slot first: nothing of the recorder's may keep it.
        self.free_slot();
        self.metrics.leave(std::mem::take(&mut permit.in_flight));
    }

    /// Gives a slot back that has no permit.
    #[inline]
    pub(super) fn free_slot(&self) {
        match self.slots().give_back() {
            Freed::Unwanted => {}
            Freed::WakesHandles => self.signal.wake(),
            Freed::Queued => self.grant_queued(),
        }
    }

    /// Joins the queue, unless a slot is free after all or the call may not wait.
    pub(super) fn join_queue(&self, kind: WaiterKind) -> SlotAttempt {
        let now = Instant::now();
        let mut locked = self.lock();
        // First, so that a slot that is given back from now on is reported to the queue.
        self.slots().set_queued();
        let mut wakes = Wakes::default();
        let joined = self.join_locked(&mut locked, kind, now, &mut wakes);
        if locked.queue.is_empty() {
            wakes.handles |= self.slots().clear_queued();
        }
        drop(locked);
        self.wake(wakes);
        joined
    }

    fn join_locked(
        &self,
        locked: &mut Locked,
        kind: WaiterKind,
        now: Instant,
        wakes: &mut Wakes,
    ) -> SlotAttempt {
        let Locked { queue, settings } = locked;
        // Not past those that wait.
        if queue.is_empty() && self.slots().try_take_queued() {
            return SlotAttempt::Granted;
        }
        let (end, quantile) = match kind {
            WaiterKind::Handle => (WaitEnd::NEVER, None),
            WaiterKind::Call { deadline, quantile } => {
                let end = WaitEnd::new(settings, deadline, now);
                if settings.queue_limit == 0 {
                    return SlotAttempt::Rejected(RejectReason::Full);
                }
                if end.is_hopeless(settings, queue.len(), self.hot.recent_run.get(), now) {
                    return SlotAttempt::Rejected(end.reason);
                }
                let is_full = queue.bounded_len() >= settings.queue_limit;
                let mut displaces = || match settings.queue_order {
                    QueueOrder::Fifo => false,
                    QueueOrder::Lifo => queue.displace_oldest(&mut wakes.wakers),
                    QueueOrder::Priority => queue.displace_lowest(quantile, &mut wakes.wakers),
                };
                if is_full && !displaces() {
                    return SlotAttempt::Rejected(RejectReason::QueueFull);
                }
                (end, quantile)
            }
        };
        let ticket = queue.push(end.until, kind != WaiterKind::Handle, quantile);
        SlotAttempt::Waits(ticket, end)
    }

    /// Returns what has become of a call that waits, or has this waker woken when that is known.
    pub(super) fn poll_queue(&self, ticket: &Ticket, waker: &Waker) -> Option<Settled> {
        let mut locked = self.lock();
        if let Some(settled) = locked.queue.take_settled(ticket) {
            return Some(settled);
        }
        // Most polls are those of the task that waits already.
        if locked.queue.will_wake(ticket, waker) {
            return None;
        }
        drop(locked);
        // Cloned, and the one before dropped, without the lock: both are the executor's code.
        let waker = waker.clone();
        let mut locked = self.lock();
        if let Some(settled) = locked.queue.take_settled(ticket) {
            drop(locked);
            return Some(settled);
        }
        let replaced = locked.queue.set_waker(ticket, waker);
        drop(locked);
        drop(replaced);
        None
    }

    /// Takes a call out of the queue, and returns what had become of it, if anything had.
    pub(super) fn leave_queue(&self, ticket: &Ticket) -> Option<Settled> {
        let mut locked = self.lock();
        let removed = locked.queue.remove(ticket);
        let was_last = matches!(removed, Removed::Waiting(_)) && locked.queue.is_empty();
        let handles = was_last && self.slots().clear_queued();
        drop(locked);
        if handles {
            self.signal.wake();
        }
        match removed {
            Removed::Settled(settled) => Some(settled),
            Removed::Waiting(waker) => {
                // Without the lock: it is the executor's code.
                drop(waker);
                None
            }
        }
    }

    /// Gives slots that are free to those that wait.
    #[cold]
    fn grant_queued(&self) {
        let now = Instant::now();
        let mut locked = self.lock();
        let wakes = self.grant(&mut locked, now);
        drop(locked);
        self.wake(wakes);
    }

    fn grant(&self, locked: &mut Locked, now: Instant) -> Wakes {
        let Locked { queue, settings } = locked;
        let (order, mut wakes) = (settings.queue_order, Wakes::default());
        if queue.is_empty() {
            return wakes;
        }
        while self.slots().try_take_queued() {
            if !queue.grant_next(order, now, &mut wakes.wakers) {
                // Nobody is left whose time is not over. No lock is needed for this step alone.
                self.slots().give_back();
                break;
            }
        }
        wakes.handles = queue.is_empty() && self.slots().clear_queued();
        wakes
    }

    fn wake(&self, wakes: Wakes) {
        for waker in wakes.wakers {
            catch_hook(|| waker.wake());
        }
        if wakes.handles {
            self.signal.wake();
        }
    }

    pub(super) fn stats(&self) -> BulkheadStats {
        let (queued, queue_limit) = {
            let locked = self.lock();
            (locked.queue.len(), locked.settings.queue_limit)
        };
        let word = self.slots().load();
        let [done, failed, inconclusive] = self.counts.ended();
        BulkheadStats {
            in_flight: word.in_flight(),
            limit: word.limit(),
            queued,
            queue_limit,
            done,
            failed,
            inconclusive,
            rejected: self.counts.rejected(),
            mean_run: self.counts.mean_run(),
            recent_run: self.hot.recent_run.get(),
            waited: self.counts.waited(),
            mean_wait: self.counts.mean_wait(),
            max_wait: self.counts.max_wait(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
