//! Where transitions go: metrics, the log, subscribers.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use metrics::Counter;
use tokio::sync::broadcast;

use super::{
    keyed::KeyMember,
    sinks::{log_transition, new_channel, rejection_counter, send_event},
    state::CircuitState,
    state_counts::StateCountGuard,
    transition::Transition,
};
use crate::{
    call::{Label, catch_hook},
    util::{per_recorder::PerRecorder, recorder::RecorderKind},
};

pub(super) struct Reporter {
    /// Made for the first subscriber: most breakers have none, and there may be one for each key.
    subscribers: OnceLock<broadcast::Sender<Transition>>,
    metrics: BreakerMetrics,
    /// True once the state has been shown to the global recorder.
    state_reported: AtomicBool,
}

/// Who keeps the metrics.
enum BreakerMetrics {
    Own(Box<OwnMetrics>),
    /// One of the breakers of many keys, which are counted together.
    Keyed(KeyMember),
}

struct OwnMetrics {
    rejections: PerRecorder<Counter>,
    /// Since the breaker was made.
    state_count: OnceLock<StateCountGuard>,
}

impl Reporter {
    pub(super) fn new() -> Self {
        Reporter::with_metrics(BreakerMetrics::Own(Box::new(OwnMetrics {
            rejections: PerRecorder::new(),
            state_count: OnceLock::new(),
        })))
    }

    pub(super) fn new_keyed(seat: KeyMember) -> Self {
        Reporter::with_metrics(BreakerMetrics::Keyed(seat))
    }

    fn with_metrics(meters: BreakerMetrics) -> Self {
        Reporter {
            subscribers: OnceLock::new(),
            metrics: meters,
            state_reported: AtomicBool::new(false),
        }
    }

    /// The place among the breakers of many keys, if it is one of those.
    pub(super) fn member(&self) -> Option<&KeyMember> {
        match &self.metrics {
            BreakerMetrics::Own(_) => None,
            BreakerMetrics::Keyed(seat) => Some(seat),
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.subscribers.get_or_init(new_channel).subscribe()
    }

    /// A recorder or subscriber that panics is counted and changes nothing.
    pub(super) fn report(&self, event: &Transition) {
        catch_hook(|| {
            let name = event.breaker.to_string();
            metrics::counter!(
                "tower_keep_breaker_transitions_total",
                "breaker" => name, "to" => event.to.as_str(), "reason" => event.reason.as_str(),
            )
            .increment(1);
        });
        match &self.metrics {
            BreakerMetrics::Own(own) => {
                if let Some(membership) = own.state_count.get() {
                    membership.transition(event.to);
                }
            }
            BreakerMetrics::Keyed(seat) => seat.transition(event.to),
        }
        catch_hook(|| log_transition(event));
        if let Some(subscribers) = self.subscribers.get() {
            send_event(subscribers, event);
        }
        if let Some(seat) = self.member() {
            seat.send_event(event);
        }
    }

    /// The breaker has been made, and is in this state. One of many keys is counted when its key is.
    pub(super) fn register(&self, breaker: &Label, state: CircuitState) {
        match &self.metrics {
            BreakerMetrics::Own(own) => {
                own.state_count
                    .get_or_init(|| StateCountGuard::new(breaker, state));
            }
            BreakerMetrics::Keyed(seat) => seat.report_state(),
        }
    }

    /// Shows the state to a recorder that has not seen it, because it was installed after the breaker was built. Cheap
    /// enough for every call.
    #[inline]
    pub(super) fn report_state(&self) {
        let listener = RecorderKind::current();
        let is_known = match listener {
            RecorderKind::None => true,
            RecorderKind::Global => self.state_reported.load(Ordering::Relaxed),
            // Nothing tells it from another that was shown before.
            RecorderKind::Local => false,
        };
        if !is_known {
            self.report_state_to(listener);
        }
    }

    #[cold]
    fn report_state_to(&self, listener: RecorderKind) {
        match &self.metrics {
            BreakerMetrics::Own(own) => {
                if let Some(membership) = own.state_count.get() {
                    membership.report();
                }
            }
            BreakerMetrics::Keyed(seat) => seat.report_state(),
        }
        let is_shown = listener == RecorderKind::Global;
        self.state_reported.store(is_shown, Ordering::Relaxed);
    }

    pub(super) fn count_rejection(&self, breaker: &Label) {
        let refusals = match &self.metrics {
            BreakerMetrics::Own(own) => &own.rejections,
            BreakerMetrics::Keyed(seat) => seat.rejections(),
        };
        catch_hook(|| {
            refusals.with(
                || rejection_counter(breaker),
                |counter| counter.increment(1),
            )
        });
    }
}
