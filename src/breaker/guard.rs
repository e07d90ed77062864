use super::{BreakerPermit, CircuitBreaker};
use crate::{
    call::{End, Moment, Rejection},
    guard::{Admit, Guard, Head, Refuses, Signal},
    protocol::upload::Upload,
};

impl Guard for CircuitBreaker {
    type Permit = BreakerPermit;

    #[inline]
    fn refuses(&self, now: &Moment) -> Refuses {
        self.shared.refuses(now)
    }

    #[inline]
    fn refuses_any(&self, _: &Moment) -> bool {
        self.shared.refuses_any()
    }

    fn signals(&self, add: &mut dyn FnMut(&Signal)) {
        add(&self.shared.signal);
    }

    #[inline]
    fn head(&self, permit: &mut BreakerPermit, head: &mut Head<'_>) {
        self.shared.head(permit, head);
    }

    #[inline]
    fn settle(&self, permit: BreakerPermit, end: &End<'_>) {
        self.shared.settle(permit, end);
    }

    fn unready(&self) {
        self.shared.unready();
    }

    fn watch_upload(&self, permit: &mut BreakerPermit, upload: &Upload) {
        self.shared.watch_upload(permit, upload);
    }
}

impl<Req> Admit<Req> for CircuitBreaker {
    #[inline]
    fn admit(&self, _: &mut Req, now: &Moment) -> Result<BreakerPermit, Rejection> {
        self.shared.admit(now)
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
    use crate::{Outcome, breaker::CircuitBreakerBuilder, guard::WaitingFor};

    const SECOND: Duration = Duration::from_secs(1);

    fn builder() -> CircuitBreakerBuilder {
        CircuitBreaker::builder("refusing")
            .consecutive_failures(1)
            .open_time(SECOND)
            .open_jitter(0.0)
            .probe_limit(10 * SECOND)
    }

    fn fail(breaker: &CircuitBreaker) {
        let permit = breaker.try_acquire().expect("it passes");
        permit.settle(Outcome::Failure);
    }

    /// Returns what it refuses, and whether that needs the clock.
    fn refuses(breaker: &CircuitBreaker) -> (Refuses, bool) {
        let now = Moment::default();
        let any = breaker.refuses_any(&now);
        let refuses = breaker.refuses(&now);
        assert_eq!(any, refuses != Refuses::No);
        (refuses, now.known().is_some())
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_says_until_when_and_reads_no_clock_while_closed() {
        let breaker = builder().probes(2).probe_ratio(1.0).build().expect("sound");
        let start = tokio::time::Instant::now();
        assert_eq!(refuses(&breaker), (Refuses::No, false));
        fail(&breaker);
        assert_eq!(refuses(&breaker), (Refuses::Until(start + SECOND), true));
        advance(SECOND).await;
        assert_eq!(refuses(&breaker).0, Refuses::Some);
        let first = breaker.try_acquire().expect("a probe");
        advance(SECOND).await;
        assert_eq!(refuses(&breaker).0, Refuses::Some);
        let _second = breaker.try_acquire().expect("a probe");
        let limit = start + 11 * SECOND;
        assert_eq!(refuses(&breaker).0, Refuses::Until(limit));
        drop(first);
        assert_eq!(refuses(&breaker).0, Refuses::Some);
        let _third = breaker.try_acquire().expect("a probe");
        // The second is overdue, and one of two is too many: open for twice as long, from now on.
        advance(10 * SECOND).await;
        assert_eq!(refuses(&breaker).0, Refuses::Until(start + 14 * SECOND));
        breaker.force_open();
        assert_eq!(refuses(&breaker), (Refuses::Yes, false));
        breaker.disable();
        assert_eq!(refuses(&breaker), (Refuses::No, false));
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_nothing_in_shadow_mode_but_what_is_forced() {
        let breaker = builder().shadow(true).build().expect("sound");
        fail(&breaker);
        assert_eq!(refuses(&breaker), (Refuses::No, false));
        breaker.force_open();
        assert_eq!(refuses(&breaker), (Refuses::Yes, false));
    }

    #[derive(Default)]
    struct Alarm(AtomicUsize);

    impl Wake for Alarm {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn signal_wakes_at_transitions_free_places_and_the_end_of_a_shadow() {
        let breaker = builder().probes(1).build().expect("sound");
        let mut signals = Vec::new();
        breaker.signals(&mut |signal| signals.push(signal.clone()));
        let waiting = WaitingFor::new(&signals[0]);
        let alarm = Arc::new(Alarm::default());
        let woken = |step: &dyn Fn()| {
            waiting.register(&alarm.clone().into());
            step();
            alarm.0.swap(0, Ordering::Relaxed) == 1
        };
        let succeed = || {
            let permit = breaker.try_acquire().expect("it passes");
            permit.settle(Outcome::Success);
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
        assert!(woken(&|| drop(permit.take())), "a place is free");
        assert!(woken(&succeed), "it closes");
        assert!(!woken(&|| breaker.set_shadow(true)));
        assert!(woken(&|| breaker.set_shadow(false)));
        assert!(woken(&|| breaker.force_open()));
    }
}
