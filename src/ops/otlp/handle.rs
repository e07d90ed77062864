use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::{InstrumentationScope, trace::TracerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData};
use tokio::sync::watch;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, registry::LookupSpan};

use super::{
    FlushError, OtlpBuilder, OtlpStats, Signal,
    config::ExportConfig,
    control::{Done, ExportControl},
    counts::ItemCounts,
    filter::ExportFilter,
    inbox::Inbox,
    log_layer::ExportLogLayer,
    spans::QueueSpans,
    worker::{Inboxes, Worker},
};
use crate::call::ConfigError;

/// The time that is left for what waits if the last handle is dropped without a shutdown.
const DROP_LIMIT: Duration = Duration::from_secs(5);
/// The longest limit, so that adding it to a time never overflows.
const MAX_LIMIT: Duration = Duration::from_secs(86_400);

/// An exporter of traces, metrics and logs to an OpenTelemetry collector; see the [module](super).
#[derive(Clone)]
pub struct Otlp(Arc<Inner>);

struct Inner {
    /// `None` if the exporter is disabled.
    running: Option<Running>,
}

struct Running {
    inboxes: Inboxes,
    tracer: Option<SdkTracer>,
    span_level: LevelFilter,
    log_level: LevelFilter,
    counts: [Arc<ItemCounts>; 3],
    control: watch::Sender<ExportControl>,
    done: watch::Receiver<Done>,
    runtime: tokio::runtime::Handle,
    is_stopped: AtomicBool,
}

impl Otlp {
    /// Returns a builder, which takes what is not set from the `OTEL_*` variables.
    ///
    /// ```
    /// use tower_keep::ops::otlp::{Otlp, OtlpProtocol};
    ///
    /// let otlp = Otlp::builder()
    ///     .service("orders")
    ///     .endpoint("http://127.0.0.1:4317")
    ///     .protocol(OtlpProtocol::Grpc)
    ///     .build()?;
    /// # let _ = otlp;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder() -> OtlpBuilder {
        OtlpBuilder::new()
    }

    /// Creates an exporter with the settings of the `OTEL_*` variables, and starts its thread.
    ///
    /// ```no_run
    /// use tower_keep::ops::otlp::Otlp;
    ///
    /// let otlp = Otlp::from_env()?;
    /// # let _ = otlp;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that names the first variable that is invalid.
    pub fn from_env() -> Result<Otlp, ConfigError> {
        Otlp::builder().build()
    }

    pub(super) fn disabled() -> Self {
        Otlp(Arc::new(Inner { running: None }))
    }

    pub(super) fn start(config: ExportConfig) -> Result<Self, ConfigError> {
        let (span_level, log_level) = (config.span_level, config.log_level);
        let sampler = config.sampler.clone();
        let counts = Signal::ALL.map(|signal| Arc::new(ItemCounts::new(signal)));
        let (control, wishes) = watch::channel(ExportControl::default());
        let worker = Worker::start(config, &counts, wishes)?;
        let spans = worker.inboxes.spans.clone();
        let running = Running {
            tracer: spans.map(|inbox| tracer(inbox, sampler)),
            inboxes: worker.inboxes,
            span_level,
            log_level,
            counts,
            control,
            done: worker.done,
            runtime: worker.runtime,
            is_stopped: AtomicBool::new(false),
        };
        Ok(Otlp(Arc::new(Inner {
            running: Some(running),
        })))
    }

    /// Returns whether `OTEL_SDK_DISABLED` has switched the exporter off: then it has no thread, and its layers do nothing.
    pub fn is_disabled(&self) -> bool {
        self.0.running.is_none()
    }

    /// Returns the layer that takes spans and events from `tracing`. It filters by level itself; add it to the registry beside
    /// other layers.
    ///
    /// ```
    /// use tower_keep::ops::otlp::Otlp;
    /// use tracing_subscriber::layer::SubscriberExt;
    ///
    /// let otlp = Otlp::builder().endpoint("http://127.0.0.1:4318").build()?;
    /// let subscriber = tracing_subscriber::registry().with(otlp.layer());
    /// # let _ = subscriber;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static + use<S>
    where
        // The registry, which knows the spans.
        S: Subscriber + for<'lookup> LookupSpan<'lookup> + Send + Sync,
    {
        let running = self.0.running.as_ref();
        let spans = running.and_then(Running::span_layer).map(Layer::boxed);
        let logs = running.and_then(Running::log_layer).map(Layer::boxed);
        let layers: Vec<_> = spans.into_iter().chain(logs).collect();
        // Not `and_then`, which over a registry forgets the level of its first layer; and none instead of an empty list, which would
        // switch off all layers.
        (!layers.is_empty()).then_some(layers)
    }

    /// Returns the tracer, for code that makes spans without `tracing`; `None` if traces are not exported.
    pub fn tracer(&self) -> Option<SdkTracer> {
        self.0.running.as_ref()?.tracer.clone()
    }

    /// Returns the numbers of a signal.
    pub fn stats(&self, signal: Signal) -> OtlpStats {
        let running = self.0.running.as_ref();
        running.map_or_else(OtlpStats::default, |running| running.stats(signal))
    }

    /// Sends what is there. What comes meanwhile may wait for its own turn.
    ///
    /// # Errors
    ///
    /// Returns an error if something could not be sent, or not within the limit, which is at most a day. What waits then still is
    /// sent later, if that is possible.
    pub async fn flush(&self, limit: Duration) -> Result<(), FlushError> {
        match self.0.running.as_ref() {
            Some(running) => running.flush(limit, false).await,
            None => Ok(()),
        }
    }

    /// Sends what is there and stops. Afterwards nothing is exported any more. Further calls do nothing.
    ///
    /// It returns within the limit, whatever the collector does, and on every runtime: the exporter has a thread of its own. If the
    /// collector is not there, it returns as soon as that is clear.
    ///
    /// # Errors
    ///
    /// Returns an error if something could not be sent, or not within the limit, which is at most a day. That is lost.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), FlushError> {
        match self.0.running.as_ref() {
            Some(running) if !running.is_stopped.swap(true, Ordering::Relaxed) => {
                running.flush(limit, true).await
            }
            _ => Ok(()),
        }
    }
}

impl Running {
    fn span_layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + 'static + use<S>>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup> + Send + Sync,
    {
        let tracer = self.tracer.clone()?;
        let filter = ExportFilter::of_spans(self.span_level, self.inboxes.logs.is_some());
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        // A task has many threads.
        Some(layer.with_threads(false).with_filter(filter))
    }

    fn log_layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + 'static + use<S>>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let inbox = self.inboxes.logs.clone()?;
        let filter = ExportFilter {
            // For the IDs of the span that an event is in.
            spans: self.span_level,
            events: self.log_level,
        };
        Some(ExportLogLayer::new(inbox).with_filter(filter))
    }

    fn stats(&self, signal: Signal) -> OtlpStats {
        let queued = match signal {
            Signal::Traces => self.inboxes.spans.as_ref().map(|inbox| inbox.len()),
            Signal::Logs => self.inboxes.logs.as_ref().map(|inbox| inbox.len()),
            Signal::Metrics => None,
        };
        self.counts[signal.index()].stats(queued.unwrap_or(0))
    }

    fn all_stats(&self) -> [OtlpStats; 3] {
        Signal::ALL.map(|signal| self.stats(signal))
    }

    async fn flush(&self, limit: Duration, is_last: bool) -> Result<(), FlushError> {
        let failed = |stats: &[OtlpStats]| stats.iter().map(|stats| stats.failed).sum::<u64>();
        let before = failed(&self.all_stats());
        let deadline = Instant::now() + limit.min(MAX_LIMIT);
        let number = self.ask(is_last.then_some(deadline));
        let is_done = move |done: &Done| done.iter().all(|done| *done >= number);
        let mut done = self.done.clone();
        // On the exporter's own runtime, since that of the caller may have no timers. It is gone if all is done.
        let wait = self.runtime.spawn(async move {
            let all_done = done.wait_for(is_done);
            let _ = tokio::time::timeout_at(deadline.into(), all_done).await;
        });
        let _ = wait.await;
        let stats = self.all_stats();
        let is_elapsed = !is_done(&self.done.borrow());
        let queued: usize = stats.iter().map(|stats| stats.queued).sum();
        let queued = if is_elapsed { queued as u64 } else { 0 };
        let unsent = failed(&stats).saturating_sub(before) + queued;
        match unsent == 0 && !is_elapsed {
            true => Ok(()),
            false => Err(FlushError {
                unsent,
                is_elapsed,
                reason: stats.into_iter().find_map(|stats| stats.error),
            }),
        }
    }

    /// Asks for a flush, which is the last one with a time to stop by. Returns its number.
    fn ask(&self, stop_by: Option<Instant>) -> u64 {
        if stop_by.is_some() {
            self.inboxes.close();
        }
        let mut number = 0;
        self.control.send_modify(|control| {
            control.flush += 1;
            control.stop_by = control.stop_by.or(stop_by);
            number = control.flush;
        });
        number
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(running) = &self.running
            && !running.is_stopped.load(Ordering::Relaxed)
        {
            running.ask(Some(Instant::now() + DROP_LIMIT));
        }
    }
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp")
            .field("is_disabled", &self.is_disabled())
            .finish_non_exhaustive()
    }
}

fn tracer(inbox: Arc<Inbox<SpanData>>, sampler: opentelemetry_sdk::trace::Sampler) -> SdkTracer {
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_span_processor(QueueSpans(inbox))
        .build();
    let scope = InstrumentationScope::builder("tower-keep").with_version(env!("CARGO_PKG_VERSION"));
    provider.tracer_with_scope(scope.build())
}

impl Inboxes {
    fn close(&self) {
        if let Some(spans) = &self.spans {
            spans.close();
        }
        if let Some(logs) = &self.logs {
            logs.close();
        }
    }
}
