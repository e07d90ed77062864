use std::time::Duration;

use http::{HeaderMap, Uri};
use opentelemetry_sdk::trace::Sampler;
use tracing::level_filters::LevelFilter;

use super::OtlpProtocol;
use crate::ops::recorder::Recorder;

/// The checked settings of an exporter.
#[derive(Debug)]
pub(super) struct ExportConfig {
    /// The attributes of the process, each name once.
    pub(super) resource: Vec<(String, String)>,
    /// Destinations, by [`Signal::index`](super::Signal::index); `None` if the signal is not exported.
    pub(super) destinations: [Option<Destination>; 3],
    pub(super) sampler: Sampler,
    pub(super) span_level: LevelFilter,
    pub(super) log_level: LevelFilter,
    pub(super) spans: BatchConfig,
    pub(super) logs: BatchConfig,
    pub(super) metric_interval: Duration,
    /// `None` is the installed one.
    pub(super) recorder: Option<Recorder>,
    pub(super) tls: TlsFiles,
    /// The variables that the exporter does not know how to follow, with their values.
    pub(super) ignored: Vec<(&'static str, String)>,
}

/// The place to which one signal is sent.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) protocol: OtlpProtocol,
    /// With the path of the signal.
    pub(super) uri: Uri,
    /// Values are marked as sensitive.
    pub(super) headers: HeaderMap,
    /// The limit of one attempt.
    pub(super) timeout: Duration,
}

/// The sizes of queue and batches of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchConfig {
    pub(super) max_queue: usize,
    pub(super) max_batch: usize,
    /// The time for which an item waits for others.
    pub(super) delay: Duration,
}

/// Files in PEM for TLS.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsFiles {
    /// The certificates to trust instead of the system's.
    pub(super) roots: Option<String>,
    /// The certificate of this client and its key.
    pub(super) client: Option<(String, String)>,
}

impl ExportConfig {
    pub(super) fn uses_tls(&self) -> bool {
        let mut destinations = self.destinations.iter().flatten();
        destinations.any(|destination| destination.uri.scheme() == Some(&http::uri::Scheme::HTTPS))
    }
}
