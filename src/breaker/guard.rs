use super::{CircuitBreaker, permit::BreakerPermit};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, Head, ReadySignal, Rejects},
    protocol::upload::Upload,
};

impl Guard for CircuitBreaker {
    type Permit = BreakerPermit;

    #[inline]
    fn rejects(&self, clock: &CallClock) -> Rejects {
        self.shared.core.rejects(clock)
    }

    #[inline]
    fn rejects_any(&self, _: &CallClock) -> bool {
        self.shared.core.rejects_any()
    }

    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        add(&self.shared.core.signal);
    }

    #[inline]
    fn on_head(&self, permit: &mut BreakerPermit, head: &mut Head<'_>) {
        self.shared.on_head(permit, head);
    }

    #[inline]
    fn on_end(&self, permit: BreakerPermit, end: &CallEnd<'_>) {
        self.shared.complete(permit, end, None);
    }

    fn on_not_ready(&self) {
        self.shared.core.on_not_ready();
    }

    fn on_upload(&self, permit: &mut BreakerPermit, upload: &Upload) {
        self.shared.core.watch_upload(permit, upload);
    }
}

impl<Req> Admit<Req> for CircuitBreaker {
    #[inline]
    fn admit(&self, _: &mut Req, clock: &CallClock) -> Result<BreakerPermit, Rejection> {
        self.shared.admit(clock)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
        time::Duration,
    };

    use tokio::time::advance;

    use super::*;
    use crate::{Outcome, breaker::CircuitBreakerBuilder, guard::SignalWaiter};

    const SECOND: Duration = Duration::from_secs(1);

    fn builder() -> CircuitBreakerBuilder {
        CircuitBreaker::builder("rejecting")
            .consecutive_failures(1)
            .open_time(SECOND)
            .open_jitter(0.0)
            .probe_timeout(10 * SECOND)
    }

    fn fail(breaker: &CircuitBreaker) {
        let permit = breaker.try_acquire().expect("admitted");
        permit.complete(Outcome::Failure);
    }

    /// Returns what the breaker rejects, and whether that reads the clock.
    fn rejects(breaker: &CircuitBreaker) -> (Rejects, bool) {
        let now = CallClock::default();
        let any = breaker.rejects_any(&now);
        let rejects = breaker.rejects(&now);
        assert_eq!(any, rejects != Rejects::None);
        (rejects, now.peek().is_some())
    }

    #[tokio::test(start_paused = true)]
    async fn rejects_until_the_open_time_and_reads_no_clock_while_closed() {
        let breaker = builder()
            .probes(2)
            .probe_success_ratio(1.0)
            .build()
            .expect("valid settings");
        let start = tokio::time::Instant::now();
        assert_eq!(rejects(&breaker), (Rejects::None, false));
        fail(&breaker);
        assert_eq!(rejects(&breaker), (Rejects::AllUntil(start + SECOND), true));
        advance(SECOND).await;
        assert_eq!(rejects(&breaker).0, Rejects::Some);
        let first = breaker.try_acquire().expect("a probe");
        advance(SECOND).await;
        assert_eq!(rejects(&breaker).0, Rejects::Some);
        let _second = breaker.try_acquire().expect("a probe");
        let limit = start + 11 * SECOND;
        assert_eq!(rejects(&breaker).0, Rejects::AllUntil(limit));
        drop(first);
        assert_eq!(rejects(&breaker).0, Rejects::Some);
        let _third = breaker.try_acquire().expect("a probe");
        // The second is overdue, and one of two is too many: open for twice as long, from now on.
        advance(10 * SECOND).await;
        assert_eq!(rejects(&breaker).0, Rejects::AllUntil(start + 14 * SECOND));
        breaker.force_open();
        assert_eq!(rejects(&breaker), (Rejects::All, false));
        breaker.disable();
        assert_eq!(rejects(&breaker), (Rejects::None, false));
    }

    #[tokio::test(start_paused = true)]
    async fn rejects_in_shadow_mode_only_when_forced_open() {
        let breaker = builder().shadow(true).build().expect("valid settings");
        fail(&breaker);
        assert_eq!(rejects(&breaker), (Rejects::None, false));
        breaker.force_open();
        assert_eq!(rejects(&breaker), (Rejects::All, false));
    }

    #[derive(Default)]
    struct Alarm(AtomicUsize);

    impl Wake for Alarm {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Callers that waited for an open circuit waited on, for up to its open time, although a shadow rejects nobody.
    #[tokio::test(start_paused = true)]
    async fn ready_signal_wakes_when_shadow_mode_begins_while_calls_are_rejected() {
        let breaker = builder().build().expect("valid settings");
        let mut signals = Vec::new();
        breaker.ready_signals(&mut |signal| signals.push(signal.clone()));
        let (waiting, alarm) = (SignalWaiter::new(&signals[0]), Arc::new(Alarm::default()));
        fail(&breaker);
        waiting.register(&alarm.clone().into());
        breaker.set_shadow(true);
        assert_eq!(alarm.0.load(Ordering::Relaxed), 1);
        assert_eq!(rejects(&breaker).0, Rejects::None);
    }

    #[tokio::test(start_paused = true)]
    async fn ready_signal_wakes_at_transitions_free_slots_and_the_end_of_shadow_mode() {
        let breaker = builder().probes(1).build().expect("valid settings");
        let mut signals = Vec::new();
        breaker.ready_signals(&mut |signal| signals.push(signal.clone()));
        let waiting = SignalWaiter::new(&signals[0]);
        let alarm = Arc::new(Alarm::default());
        let woken = |step: &dyn Fn()| {
            waiting.register(&alarm.clone().into());
            step();
            alarm.0.swap(0, Ordering::Relaxed) == 1
        };
        let succeed = || {
            let permit = breaker.try_acquire().expect("admitted");
            permit.complete(Outcome::Success);
        };
        assert!(!woken(&succeed));
        assert!(woken(&|| fail(&breaker)), "it opens");
        advance(SECOND).await;
        let permit = std::cell::Cell::new(None);
        assert!(
            woken(&|| permit.set(breaker.try_acquire().ok())),
            "it half-opens"
        );
        assert!(!woken(&|| assert!(breaker.try_acquire().is_err())));
        assert!(woken(&|| drop(permit.take())), "a slot is free");
        assert!(woken(&succeed), "it closes");
        assert!(!woken(&|| breaker.set_shadow(true)));
        assert!(woken(&|| breaker.set_shadow(false)));
        assert!(woken(&|| breaker.force_open()));
    }
}
