use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
    vec::IntoIter,
};

use bytes::Bytes;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::trace::SpanData;

use super::{
    inbox::Inbox, log_record, log_record::ExportRecord, metric_messages,
    metric_messages::MessageTimes, spans,
};
use crate::ops::recorder::{Recorder, Value};

/// A message with the number of its items.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) message: Bytes,
    pub(super) items: u64,
}

/// The origin of the batches of one signal.
pub(super) enum SignalSource {
    Spans(QueuedItems<SpanData>),
    Logs(QueuedItems<ExportRecord>),
    Metrics(SeriesSource),
}

/// Items that wait in a queue.
pub(super) struct QueuedItems<T> {
    pub(super) inbox: Arc<Inbox<T>>,
    pub(super) delay: Duration,
    /// The items that were there at the beginning of this round, without those that were taken.
    left: usize,
}

/// The series of a recorder.
pub(super) struct SeriesSource {
    recorder: Option<Recorder>,
    interval: Duration,
    /// The time at which the exporter was started.
    started_at: SystemTime,
    messages: IntoIter<(Bytes, u64)>,
}

impl<T> QueuedItems<T> {
    pub(super) fn new(inbox: Arc<Inbox<T>>, delay: Duration) -> Self {
        QueuedItems {
            inbox,
            delay,
            left: 0,
        }
    }

    fn take(&mut self) -> Option<Vec<T>> {
        if self.left == 0 {
            return None;
        }
        let items = self.inbox.take();
        self.left = self.left.saturating_sub(items.len());
        (!items.is_empty()).then_some(items)
    }
}

impl SeriesSource {
    pub(super) fn new(recorder: Option<Recorder>, interval: Duration) -> Self {
        SeriesSource {
            recorder,
            interval,
            started_at: SystemTime::now(),
            messages: Vec::new().into_iter(),
        }
    }

    fn begin(&mut self, resource: &Resource) {
        let Some(recorder) = self.recorder.clone().or_else(Recorder::installed) else {
            return;
        };
        let start = match recorder.value("process_start_time_seconds", &[]) {
            Some(Value::Gauge(seconds)) => Duration::try_from_secs_f64(seconds).ok(),
            _ => None,
        };
        let start = start.and_then(|start| UNIX_EPOCH.checked_add(start));
        let now = SystemTime::now();
        let start = start
            .filter(|start| *start <= now)
            .unwrap_or(self.started_at);
        let families = recorder.exposed();
        self.messages =
            metric_messages::encode(&families, MessageTimes::new(start, now), resource).into_iter();
    }
}

impl SignalSource {
    /// Returns for how long items wait for others.
    pub(super) fn delay(&self) -> Duration {
        match self {
            SignalSource::Spans(queued) => queued.delay,
            SignalSource::Logs(queued) => queued.delay,
            SignalSource::Metrics(series) => series.interval,
        }
    }

    /// Waits until there is reason to begin before the delay has passed.
    pub(super) async fn is_due(&self) {
        match self {
            SignalSource::Spans(queued) => queued.inbox.full_batch().await,
            SignalSource::Logs(queued) => queued.inbox.full_batch().await,
            SignalSource::Metrics(_) => std::future::pending().await,
        }
    }

    /// Begins a round with all that is there.
    pub(super) fn begin(&mut self, resource: &Resource) {
        match self {
            SignalSource::Spans(queued) => queued.left = queued.inbox.len(),
            SignalSource::Logs(queued) => queued.left = queued.inbox.len(),
            SignalSource::Metrics(series) => series.begin(resource),
        }
    }

    /// Returns the next batch of the round.
    pub(super) fn next(&mut self, resource: &Resource) -> Option<Batch> {
        let (message, items) = match self {
            SignalSource::Spans(queued) => {
                let spans = queued.take()?;
                let items = spans.len() as u64;
                (spans::encode(spans, resource), items)
            }
            SignalSource::Logs(queued) => {
                let records = queued.take()?;
                let items = records.len() as u64;
                (
                    log_record::encode(records, resource, SystemTime::now()),
                    items,
                )
            }
            SignalSource::Metrics(series) => series.messages.next()?,
        };
        Some(Batch { message, items })
    }
}
