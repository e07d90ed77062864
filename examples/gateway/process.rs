//! What the program needs of its process: signals, the metrics recorder, logs and standard output.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::interval;

use crate::args::Log;

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

pub fn record_metrics() -> Result<PrometheusHandle, String> {
    const BOUNDS: [f64; 11] = [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];
    PrometheusBuilder::new()
        .set_buckets(&BOUNDS)
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

pub fn log_to_stderr(log: Log) {
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::INFO);
    match log {
        Log::Json => builder.json().init(),
        Log::Pretty => builder.with_ansi(io::stderr().is_terminal()).init(),
        Log::Off => {}
    }
}

/// One line on standard output. A reader who went away, as `head` does, is no reason to end.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

pub fn complain(error: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "gateway: {error}");
    ExitCode::from(code)
}
