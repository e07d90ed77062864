use std::{error::Error, fmt};

use tracing::subscriber::SetGlobalDefaultError;

use crate::call::ConfigError;

/// An error returned when logging could not be set up. Nothing was installed.
#[derive(Debug)]
pub struct InstallError(InstallErrorKind);

#[derive(Debug)]
enum InstallErrorKind {
    Config(ConfigError),
    AlreadyInstalled,
}

impl InstallError {
    pub(super) fn config(
        field: &'static str,
        value: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        InstallError(InstallErrorKind::Config(ConfigError::new(
            "logging", field, value, expected,
        )))
    }

    /// Returns whether a subscriber is already installed. Add [`Logging::layer`](super::Logging::layer) to that instead.
    pub fn is_already_installed(&self) -> bool {
        matches!(self.0, InstallErrorKind::AlreadyInstalled)
    }

    /// Returns the name of the invalid setting, if there is one: `RUST_LOG`, `LOG_FORMAT` or `level`.
    pub fn setting_name(&self) -> Option<&'static str> {
        match &self.0 {
            InstallErrorKind::Config(setting) => Some(setting.field()),
            InstallErrorKind::AlreadyInstalled => None,
        }
    }
}

impl From<ConfigError> for InstallError {
    fn from(error: ConfigError) -> Self {
        InstallError(InstallErrorKind::Config(error))
    }
}

impl From<SetGlobalDefaultError> for InstallError {
    fn from(_: SetGlobalDefaultError) -> Self {
        InstallError(InstallErrorKind::AlreadyInstalled)
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            InstallErrorKind::Config(setting) => setting.fmt(f),
            InstallErrorKind::AlreadyInstalled => f.write_str(
                "logging: another tracing subscriber is installed already; \
                     build its registry with the layer of `logging::builder()` instead",
            ),
        }
    }
}

impl Error for InstallError {}
