use std::{error::Error, fmt};

use tracing::subscriber::SetGlobalDefaultError;

use crate::call::InvalidSetting;

/// Why logging was not set up. Nothing has been installed then.
#[derive(Debug)]
pub struct InitError(Why);

#[derive(Debug)]
enum Why {
    Setting(InvalidSetting),
    Installed,
}

impl InitError {
    pub(super) fn setting(
        field: &'static str,
        got: impl fmt::Display,
        must: impl Into<String>,
    ) -> Self {
        InitError(Why::Setting(InvalidSetting::new(
            "logging", field, got, must,
        )))
    }

    /// Whether there is a subscriber already: [`Logging::layer`](super::Logging::layer) would add to it.
    pub fn is_already_installed(&self) -> bool {
        matches!(self.0, Why::Installed)
    }

    /// The setting that makes no sense, if that is why: `RUST_LOG`, `LOG_FORMAT` or `level`.
    pub fn setting_name(&self) -> Option<&'static str> {
        match &self.0 {
            Why::Setting(setting) => Some(setting.field()),
            Why::Installed => None,
        }
    }
}

impl From<SetGlobalDefaultError> for InitError {
    fn from(_: SetGlobalDefaultError) -> Self {
        InitError(Why::Installed)
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Setting(setting) => setting.fmt(f),
            Why::Installed => {
                f.write_str("logging: another tracing subscriber is installed already")
            }
        }
    }
}

impl Error for InitError {}
