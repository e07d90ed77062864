use super::{CheckResult, HealthStatus};
use crate::call::BoxError;

/// A value that the closure of a [`Check`](super::Check) may return: nothing, a [`HealthStatus`], a [`CheckResult`], or a
/// `Result` of one of these.
///
/// An error is unhealthy. Its text is that of the error and its sources.
///
/// ```
/// use std::io;
/// use tower_keep::ops::health::{CheckOutput, CheckResult, HealthStatus};
///
/// assert_eq!(().into_check_result(), CheckResult::healthy());
/// assert_eq!(HealthStatus::Degraded.into_check_result().status(), HealthStatus::Degraded);
/// let failed: Result<(), io::Error> = Err(io::Error::other("connection refused"));
/// assert_eq!(failed.into_check_result(), CheckResult::unhealthy("connection refused"));
/// ```
pub trait CheckOutput {
    /// Returns the result that the value stands for.
    fn into_check_result(self) -> CheckResult;
}

impl CheckOutput for () {
    fn into_check_result(self) -> CheckResult {
        CheckResult::healthy()
    }
}

impl CheckOutput for HealthStatus {
    fn into_check_result(self) -> CheckResult {
        CheckResult::new(self)
    }
}

impl CheckOutput for CheckResult {
    fn into_check_result(self) -> CheckResult {
        self
    }
}

impl<T: CheckOutput, E: Into<BoxError>> CheckOutput for Result<T, E> {
    fn into_check_result(self) -> CheckResult {
        match self {
            Ok(output) => output.into_check_result(),
            Err(error) => CheckResult::from_error(error),
        }
    }
}
