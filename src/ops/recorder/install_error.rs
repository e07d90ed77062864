use std::{error::Error, fmt};

use crate::call::ConfigError;

/// An error returned when the recorder could not be installed. Nothing was installed.
#[derive(Debug)]
pub struct InstallError(InstallErrorKind);

#[derive(Debug)]
enum InstallErrorKind {
    Config(ConfigError),
    AlreadyInstalled,
}

impl InstallError {
    pub(super) fn already_installed() -> Self {
        InstallError(InstallErrorKind::AlreadyInstalled)
    }

    /// Returns whether the process has a recorder already: that of an earlier call, or another one.
    pub fn is_already_installed(&self) -> bool {
        matches!(self.0, InstallErrorKind::AlreadyInstalled)
    }

    /// Returns the name of the invalid setting, if there is one, such as `max_series`.
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

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            InstallErrorKind::Config(setting) => setting.fmt(f),
            InstallErrorKind::AlreadyInstalled => f.write_str(
                "recorder: a metrics recorder is installed already; install only once and clone the handle, or hand the \
                 other recorder to `Recorder::fanout`",
            ),
        }
    }
}

impl Error for InstallError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_error_says_what_to_do() {
        let error = InstallError::already_installed();
        assert!(error.is_already_installed() && error.setting_name().is_none());
        assert!(
            error
                .to_string()
                .ends_with("or hand the other recorder to `Recorder::fanout`"),
            "{error}"
        );
        let error = InstallError::from(ConfigError::new("recorder", "max_series", 0, "1 or more"));
        assert!(!error.is_already_installed());
        assert_eq!(error.setting_name(), Some("max_series"));
        assert_eq!(
            error.to_string(),
            "recorder: max_series is 0, must be 1 or more"
        );
    }
}
