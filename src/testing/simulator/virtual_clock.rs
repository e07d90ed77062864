use std::time::Duration;

use futures_util::FutureExt;
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, advance},
};

/// Tokio's clock, paused, which stands still but for what a simulation moves it by: every handle that reads it sees the
/// simulated time.
#[derive(Debug)]
pub(super) struct VirtualClock {
    start: Instant,
    elapsed: Duration,
}

impl VirtualClock {
    /// Runs work on a clock of its own, in or outside of a runtime.
    ///
    /// # Panics
    ///
    /// Panics if tokio cannot create a runtime.
    pub(super) fn run<R>(work: impl FnOnce(VirtualClock) -> R) -> R {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = OwnedRuntime(Some(runtime.expect("a runtime without I/O needs nothing")));
        let _entered = runtime.0.as_ref().map(Runtime::enter);
        work(VirtualClock {
            start: Instant::now(),
            elapsed: Duration::ZERO,
        })
    }

    /// Returns the simulated time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    pub(super) fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    /// Moves the clock on to a time since the start. It never goes back.
    pub(super) fn advance_to(&mut self, elapsed: Duration) {
        let step = elapsed.saturating_sub(self.elapsed);
        if !step.is_zero() {
            // The first poll moves the clock. The rest yields to timers, of which there are none.
            let _yields = advance(step).now_or_never();
            self.elapsed = elapsed;
        }
    }
}

/// A runtime that may be dropped inside of another one.
#[derive(Debug)]
struct OwnedRuntime(Option<Runtime>);

impl Drop for OwnedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_nanos(1_500_000_001);

    #[test]
    fn clock_of_tokio_is_the_simulated_one_to_the_nanosecond() {
        let elapsed = VirtualClock::run(|mut clock| {
            clock.advance_to(STEP);
            clock.advance_to(STEP / 2);
            assert_eq!(clock.now(), Instant::now());
            assert_eq!(clock.now() - clock.start, STEP);
            clock.elapsed()
        });
        assert_eq!(elapsed, STEP);
    }

    #[tokio::test(start_paused = true)]
    async fn clock_of_a_runtime_around_it_stands_still() {
        let before = Instant::now();
        VirtualClock::run(|mut clock| clock.advance_to(STEP));
        assert_eq!(Instant::now(), before);
    }
}
