use std::{sync::Arc, thread, time::Duration};

use opentelemetry_proto::tonic::{common::v1::any_value::Value, resource::v1::Resource};
use opentelemetry_sdk::trace::SpanData;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::watch,
};

use super::{
    Signal,
    config::ExportConfig,
    control::{Done, ExportControl},
    counts::ItemCounts,
    courier::Courier,
    inbox::Inbox,
    log_record::{ExportRecord, attribute},
    own_thread,
    source::{QueuedItems, SeriesSource, SignalSource},
    tls,
    transport::Transport,
    variables::wrong,
};
use crate::call::ConfigError;

const THREAD_NAME: &str = "tower-keep-otlp";
/// Threads that look up host names, one per protocol at most.
const MAX_BLOCKING_THREADS: usize = 2;
/// The time that a process has to install its subscriber.
const START_TIME: Duration = Duration::from_secs(1);

/// The ends of the exporter's thread that others hold.
pub(super) struct Worker {
    pub(super) inboxes: Inboxes,
    pub(super) done: watch::Receiver<Done>,
    pub(super) runtime: Handle,
}

/// The queues of the signals that are exported.
#[derive(Clone, Debug, Default)]
pub(super) struct Inboxes {
    pub(super) spans: Option<Arc<Inbox<SpanData>>>,
    pub(super) logs: Option<Arc<Inbox<ExportRecord>>>,
}

impl Worker {
    /// Starts the thread of an exporter, with a runtime of its own: it works whatever the runtimes of the application do.
    pub(super) fn start(
        mut config: ExportConfig,
        counts: &[Arc<ItemCounts>; 3],
        control: watch::Receiver<ExportControl>,
    ) -> Result<Self, ConfigError> {
        let tls = tls::client_config(&config.tls, config.uses_tls())?;
        let no_thread = |error: std::io::Error| {
            wrong(
                "thread",
                &error.to_string(),
                "one that the system can start",
            )
        };
        let runtime = runtime().map_err(no_thread)?;
        let handle = runtime.handle().clone();
        // Each signal that is not exported has done all flushes.
        let is_exported = |signal: Signal| config.destinations[signal.index()].is_some();
        let done = Signal::ALL.map(|signal| if is_exported(signal) { 0 } else { u64::MAX });
        let (done_sender, done) = watch::channel(done);
        let mut inboxes = Inboxes::default();
        let ignored = std::mem::take(&mut config.ignored);
        let couriers = couriers(config, counts, &control, done_sender, tls, &mut inboxes);
        thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || run(runtime, couriers, ignored))
            .map_err(no_thread)?;
        Ok(Worker {
            inboxes,
            done,
            runtime: handle,
        })
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_name(THREAD_NAME)
        .on_thread_start(own_thread::mark)
        .build()
}

fn couriers(
    mut config: ExportConfig,
    counts: &[Arc<ItemCounts>; 3],
    control: &watch::Receiver<ExportControl>,
    done: watch::Sender<Done>,
    tls: rustls::ClientConfig,
    inboxes: &mut Inboxes,
) -> Vec<Courier> {
    let transport = Arc::new(Transport::new(tls));
    let resource = Arc::new(resource(&config.resource));
    let done = Arc::new(done);
    let mut couriers = Vec::new();
    for signal in Signal::ALL {
        let Some(destination) = config.destinations[signal.index()].take() else {
            continue;
        };
        let counts = counts[signal.index()].clone();
        let source = match signal {
            Signal::Traces => {
                let inbox = Arc::new(Inbox::new(&config.spans, counts.clone()));
                inboxes.spans = Some(inbox.clone());
                SignalSource::Spans(QueuedItems::new(inbox, config.spans.delay))
            }
            Signal::Logs => {
                let inbox = Arc::new(Inbox::new(&config.logs, counts.clone()));
                inboxes.logs = Some(inbox.clone());
                SignalSource::Logs(QueuedItems::new(inbox, config.logs.delay))
            }
            Signal::Metrics => SignalSource::Metrics(SeriesSource::new(
                config.recorder.take(),
                config.metric_interval,
            )),
        };
        couriers.push(Courier {
            signal,
            source,
            destination,
            transport: transport.clone(),
            resource: resource.clone(),
            counts,
            control: control.clone(),
            done: done.clone(),
            published: [0; 4],
        });
    }
    couriers
}

/// Runs the couriers to their end.
fn run(runtime: Runtime, couriers: Vec<Courier>, ignored: Vec<(&'static str, String)>) {
    own_thread::mark();
    runtime.block_on(async {
        tokio::spawn(tell_ignored(ignored));
        let tasks: Vec<_> = couriers
            .into_iter()
            .map(|courier| tokio::spawn(courier.run()))
            .collect();
        for task in tasks {
            // A panic of one does not end the others.
            let _ = task.await;
        }
    });
    // A lookup of a name may hang.
    runtime.shutdown_background();
}

/// Logs which variables are ignored, once the application has had time to install its subscriber: the layer comes from the exporter.
async fn tell_ignored(variables: Vec<(&'static str, String)>) {
    tokio::time::sleep(START_TIME).await;
    for (name, value) in variables {
        tracing::warn!(target: "tower_keep::ops", name, value, "the exporter ignores a variable that it does not know how to follow");
    }
}

fn resource(attributes: &[(String, String)]) -> Resource {
    let attributes = attributes
        .iter()
        .map(|(name, value)| attribute(name, Value::StringValue(value.clone())));
    Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    }
}
