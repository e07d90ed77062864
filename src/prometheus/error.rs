use std::{error::Error, fmt, io};

use crate::call::ConfigError;

/// An error returned when the recorder could not be installed. Nothing was installed.
#[derive(Debug)]
pub struct InstallError(InstallErrorKind);

#[derive(Debug)]
enum InstallErrorKind {
    Config(ConfigError),
    AlreadyInstalled,
    Upkeep(io::Error),
}

impl InstallError {
    pub(super) fn already_installed() -> Self {
        InstallError(InstallErrorKind::AlreadyInstalled)
    }

    pub(super) fn upkeep(error: io::Error) -> Self {
        InstallError(InstallErrorKind::Upkeep(error))
    }

    /// Returns whether the process has a recorder already: that of an earlier call, or another one.
    pub fn is_already_installed(&self) -> bool {
        matches!(self.0, InstallErrorKind::AlreadyInstalled)
    }

    /// Returns the name of the invalid setting, if there is one: `buckets` or `global_label`.
    pub fn setting_name(&self) -> Option<&'static str> {
        match &self.0 {
            InstallErrorKind::Config(setting) => Some(setting.field()),
            InstallErrorKind::AlreadyInstalled | InstallErrorKind::Upkeep(_) => None,
        }
    }
}

impl From<ConfigError> for InstallError {
    fn from(error: ConfigError) -> Self {
        InstallError(InstallErrorKind::Config(error))
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            InstallErrorKind::Config(setting) => setting.fmt(f),
            InstallErrorKind::AlreadyInstalled => f.write_str(
                "prometheus: a metrics recorder is installed already; install only once and clone the handle, \
                 or remove the other recorder",
            ),
            InstallErrorKind::Upkeep(_) => {
                f.write_str("prometheus: the thread of the upkeep cannot be started")
            }
        }
    }
}

impl Error for InstallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            InstallErrorKind::Upkeep(error) => Some(error),
            InstallErrorKind::Config(_) | InstallErrorKind::AlreadyInstalled => None,
        }
    }
}
