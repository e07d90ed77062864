//! What the program needs of its process: signals, the metrics recorder, logs and standard output.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::interval;
use tower_keep::logging::{self, LogFormat};
use tower_keep::track::{DURATION_BUCKETS, SIZE_BUCKETS};

use super::args::Log;

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// SIGINT and SIGTERM; elsewhere, Ctrl-C.
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub async fn next(&mut self) -> &'static str {
        let _ = tokio::signal::ctrl_c().await;
        "Ctrl-C"
    }
}

/// Without bounds of its own, the recorder makes a summary of a histogram.
pub fn record_metrics() -> Result<PrometheusHandle, String> {
    let suffix = |text: &str| Matcher::Suffix(text.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &DURATION_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(suffix("_bytes"), &SIZE_BUCKETS))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| format!("cannot record metrics: {error}"))
}

/// Histograms would grow until somebody scrapes.
pub async fn upkeep(prometheus: PrometheusHandle) {
    let mut tick = interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        prometheus.run_upkeep();
    }
}

/// # Errors
///
/// What is wrong with `RUST_LOG`.
pub fn log_to_stderr(log: Log) -> Result<(), String> {
    let format = match log {
        Log::Json => LogFormat::Json,
        Log::Pretty => LogFormat::Pretty,
        Log::Off => return Ok(()),
    };
    let logging = logging::builder().format(format).stderr();
    logging.install().map_err(|error| error.to_string())
}

/// One line on standard output. A reader who went away, as `head` does, is no reason to end.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

pub fn complain(error: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "gateway: {error}");
    ExitCode::from(code)
}
