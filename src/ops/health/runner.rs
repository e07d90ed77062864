//! The task of one check, which runs it again and again.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use futures_util::future::select;
use tokio::time::{Instant, sleep};

use super::{
    check::{Check, CheckFn},
    heartbeat::Heartbeat,
    run::LastRun,
    run_signal::RunSignal,
    schedule::{first_delay, next_delay},
    shared::Shared,
    trigger::CheckTrigger,
};

/// The shortest time between two runs that are triggered: a circuit may open and close many times a second.
const MIN_GAP: Duration = Duration::from_millis(100);

/// The task of a check.
pub(super) struct Runner {
    shared: Weak<Shared>,
    index: usize,
    signal: Arc<RunSignal>,
    check: CheckFn,
    trigger: Option<CheckTrigger>,
    interval: Duration,
    timeout: Duration,
    random: fastrand::Rng,
}

impl Runner {
    pub(super) fn new(shared: &Arc<Shared>, index: usize, check: Check, seed: u64) -> Self {
        let (config, check, trigger) = check.into_parts();
        Runner {
            shared: Arc::downgrade(shared),
            index,
            signal: shared.runs[index].clone(),
            check,
            trigger,
            interval: config.interval,
            timeout: config.timeout,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Runs the check until the last clone of the [`Health`](super::Health) is dropped.
    pub(super) async fn run(mut self) {
        let mut last = LastRun::none();
        let mut delay = first_delay(self.interval, self.random.f64());
        if let Some(shared) = self.shared.upgrade() {
            let at = SystemTime::now() + delay;
            shared.update(|model| model.set_next_at(self.index, at));
        }
        loop {
            self.wait(delay).await;
            self.signal.begin();
            let (result, duration) = last.run(&self.check, self.timeout).await;
            delay = next_delay(self.interval, self.random.f64());
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            // Before the result: whoever sees it and asks for the next run must not be taken for one who waits for this.
            self.signal.end();
            shared.on_result(self.index, result, duration, delay);
        }
    }

    /// Waits until a run is due, wanted, or triggered.
    async fn wait(&mut self, delay: Duration) {
        let due = pin!(sleep(delay));
        let wanted = pin!(self.signal.wanted());
        let due = select(due, wanted);
        let triggered = pin!(wait_for(&mut self.trigger, MIN_GAP.min(delay)));
        select(due, triggered).await;
    }
}

async fn wait_for(trigger: &mut Option<CheckTrigger>, gap: Duration) {
    match trigger {
        Some(trigger) => {
            sleep(gap).await;
            trigger.wait().await;
        }
        None => std::future::pending().await,
    }
}

/// Beats until the last clone is dropped.
pub(super) fn beat(shared: &Arc<Shared>) -> impl Future<Output = ()> + use<> {
    let shared = Arc::downgrade(shared);
    async move {
        while let Some(shared) = shared.upgrade() {
            shared.heartbeat.beat(Instant::now());
            drop(shared);
            sleep(Heartbeat::INTERVAL).await;
        }
    }
}
