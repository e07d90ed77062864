use std::{error::Error, fmt, io};

use super::ConfigError;

/// An error returned when that which a process has once could not be installed: the subscriber of `tracing`, or the recorder of
/// `metrics`. Nothing was installed.
///
/// ```
/// # #[cfg(feature = "logging")] {
/// use tower_keep::logging;
///
/// logging::install().expect("the first call");
/// let error = logging::install().expect_err("the second call");
/// assert!(error.is_already_installed());
/// # }
/// ```
#[derive(Debug)]
pub struct InstallError(InstallErrorKind);

#[derive(Debug)]
enum InstallErrorKind {
    Config(ConfigError),
    /// With what there is already, and what to do instead.
    AlreadyInstalled(&'static str),
    /// With what failed.
    Failed(&'static str, io::Error),
}

impl InstallError {
    /// Creates the error of a second installation. The text says what there is already, and what to do instead.
    pub(crate) fn already_installed(text: &'static str) -> Self {
        InstallError(InstallErrorKind::AlreadyInstalled(text))
    }

    /// Creates the error of a part that the system did not provide.
    #[cfg_attr(not(feature = "prometheus"), allow(dead_code))]
    pub(crate) fn failed(text: &'static str, error: io::Error) -> Self {
        InstallError(InstallErrorKind::Failed(text, error))
    }

    /// Returns whether the process has one already: that of an earlier call, or another one.
    pub fn is_already_installed(&self) -> bool {
        matches!(self.0, InstallErrorKind::AlreadyInstalled(_))
    }

    /// Returns the name of the invalid setting, if there is one, such as `RUST_LOG`, `buckets` or `max_series`.
    pub fn setting_name(&self) -> Option<&'static str> {
        match &self.0 {
            InstallErrorKind::Config(setting) => Some(setting.field()),
            InstallErrorKind::AlreadyInstalled(_) | InstallErrorKind::Failed(..) => None,
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
            InstallErrorKind::AlreadyInstalled(text) | InstallErrorKind::Failed(text, _) => {
                f.write_str(text)
            }
        }
    }
}

impl Error for InstallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            InstallErrorKind::Failed(_, error) => Some(error),
            InstallErrorKind::Config(_) | InstallErrorKind::AlreadyInstalled(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_error_says_what_is_wrong() {
        let error = InstallError::already_installed("logging: there is a subscriber already");
        assert!(error.is_already_installed() && error.setting_name().is_none());
        assert_eq!(error.to_string(), "logging: there is a subscriber already");
        let error = InstallError::from(ConfigError::new("recorder", "max_series", 0, "1 or more"));
        assert!(!error.is_already_installed() && error.source().is_none());
        assert_eq!(error.setting_name(), Some("max_series"));
        assert_eq!(
            error.to_string(),
            "recorder: max_series is 0, must be 1 or more"
        );
    }

    #[test]
    fn install_error_has_the_error_of_the_system() {
        let error = InstallError::failed("no thread", io::ErrorKind::OutOfMemory.into());
        assert!(!error.is_already_installed() && error.setting_name().is_none());
        assert_eq!(error.to_string(), "no thread");
        assert_eq!(
            error.source().map(ToString::to_string),
            Some(io::Error::from(io::ErrorKind::OutOfMemory).to_string())
        );
    }
}
