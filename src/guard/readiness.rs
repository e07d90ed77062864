//! Waits for guards until a handle is ready.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Guard, Refuses, signal::WaitingFor};
use crate::call::{Moment, quietly};

/// Asks the guards whether they refuse. Guards that panic refuse nothing: a broken one must not take the service down.
#[inline]
pub(super) fn refuses(guards: &impl Guard) -> Refuses {
    quietly(|| guards.refuses(&Moment::default())).unwrap_or_default()
}

/// The places of one handle among those that wait for guards. Empty, and nothing allocated, while nobody waits.
#[derive(Debug, Default)]
pub(super) struct GuardWait(Option<Box<Places>>);

#[derive(Debug, Default)]
struct Places {
    signals: Vec<WaitingFor>,
    /// When the guards asked to be asked again.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl GuardWait {
    /// Wakes the task when a guard changes what it refuses. Ask the guards again afterwards: they may have done so
    /// before anybody was there to be woken.
    pub(super) fn register(&mut self, guards: &impl Guard, cx: &mut Context<'_>) {
        let places = self.0.get_or_insert_default();
        if places.signals.is_empty() {
            let signals = &mut places.signals;
            quietly(|| guards.signals(&mut |signal| signals.push(WaitingFor::new(signal))));
        }
        for place in &places.signals {
            place.register(cx.waker());
        }
    }

    /// Waits until this moment; ready when it has come.
    pub(super) fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let places = self.0.get_or_insert_default();
        let sleep = places
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx)
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        if self.0.is_some() {
            self.0 = None;
        }
    }
}

/// The time that a handle has waited to become ready; only kept if a guard wants it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum WaitTime {
    #[default]
    No,
    Since(Instant),
    For(Duration),
}

impl WaitTime {
    pub(super) fn note(&mut self, ready: bool) {
        *self = match (*self, ready) {
            (WaitTime::No, false) => WaitTime::Since(Instant::now()),
            (WaitTime::Since(start), true) => WaitTime::For(start.elapsed()),
            (waiting, _) => waiting,
        };
    }

    pub(super) fn take(&mut self) -> Duration {
        match std::mem::take(self) {
            WaitTime::For(wait) => wait,
            _ => Duration::ZERO,
        }
    }
}
