use std::{error::Error, fmt};

use super::{BoxError, Classification, find};

/// An error with the classification that a classifier gave it, so that outer layers agree.
pub(crate) struct ClassifiedError {
    classification: Classification,
    error: BoxError,
}

impl ClassifiedError {
    pub(crate) fn new(classification: Classification, error: BoxError) -> Self {
        ClassifiedError {
            classification,
            error,
        }
    }

    /// Finds the classification that an inner layer left with an error.
    pub(crate) fn find(error: &(dyn Error + 'static)) -> Option<Classification> {
        find::<ClassifiedError>(error).map(|error| error.classification)
    }
}

impl fmt::Display for ClassifiedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for ClassifiedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for ClassifiedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classified_error_displays_its_error_and_is_found_in_any_chain() {
        let error = ClassifiedError::new(
            Classification::CALLER_FAULT,
            std::io::Error::other("torn").into(),
        );
        assert_eq!(error.to_string(), "torn");
        assert!(format!("{error:?}").contains("torn"));
        let source = error.source().expect("the error itself");
        assert!(source.is::<std::io::Error>());
        let wrapped = std::io::Error::other(error);
        assert_eq!(
            ClassifiedError::find(&wrapped),
            Some(Classification::CALLER_FAULT)
        );
        assert_eq!(ClassifiedError::find(&std::io::Error::other("torn")), None);
    }
}
