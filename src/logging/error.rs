use std::{error::Error, fmt};

use tracing::subscriber::SetGlobalDefaultError;

use crate::call::ConfigError;

/// Why logging was not set up. Nothing has been installed then.
#[derive(Debug)]
pub struct InitError(InitErrorKind);

#[derive(Debug)]
enum InitErrorKind {
    Config(ConfigError),
    AlreadyInstalled,
}

impl InitError {
    pub(super) fn config(
        field: &'static str,
        value: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        InitError(InitErrorKind::Config(ConfigError::new(
            "logging", field, value, expected,
        )))
    }

    /// Whether there is a subscriber already: [`Logging::layer`](super::Logging::layer) would add to it.
    pub fn is_already_installed(&self) -> bool {
        matches!(self.0, InitErrorKind::AlreadyInstalled)
    }

    /// The setting that makes no sense, if that is why: `RUST_LOG`, `LOG_FORMAT` or `level`.
    pub fn setting_name(&self) -> Option<&'static str> {
        match &self.0 {
            InitErrorKind::Config(setting) => Some(setting.field()),
            InitErrorKind::AlreadyInstalled => None,
        }
    }
}

impl From<SetGlobalDefaultError> for InitError {
    fn from(_: SetGlobalDefaultError) -> Self {
        InitError(InitErrorKind::AlreadyInstalled)
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            InitErrorKind::Config(setting) => setting.fmt(f),
            InitErrorKind::AlreadyInstalled => {
                f.write_str("logging: another tracing subscriber is installed already")
            }
        }
    }
}

impl Error for InitError {}
