//! The needs of the program in its process: signals, logs and standard output.

use std::io::{self, Write};
use std::process::ExitCode;

use tower_keep::logging::{self, FilterHandle, LogFormat};

use super::args::Log;

/// SIGINT, SIGTERM and, if something is to be read again, SIGHUP; elsewhere, Ctrl-C.
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: Option<tokio::signal::unix::Signal>,
}

/// The wish that a signal stands for.
pub enum Wish {
    /// Ended by the signal of this name.
    End(&'static str),
    Reload,
}

impl Signals {
    #[cfg(unix)]
    pub fn listen(reloads: bool) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // Without a file to read again, the hang-up of a terminal ends the process, as it does by default.
        let hang_up = reloads.then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: hang_up.transpose()?,
        })
    }

    #[cfg(unix)]
    pub async fn next(&mut self) -> Wish {
        let Self {
            interrupt,
            terminate,
            hang_up,
        } = self;
        let hang_up = async {
            match hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            name = end(interrupt, terminate) => Wish::End(name),
            _ = hang_up => Wish::Reload,
        }
    }

    /// Waits for a signal that asks the process to end, and returns its name. Others wait for `next`.
    #[cfg(unix)]
    pub async fn end(&mut self) -> &'static str {
        end(&mut self.interrupt, &mut self.terminate).await
    }

    #[cfg(not(unix))]
    pub fn listen(_: bool) -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub async fn next(&mut self) -> Wish {
        Wish::End(self.end().await)
    }

    #[cfg(not(unix))]
    pub async fn end(&mut self) -> &'static str {
        let _ = tokio::signal::ctrl_c().await;
        "Ctrl-C"
    }
}

#[cfg(unix)]
async fn end(
    interrupt: &mut tokio::signal::unix::Signal,
    terminate: &mut tokio::signal::unix::Signal,
) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

/// Sets the log up, and returns what changes its filter while the process runs; `None` if there is no log.
///
/// # Errors
///
/// Returns a text if `RUST_LOG` is invalid.
pub fn log_to_stderr(log: Log) -> Result<Option<FilterHandle>, String> {
    let format = match log {
        Log::Json => LogFormat::Json,
        Log::Pretty => LogFormat::Pretty,
        Log::Off => return Ok(None),
    };
    let logging = logging::builder().format(format).stderr();
    let installed = logging.install_reloadable();
    installed.map(Some).map_err(|error| error.to_string())
}

/// One line on standard output. A reader who went away, as `head` does, is no reason to end.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

pub fn complain(error: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "gateway: {error}");
    ExitCode::from(code)
}
