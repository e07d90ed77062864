use std::{error::Error, fmt};

/// An error returned when the process has a recorder already. Nothing was installed.
#[derive(Debug)]
pub struct InstallError(());

impl InstallError {
    pub(super) fn already_installed() -> Self {
        InstallError(())
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "ops: a metrics recorder is installed already; install only once and clone the handle, or hand the other \
             recorder to `Recorder::fanout`",
        )
    }
}

impl Error for InstallError {}
