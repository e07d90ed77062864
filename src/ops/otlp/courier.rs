use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::{sync::watch, time::sleep};

use super::{
    Signal,
    answer::Answer,
    config::Destination,
    control::{Done, ExportControl, past_stop},
    counts::{ItemCounts, Published},
    source::{Batch, SignalSource},
    transport::Transport,
};
use crate::retry::Backoff;

/// A collector that restarts is back after some of these.
const BACKOFF: Backoff =
    Backoff::exponential(Duration::from_millis(500)).max(Duration::from_secs(15));
/// The time for which a batch is tried again. Later ones wait in the queue meanwhile, so longer is not better.
const RETRY_TIME: Duration = Duration::from_secs(60);
/// The longest wait that a collector may ask for.
const MAX_AFTER: Duration = Duration::from_secs(30);

/// The task that brings the batches of one signal to the collector, one after the other.
pub(super) struct Courier {
    pub(super) signal: Signal,
    pub(super) source: SignalSource,
    pub(super) destination: Destination,
    pub(super) transport: Arc<Transport>,
    pub(super) resource: Arc<Resource>,
    pub(super) counts: Arc<ItemCounts>,
    pub(super) control: watch::Receiver<ExportControl>,
    pub(super) done: Arc<watch::Sender<Done>>,
    pub(super) published: Published,
}

/// The end of the attempts for one batch.
enum Delivered {
    Received { rejected: u64, message: String },
    Failed { reason: String },
}

impl Courier {
    pub(super) async fn run(mut self) {
        while self.wait().await {
            let control = *self.control.borrow_and_update();
            self.source.begin(&self.resource);
            while let Some(batch) = self.source.next(&self.resource) {
                self.deliver(&batch).await;
                self.counts.publish(&mut self.published);
            }
            self.counts.publish(&mut self.published);
            let signal = self.signal.index();
            self.done.send_modify(|done| done[signal] = control.flush);
            if control.stop_by.is_some() {
                return;
            }
        }
    }

    /// Waits until a round is due. Returns `false` if nobody is left who could ask for one.
    async fn wait(&mut self) -> bool {
        let due = pin!(self.source.is_due());
        let delay = pin!(sleep(self.source.delay()));
        let changed = pin!(self.control.changed());
        match select(changed, select(due, delay)).await {
            Either::Left((changed, _)) => changed.is_ok(),
            Either::Right(_) => true,
        }
    }

    async fn deliver(&self, batch: &Batch) {
        let attempts = pin!(self.attempts(batch));
        let cut = pin!(past_stop(self.control.clone()));
        let delivered = match select(attempts, cut).await {
            Either::Left((delivered, _)) => delivered,
            Either::Right(_) => Delivered::Failed {
                reason: "no answer before the end of the shutdown".to_owned(),
            },
        };
        match delivered {
            Delivered::Received { rejected, message } => {
                self.on_received(batch, rejected, &message)
            }
            Delivered::Failed { reason } => {
                self.counts.failed(batch.items);
                self.on_error(&reason);
            }
        }
    }

    async fn attempts(&self, batch: &Batch) -> Delivered {
        let begun = Instant::now();
        let mut delays = BACKOFF.delays();
        let mut control = self.control.clone();
        let mut tried_since_stop = false;
        loop {
            let attempt = self
                .transport
                .send(&self.destination, batch.message.clone());
            let (after, reason) = match attempt.await {
                Answer::Received { rejected, message } => {
                    return Delivered::Received { rejected, message };
                }
                Answer::Refused { reason } => return Delivered::Failed { reason },
                Answer::TryAgain { after, reason } => (after, reason),
            };
            self.on_error(&reason);
            let after = after.map(|after| after.min(MAX_AFTER));
            let wait = delays
                .next()
                .unwrap_or(RETRY_TIME)
                .max(after.unwrap_or_default());
            let now = Instant::now();
            let stop_by = control.borrow_and_update().stop_by;
            let may_wait = match stop_by {
                None => now + wait < begun + RETRY_TIME,
                // One more attempt, but no waiting for a collector to come back.
                Some(stop_by) => now + wait < stop_by && (after.is_some() || !tried_since_stop),
            };
            tried_since_stop |= stop_by.is_some();
            if !may_wait || !pause(now + wait, after.is_some(), &mut control).await {
                return Delivered::Failed { reason };
            }
        }
    }

    fn on_received(&self, batch: &Batch, rejected: u64, message: &str) {
        let signal = self.signal.as_str();
        if self.counts.sent(batch.items, rejected) {
            tracing::info!(target: "tower_keep::ops", signal, "the collector takes what is exported again");
        }
        if rejected > 0 || !message.is_empty() {
            tracing::warn!(target: "tower_keep::ops", signal, rejected, message, "the collector has rejected a part of what was exported");
        }
    }

    fn on_error(&self, reason: &str) {
        let signal = self.signal.as_str();
        // One line per outage.
        if self.counts.set_error(Some(reason)).is_none() {
            tracing::warn!(target: "tower_keep::ops", signal, reason, "the collector does not take what is exported");
        }
    }
}

/// Waits before another attempt. A flush ends the wait, unless the collector has asked for it. Returns `false` if the exporter stops
/// before its end.
async fn pause(
    until: Instant,
    is_asked: bool,
    control: &mut watch::Receiver<ExportControl>,
) -> bool {
    loop {
        let slept = pin!(tokio::time::sleep_until(until.into()));
        match select(slept, pin!(control.changed())).await {
            Either::Left(_) => return true,
            Either::Right((Err(_), _)) => return false,
            Either::Right((Ok(()), _)) if !is_asked => return true,
            Either::Right((Ok(()), _)) => {}
        }
        let stop_by = control.borrow_and_update().stop_by;
        if stop_by.is_some_and(|stop_by| stop_by <= until) {
            return false;
        }
    }
}
