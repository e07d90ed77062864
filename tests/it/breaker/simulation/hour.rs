//! An hour of one kind of client.
//!
//! A circuit closes soon if that takes no longer than twice the time that it was open for, counted from the end of the
//! outage, and the time that probes need for their heads. The open time is that of the last opening (jitter included);
//! the rest of it goes by before the peer is probed at all, and the second is for the probes to come. A head takes as
//! long as the peer has it take; a probe that began in an outage which hangs takes as long as its attempt may, and by
//! that time may open the circuit after the outage. Nothing else may.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use tokio::{sync::broadcast, time::sleep};
use tower_keep::{
    CircuitBreaker,
    breaker::{CircuitState, Transition},
};

use super::{
    clients::{Call, LIMIT},
    peer::Peer,
};

pub const HOUR: Duration = Duration::from_secs(3600);
/// Far enough from each other for the open time to have shrunk again.
pub const OUTAGES: [Range<Duration>; 2] = [
    Duration::from_secs(1800)..Duration::from_secs(1980),
    Duration::from_secs(3000)..Duration::from_secs(3040),
];

/// A transition, and when it was.
pub type Timed = (Duration, Transition);

/// The events of an hour; times are from its start.
#[derive(Debug)]
pub struct Hour {
    pub calls: Vec<Duration>,
    pub arrivals: Vec<Duration>,
    pub events: Vec<Timed>,
}

/// The recovery of one circuit after an outage.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// The time since the end of the outage.
    pub closed_after: Duration,
    /// Of the last opening before that.
    pub open_for: Duration,
    /// The time since the start of the hour.
    pub closed_at: Duration,
}

/// The number of callers, and how often each calls, on an average.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub callers: u64,
    pub every: Duration,
}

impl Hour {
    pub async fn run(
        seed: u64,
        load: Load,
        breaker: &CircuitBreaker,
        peer: Peer,
        call: Call,
    ) -> Hour {
        let events = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(watch(breaker.subscribe(), peer.clone(), events.clone()));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let callers = (0..load.callers).map(|caller| {
            let random = Rng::with_seed(seed * load.callers + caller);
            tokio::spawn(keep_calling(
                random,
                load.every,
                peer.clone(),
                call.clone(),
                calls.clone(),
            ))
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("no panic");
        }
        // What is still on its way to its head.
        sleep(LIMIT).await;
        Hour {
            calls: std::mem::take(&mut *calls.lock().expect("no panic")),
            arrivals: peer.arrivals(),
            events: std::mem::take(&mut *events.lock().expect("no panic")),
        }
    }

    pub fn openings(&self) -> impl Iterator<Item = &Timed> {
        self.events
            .iter()
            .filter(|(_, event)| event.to == CircuitState::Open)
    }

    pub fn openings_in(&self, time: Range<Duration>) -> usize {
        self.openings().filter(|(at, _)| time.contains(at)).count()
    }

    pub fn recovery(&self, outage: &Range<Duration>) -> Option<Recovery> {
        let closed = |(at, event): &&Timed| *at >= outage.end && event.to == CircuitState::Closed;
        let closed_at = self.events.iter().find(closed)?.0;
        let last = self
            .openings()
            .take_while(|(at, _)| *at < closed_at)
            .last()?;
        Some(Recovery {
            closed_after: closed_at - outage.end,
            open_for: last.1.open_for?,
            closed_at,
        })
    }

    /// Returns the fraction of the calls of these times that has reached the peer; none, if there were no calls.
    pub fn admitted(&self, times: &[Range<Duration>]) -> f64 {
        let during = |all: &[Duration]| {
            let within = |at: &&Duration| times.iter().any(|time| time.contains(at));
            all.iter().filter(within).count() as f64
        };
        during(&self.arrivals) / during(&self.calls).max(1.0)
    }
}

async fn watch(
    mut events: broadcast::Receiver<Transition>,
    peer: Peer,
    seen: Arc<Mutex<Vec<Timed>>>,
) {
    // One that lags behind ends the watch; the hour then lacks what came after.
    while let Ok(event) = events.recv().await {
        seen.lock().expect("no panic").push((peer.elapsed(), event));
    }
}

/// Calls at its own rate, whatever becomes of the calls before.
async fn keep_calling(
    mut random: Rng,
    every: Duration,
    peer: Peer,
    call: Call,
    calls: Arc<Mutex<Vec<Duration>>>,
) {
    sleep(every.mul_f64(random.f64())).await;
    for n in 0.. {
        let now = peer.elapsed();
        if now >= HOUR {
            return;
        }
        calls.lock().expect("no panic").push(now);
        tokio::spawn(call(n));
        sleep(every.mul_f64(0.75 + random.f64() / 2.0)).await;
    }
}
