use std::{error::Error, fmt};

use crate::call::{BoxError, Rejection};

/// The error of a call through a breaker: a rejection, or the call's own error.
#[derive(Clone, Debug)]
pub enum CallError<E> {
    /// The breaker has rejected the call, which was not made.
    Rejected(Rejection),
    /// The call's own error.
    Failed(E),
}

impl<E> CallError<E> {
    /// Returns the rejection, if the call was not made.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            CallError::Rejected(rejection) => Some(rejection),
            CallError::Failed(_) => None,
        }
    }

    /// Returns whether the breaker has rejected the call.
    pub fn is_rejected(&self) -> bool {
        self.rejection().is_some()
    }

    /// Returns the call's own error, if the call was made.
    pub fn failed(&self) -> Option<&E> {
        match self {
            CallError::Rejected(_) => None,
            CallError::Failed(error) => Some(error),
        }
    }

    /// Returns the call's own error.
    ///
    /// # Errors
    ///
    /// Returns the rejection if the call was not made.
    pub fn into_failed(self) -> Result<E, Rejection> {
        match self {
            CallError::Rejected(rejection) => Err(rejection),
            CallError::Failed(error) => Ok(error),
        }
    }

    /// Maps the call's own error to another.
    ///
    /// ```
    /// use tower_keep::CircuitBreaker;
    ///
    /// let failed = CircuitBreaker::new("quotes").run_display(|| Err::<u32, _>("no quote"));
    /// let length = failed.map_err(|error| error.map_failed(str::len)).unwrap_err();
    /// assert_eq!(length.failed(), Some(&8));
    /// ```
    pub fn map_failed<F>(self, map: impl FnOnce(E) -> F) -> CallError<F> {
        match self {
            CallError::Rejected(rejection) => CallError::Rejected(rejection),
            CallError::Failed(error) => CallError::Failed(map(error)),
        }
    }

    /// Boxes either error, where the call's own does not implement `Error`: a boxed one, anyhow's, a `String`.
    ///
    /// ```
    /// use tower_keep::{BoxError, CallError, CircuitBreaker, Rejection};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
    /// let breaker = CircuitBreaker::builder("quotes").build()?;
    /// breaker.force_open();
    /// let quote = breaker.call_display(async { Ok::<_, BoxError>(42) }).await;
    /// let error: BoxError = quote.map_err(CallError::into_boxed).unwrap_err();
    /// assert_eq!(Rejection::find(&*error).unwrap().guard(), "quotes");
    /// # Ok(()) }
    /// ```
    pub fn into_boxed(self) -> BoxError
    where
        E: Into<BoxError>,
    {
        match self {
            CallError::Rejected(rejection) => rejection.into(),
            CallError::Failed(error) => error.into(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Rejected(rejection) => rejection.fmt(f),
            CallError::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for CallError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CallError::Rejected(rejection) => Some(rejection),
            CallError::Failed(error) => error.source(),
        }
    }
}

/// Converts it for a tonic handler: a rejection to `UNAVAILABLE` with a retry-after, a failure to the status that its error
/// converts to.
#[cfg(feature = "tonic")]
impl<E: Into<tonic::Status>> From<CallError<E>> for tonic::Status {
    fn from(error: CallError<E>) -> Self {
        match error {
            CallError::Rejected(rejection) => rejection.into(),
            CallError::Failed(error) => error.into(),
        }
    }
}
