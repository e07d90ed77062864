//! What the program needs of its process: signals, logs and standard output.

use std::io::{self, Write};
use std::process::ExitCode;

use tower_keep::logging::{self, LogFormat};

use super::args::Log;

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
