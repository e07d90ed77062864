//! Waits for guards until a handle is ready.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Guard, Rejects, signal::SignalWaiter};
use crate::call::{CallClock, catch_hook};

/// Returns what the guards reject. Guards that panic reject nothing: a broken one must not take the service down.
#[inline]
pub(super) fn ask_rejects(guards: &impl Guard) -> Rejects {
    catch_hook(|| guards.rejects(&CallClock::default())).unwrap_or_default()
}

/// Returns whether the guards reject any call.
#[inline]
pub(super) fn ask_rejects_any(guards: &impl Guard) -> bool {
    catch_hook(|| guards.rejects_any(&CallClock::default())).unwrap_or(false)
}

/// The wakers of one handle that waits for guards. Empty, and nothing is allocated, while it does not wait.
#[derive(Debug, Default)]
pub(super) struct ReadyWaiter(Option<Box<ReadyWaiterInner>>);

#[derive(Debug, Default)]
struct ReadyWaiterInner {
    waiters: Vec<SignalWaiter>,
    /// The time at which to ask the guards again.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ReadyWaiter {
    /// Wakes the task when a guard changes what it rejects. Ask the guards again afterwards: they may have changed before the
    /// task was registered.
    pub(super) fn register(&mut self, guards: &impl Guard, cx: &mut Context<'_>) {
        let places = self.0.get_or_insert_default();
        // A guard has the same signals as long as it lives.
        if places.waiters.is_empty() {
            let signals = &mut places.waiters;
            catch_hook(|| {
                guards.ready_signals(&mut |signal| signals.push(SignalWaiter::new(signal)))
            });
        }
        for place in &places.waiters {
            place.register(cx.waker());
        }
    }

    /// Waits until this time; ready when it has come.
    pub(super) fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let places = self.0.get_or_insert_default();
        let sleep = places
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        // A reset takes the lock of the timer.
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx)
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        // Asked first: every call that did not have to wait comes here, and would pay for the drop.
        if self.0.is_some() {
            self.0 = None;
        }
    }
}

/// The time that a handle has waited to become ready; only tracked if a guard has it measured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum ReadyWait {
    #[default]
    None,
    Pending(Instant),
    Measured(Duration),
}

impl ReadyWait {
    pub(super) fn on_poll_ready(&mut self, ready: bool) {
        *self = match (*self, ready) {
            (ReadyWait::None, false) => ReadyWait::Pending(Instant::now()),
            (ReadyWait::Pending(start), true) => ReadyWait::Measured(start.elapsed()),
            (waiting, _) => waiting,
        };
    }

    pub(super) fn take(&mut self) -> Duration {
        match std::mem::take(self) {
            ReadyWait::Measured(wait) => wait,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use tokio::time::advance;

    use super::*;
    use crate::{call::CallEnd, guard::ReadySignal};

    const SECOND: Duration = Duration::from_secs(1);

    struct Says {
        rejects: Cell<Option<Rejects>>,
        signal: ReadySignal,
    }

    impl Guard for Says {
        type Permit = ();

        fn rejects(&self, _: &CallClock) -> Rejects {
            let says = self.rejects.get();
            says.unwrap_or_else(|| std::panic::resume_unwind(Box::new(())))
        }

        fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
            add(&self.signal);
        }

        fn on_end(&self, (): (), _: &CallEnd<'_>) {}
    }

    fn guard() -> Says {
        Says {
            rejects: Cell::new(None),
            signal: ReadySignal::new(),
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn guard_that_panics_rejects_nothing() {
        let guard = guard();
        assert_eq!(ask_rejects(&guard), Rejects::None);
        guard.rejects.set(Some(Rejects::All));
        assert_eq!(ask_rejects(&guard), Rejects::All);
    }

    #[test]
    fn guard_wakes_the_task_that_registered_until_it_no_longer_waits() {
        let (guard, wakes) = (guard(), Arc::new(Wakes::default()));
        let (waker, mut wait) = (wakes.clone().into(), ReadyWaiter::default());
        let woken = |wait: &mut ReadyWaiter| {
            wait.register(&guard, &mut Context::from_waker(&waker));
            guard.signal.wake();
            wakes.0.swap(0, Ordering::Relaxed)
        };
        assert_eq!((woken(&mut wait), woken(&mut wait)), (1, 1));
        wait.register(&guard, &mut Context::from_waker(&waker));
        wait.clear();
        guard.signal.wake();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn moment_is_waited_for_and_may_change_meanwhile() {
        let mut wait = ReadyWaiter::default();
        let start = Instant::now();
        let mut comes = |until| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            wait.poll_until(until, &mut cx).is_ready()
        };
        assert!(!comes(start + 2 * SECOND));
        advance(SECOND).await;
        assert!(!comes(start + 2 * SECOND));
        assert!(!comes(start + 3 * SECOND), "later than it was");
        advance(SECOND).await;
        assert!(!comes(start + 3 * SECOND));
        assert!(comes(start + 2 * SECOND), "earlier again");
    }

    #[tokio::test(start_paused = true)]
    async fn wait_lasts_from_the_first_poll_that_was_not_ready_to_the_first_that_was() {
        let mut wait = ReadyWait::default();
        wait.on_poll_ready(true);
        assert_eq!(wait.take(), Duration::ZERO);
        wait.on_poll_ready(false);
        advance(SECOND).await;
        wait.on_poll_ready(false);
        advance(SECOND).await;
        wait.on_poll_ready(true);
        advance(SECOND).await;
        wait.on_poll_ready(true);
        assert_eq!(wait.take(), 2 * SECOND);
        assert_eq!(wait.take(), Duration::ZERO, "told once");
        wait.on_poll_ready(false);
        assert_eq!(wait.take(), Duration::ZERO, "not over");
    }
}
