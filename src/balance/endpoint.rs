use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    EndpointStats, EndpointStatus,
    live_config::LiveConfig,
    load::Tick,
    load_word::LoadWord,
    pick::{Candidate, EndpointLoad},
    rotation::EndpointId,
    slow_start,
};
use crate::{
    breaker::{CircuitBreaker, CircuitState},
    call::{CallClock, Evidence, Label},
    guard::{Guard, Rejects},
};

/// The state of an endpoint, which calls in flight keep after it is removed.
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    pub(super) label: Label,
    pub(super) breaker: CircuitBreaker,
    config: Arc<LiveConfig>,
    /// The time that ticks count from: that of the balancer.
    start: Instant,
    load: LoadWord,
    in_flight: AtomicU32,
    calls: AtomicU64,
    failures: AtomicU64,
    /// The number of calls that have failed in a row.
    failed_in_row: AtomicU32,
    is_ejected: AtomicBool,
    /// The time since the start at which it was new, or returned, in nanoseconds.
    in_rotation_since: AtomicU64,
}

impl Endpoint {
    pub(super) fn new(
        (id, label): (EndpointId, Label),
        breaker: CircuitBreaker,
        config: Arc<LiveConfig>,
        start: Instant,
        now: Instant,
    ) -> Self {
        let endpoint = Endpoint {
            id,
            label,
            breaker,
            config,
            start,
            load: LoadWord::new(),
            in_flight: AtomicU32::new(0),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failed_in_row: AtomicU32::new(0),
            is_ejected: AtomicBool::new(false),
            in_rotation_since: AtomicU64::new(0),
        };
        endpoint.begin_slow_start(now);
        endpoint
    }

    /// Returns what a call that picks its endpoint sees. Takes no lock unless the endpoint is ejected.
    #[inline]
    pub(super) fn candidate(&self, now: Instant) -> Candidate {
        if self.is_ejected() && self.config.is_enforced() {
            return self.ejected_candidate(now);
        }
        let since_start = self.since_start(now);
        let (tick, decay) = (Tick::at(since_start), self.config.decay());
        Candidate::InRotation(EndpointLoad {
            nanos: self.load.load().and_then(|load| load.nanos_at(decay, tick)),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            weight: self.weight(since_start),
            failed_in_row: self.failed_in_row.load(Ordering::Relaxed),
        })
    }

    #[cold]
    fn ejected_candidate(&self, now: Instant) -> Candidate {
        match self.breaker.rejects(&CallClock::at(now)) {
            Rejects::All | Rejects::AllUntil(_) => Candidate::Out,
            Rejects::None | Rejects::Some => Candidate::ProbeDue,
        }
    }

    #[inline]
    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    fn weight(&self, since_start: Duration) -> f64 {
        let Some(slow_start) = self.config.slow_start() else {
            return 1.0;
        };
        let since = Duration::from_nanos(self.in_rotation_since.load(Ordering::Relaxed));
        slow_start::weight(since_start.saturating_sub(since), Some(slow_start))
    }

    fn begin_slow_start(&self, now: Instant) {
        let since = self.since_start(now).as_nanos() as u64;
        self.in_rotation_since.store(since, Ordering::Relaxed);
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.is_ejected.load(Ordering::Relaxed)
    }

    /// Takes the endpoint out of rotation, or back into it, where it is new again.
    pub(super) fn set_ejected(&self, is_ejected: bool, now: Instant) {
        if !is_ejected {
            // What made it slow is over: the first answers tell how fast it is now.
            self.load.forget();
            self.begin_slow_start(now);
        }
        self.is_ejected.store(is_ejected, Ordering::Relaxed);
    }

    /// Forgets what calls have shown of it.
    pub(super) fn reset(&self) {
        self.load.forget();
        self.failed_in_row.store(0, Ordering::Relaxed);
        self.breaker.reset();
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Learns from an answer: from a healthy one how long it took, from an unhealthy one that it costs more than it took.
    pub(super) fn learn(&self, evidence: Evidence, latency: Option<Duration>, now: Instant) {
        let is_failure = match evidence {
            Evidence::Healthy => false,
            Evidence::Unhealthy => true,
            Evidence::Inconclusive => return,
        };
        let mut latency = latency.unwrap_or_default();
        if is_failure {
            self.failures.fetch_add(1, Ordering::Relaxed);
            let one_more = |failed: u32| failed.checked_add(1);
            let row = &self.failed_in_row;
            let _ = row.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
            latency = latency.saturating_add(self.config.failure_penalty());
        } else if self.failed_in_row.load(Ordering::Relaxed) > 0 {
            self.failed_in_row.store(0, Ordering::Relaxed);
        }
        let tick = Tick::new(self.start, now);
        self.load.observe(latency, self.config.decay(), tick);
    }

    pub(super) fn status(&self) -> EndpointStatus {
        match (self.is_ejected(), self.breaker.state()) {
            (false, _) => EndpointStatus::InRotation,
            (true, CircuitState::HalfOpen) => EndpointStatus::Probing,
            (true, _) => EndpointStatus::Ejected,
        }
    }

    pub(super) fn stats(&self, now: Instant) -> EndpointStats {
        EndpointStats {
            endpoint: self.label.clone(),
            status: self.status(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            latency: self.load.load().map(|load| load.latency()),
            weight: self.weight(self.since_start(now)),
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}
