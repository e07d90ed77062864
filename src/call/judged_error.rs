use std::{error::Error, fmt};

use super::{BoxError, Judged, find};

/// An error together with what a classifier made of it, so that layers further out agree with it.
pub(crate) struct JudgedError {
    judged: Judged,
    error: BoxError,
}

impl JudgedError {
    pub(crate) fn new(judged: Judged, error: BoxError) -> Self {
        JudgedError { judged, error }
    }

    /// Finds what a classifier further in has made of an error.
    pub(crate) fn find(error: &(dyn Error + 'static)) -> Option<Judged> {
        find::<JudgedError>(error).map(|error| error.judged)
    }
}

impl fmt::Display for JudgedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for JudgedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for JudgedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}
