use std::{error::Error, fmt};

use crate::call::{BoxError, Elapsed, Rejection};

/// The error of a call through a [`Pipeline`](super::Pipeline), with the error of the work as it is.
///
/// It reads like the error inside, which is its source as well, so that [`call::find`](crate::call::find) finds it.
///
/// ```
/// use tower_keep::{Pipeline, PipelineError};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::ConfigError> {
/// let pipeline = Pipeline::builder("db").retry(|retry| retry).build()?;
/// match pipeline.run(|| async { "seven".parse::<u32>() }).await {
///     Ok(number) => println!("{number}"),
///     Err(PipelineError::Rejected(rejection)) => println!("try again in {:?}", rejection.retry_after()),
///     Err(PipelineError::TimedOut(elapsed)) => println!("gave up after {:?}", elapsed.limit()),
///     Err(PipelineError::Failed(error)) => assert_eq!(error.to_string(), "invalid digit found in string"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub enum PipelineError<E> {
    /// A guard of the pipeline has rejected the last attempt, which was not made: an open circuit, a full bulkhead, or a
    /// deadline that had passed before.
    Rejected(Rejection),
    /// A time limit of the pipeline elapsed: that of the last attempt, or the total.
    TimedOut(Elapsed),
    /// The error of the work itself, from its last attempt.
    Failed(E),
}

impl<E> PipelineError<E> {
    /// Returns the error of the work, if that is what it is.
    pub fn into_inner(self) -> Option<E> {
        match self {
            PipelineError::Failed(error) => Some(error),
            PipelineError::Rejected(_) | PipelineError::TimedOut(_) => None,
        }
    }

    /// Returns the error of the work, if that is what it is.
    pub fn failed(&self) -> Option<&E> {
        match self {
            PipelineError::Failed(error) => Some(error),
            PipelineError::Rejected(_) | PipelineError::TimedOut(_) => None,
        }
    }

    /// Returns the rejection, if the last attempt was not made.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            PipelineError::Rejected(rejection) => Some(rejection),
            PipelineError::TimedOut(_) | PipelineError::Failed(_) => None,
        }
    }

    /// Returns the error of the time limit, if one elapsed.
    pub fn elapsed(&self) -> Option<&Elapsed> {
        match self {
            PipelineError::TimedOut(elapsed) => Some(elapsed),
            PipelineError::Rejected(_) | PipelineError::Failed(_) => None,
        }
    }

    /// Maps the error of the work to another.
    ///
    /// ```
    /// use tower_keep::PipelineError;
    ///
    /// let length = PipelineError::Failed("no row").map_failed(str::len);
    /// assert_eq!(length.failed(), Some(&6));
    /// ```
    pub fn map_failed<F>(self, map: impl FnOnce(E) -> F) -> PipelineError<F> {
        match self {
            PipelineError::Rejected(rejection) => PipelineError::Rejected(rejection),
            PipelineError::TimedOut(elapsed) => PipelineError::TimedOut(elapsed),
            PipelineError::Failed(error) => PipelineError::Failed(map(error)),
        }
    }

    /// Boxes the error inside, where that of the work does not implement `Error`: a boxed one, anyhow's, a `String`.
    ///
    /// ```
    /// use tower_keep::{BoxError, PipelineError};
    ///
    /// let error: BoxError = PipelineError::Failed("no row").into_boxed();
    /// assert_eq!(error.to_string(), "no row");
    /// ```
    pub fn into_boxed(self) -> BoxError
    where
        E: Into<BoxError>,
    {
        match self {
            PipelineError::Rejected(rejection) => rejection.into(),
            PipelineError::TimedOut(elapsed) => elapsed.into(),
            PipelineError::Failed(error) => error.into(),
        }
    }
}

/// Work that was not begun in time was rejected; any other has timed out.
impl<E> From<Elapsed> for PipelineError<E> {
    fn from(elapsed: Elapsed) -> Self {
        match elapsed.into_rejection() {
            Ok(rejection) => PipelineError::Rejected(rejection),
            Err(elapsed) => PipelineError::TimedOut(elapsed),
        }
    }
}

impl<E: fmt::Display> fmt::Display for PipelineError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PipelineError::Rejected(rejection) => rejection.fmt(f),
            PipelineError::TimedOut(elapsed) => elapsed.fmt(f),
            PipelineError::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for PipelineError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PipelineError::Rejected(rejection) => Some(rejection),
            PipelineError::TimedOut(elapsed) => Some(elapsed),
            PipelineError::Failed(error) => Some(error),
        }
    }
}

/// Converts it for a tonic handler: a rejection to `UNAVAILABLE` with a retry-after, a timeout to `DEADLINE_EXCEEDED`, a
/// failure to the status that its error converts to.
#[cfg(feature = "tonic")]
impl<E: Into<tonic::Status>> From<PipelineError<E>> for tonic::Status {
    fn from(error: PipelineError<E>) -> Self {
        match error {
            PipelineError::Rejected(rejection) => rejection.into(),
            PipelineError::TimedOut(elapsed) => {
                // Without the name of the limit, which is not the caller's to know.
                let mut status = tonic::Status::deadline_exceeded("timed out");
                status.set_source(std::sync::Arc::new(elapsed));
                status
            }
            PipelineError::Failed(error) => error.into(),
        }
    }
}
