use std::{error::Error, fmt};

use crate::call::{BoxError, Rejection};

/// A call that was refused, or failed.
#[derive(Clone, Debug)]
pub enum CallError<E> {
    /// The breaker refused; the call was not made.
    Rejected(Rejection),
    /// The call's own error.
    Failed(E),
}

impl<E> CallError<E> {
    /// The refusal, if it was one.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            CallError::Rejected(why) => Some(why),
            CallError::Failed(_) => None,
        }
    }

    /// Whether the breaker refused.
    pub fn is_rejected(&self) -> bool {
        self.rejection().is_some()
    }

    /// The call's own error, if it was made.
    pub fn failed(&self) -> Option<&E> {
        match self {
            CallError::Rejected(_) => None,
            CallError::Failed(error) => Some(error),
        }
    }

    /// The call's own error.
    ///
    /// # Errors
    ///
    /// The refusal, if the call was not made.
    pub fn into_failed(self) -> Result<E, Rejection> {
        match self {
            CallError::Rejected(why) => Err(why),
            CallError::Failed(error) => Ok(error),
        }
    }

    /// Another error in the place of the call's own.
    pub fn map_failed<F>(self, map: impl FnOnce(E) -> F) -> CallError<F> {
        match self {
            CallError::Rejected(why) => CallError::Rejected(why),
            CallError::Failed(error) => CallError::Failed(map(error)),
        }
    }

    /// One error for both, where the call's own is no `Error` itself: a boxed one, anyhow's, a `String`.
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
            CallError::Rejected(why) => why.into(),
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

/// As a tonic handler fails with it: a refusal as `UNAVAILABLE` with a hint when to come back, a failure as the
/// status that its error becomes.
#[cfg(feature = "tonic")]
impl<E: Into<tonic::Status>> From<CallError<E>> for tonic::Status {
    fn from(error: CallError<E>) -> Self {
        match error {
            CallError::Rejected(why) => why.into(),
            CallError::Failed(error) => error.into(),
        }
    }
}
