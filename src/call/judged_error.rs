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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judged_error_says_what_the_error_says_and_is_found_in_any_chain() {
        let error = JudgedError::new(Judged::CALLERS, std::io::Error::other("torn").into());
        assert_eq!(error.to_string(), "torn");
        assert!(format!("{error:?}").contains("torn"));
        let source = error.source().expect("the error itself");
        assert!(source.is::<std::io::Error>());
        let wrapped = std::io::Error::other(error);
        assert_eq!(JudgedError::find(&wrapped), Some(Judged::CALLERS));
        assert_eq!(JudgedError::find(&std::io::Error::other("torn")), None);
    }
}
