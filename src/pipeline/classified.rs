use std::{error::Error, fmt};

use super::{PipelineError, error_classifier::ErrorClassifier};
use crate::{
    breaker::CallError,
    call::{
        Cause, Classification, ClassifyOutput, Elapsed, Outcome, Rejection, as_std_error,
        catch_hook,
    },
    protocol::classify_error,
    util::text::display_bounded,
};

/// Maximum length of the message of an error that does not implement `Error`, in bytes.
const MAX_MESSAGE_LEN: usize = 1_024;

/// A view of an error as a std error, if it is one.
pub type AsError<E> = fn(&E) -> Option<&(dyn Error + 'static)>;

pub(super) fn as_error<E: Error + 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    Some(error)
}

pub(super) fn as_known_error<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    as_std_error(error)
}

/// The result of an attempt with its classification, which is decided once and which all parts of the pipeline use.
pub struct Classified<T, E> {
    pub(super) result: Result<T, PipelineError<E>>,
    classification: Classification,
    as_error: AsError<E>,
}

/// `Ok` if the outcome is a success, whatever the result: it is what retries and breakers look at.
pub type ClassifiedResult<T, E> = Result<Classified<T, E>, Classified<T, E>>;

impl<T, E> Classified<T, E> {
    /// Classifies the result of the work: by what the classifier says, else by its error. A rejection by a guard of this
    /// process stays one.
    pub(super) fn new(
        result: Result<T, E>,
        as_error: AsError<E>,
        custom: Option<ClassifyOutput>,
    ) -> ClassifiedResult<T, E> {
        let default = match &result {
            Ok(_) => Classification::SUCCESS,
            Err(error) => as_error(error).map_or(Classification::FAILURE, classify_error),
        };
        let classification = match custom {
            Some(output) if default.outcome != Outcome::Rejected => {
                output.resolve(default, result.is_err())
            }
            _ => default,
        };
        Classified {
            result: result.map_err(PipelineError::Failed),
            classification,
            as_error,
        }
        .by_outcome()
    }

    /// Classifies the result of a fallback as a pipeline with this classifier does.
    pub(super) fn of_fallback(
        result: Result<T, PipelineError<E>>,
        as_error: AsError<E>,
        classifier: Option<&ErrorClassifier>,
    ) -> ClassifiedResult<T, E>
    where
        E: 'static,
    {
        match result {
            Ok(value) => Classified::new(Ok(value), as_error, None),
            Err(PipelineError::Failed(error)) => {
                let classify = || classifier?.classify(&error);
                let custom = catch_hook(classify).unwrap_or(Some(Outcome::Failure.into()));
                Classified::new(Err(error), as_error, custom)
            }
            Err(PipelineError::TimedOut(elapsed)) => Err(Classified::timed_out(elapsed, as_error)),
            Err(PipelineError::Rejected(rejection)) => {
                Err(Classified::rejected(rejection, as_error))
            }
        }
    }

    fn by_outcome(self) -> ClassifiedResult<T, E> {
        match self.classification.outcome {
            Outcome::Success => Ok(self),
            _ => Err(self),
        }
    }

    pub(super) fn timed_out(elapsed: Elapsed, as_error: AsError<E>) -> Self {
        Classified {
            classification: elapsed.classification(),
            result: Err(elapsed.into()),
            as_error,
        }
    }

    /// Classifies the error of a part: its own rejection, or what is classified already.
    pub(super) fn from_call_error(error: CallError<Self>, as_error: AsError<E>) -> Self {
        match error {
            CallError::Rejected(rejection) => Classified::rejected(rejection, as_error),
            CallError::Failed(failed) => failed,
        }
    }

    pub(super) fn rejected(rejection: Rejection, as_error: AsError<E>) -> Self {
        Classified {
            classification: Classification::REJECTED,
            result: Err(PipelineError::Rejected(rejection)),
            as_error,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.classification.outcome
    }

    pub(super) fn classification(&self) -> Classification {
        self.classification
    }

    pub(super) fn as_error(&self) -> AsError<E> {
        self.as_error
    }

    pub(super) fn output(&self) -> ClassifyOutput {
        ClassifyOutput::from(self.classification.outcome)
            .with_evidence(self.classification.evidence)
    }

    /// Returns the error inside, if it implements `Error`.
    pub(super) fn error(&self) -> Option<&(dyn Error + 'static)> {
        match self.result.as_ref().err()? {
            PipelineError::Rejected(rejection) => Some(rejection),
            PipelineError::TimedOut(elapsed) => Some(elapsed),
            PipelineError::Failed(error) => (self.as_error)(error),
        }
    }
}

impl<T, E: fmt::Display> Classified<T, E> {
    /// Returns what a breaker or a bulkhead wants to know of a failure.
    pub(super) fn for_breaker(
        &self,
    ) -> (Classification, Option<Cause<'_>>, Option<&dyn fmt::Display>) {
        let text = self.result.as_ref().err().map(|error| error as _);
        (
            self.classification,
            self.error().map(Cause::from_error),
            text,
        )
    }

    /// Passes outcome and cause on to an operation that completes.
    pub(super) fn complete(&self, complete: &mut dyn FnMut(Outcome, Option<Cause<'_>>)) {
        let (error, failed) = (self.error(), self.result.as_ref().err());
        match (error, failed) {
            (Some(error), _) => complete(self.outcome(), Some(Cause::from_error(error))),
            (None, Some(failed)) => {
                let type_name = std::any::type_name::<E>();
                // The alternate form contains the causes of errors such as anyhow's.
                let message = catch_hook(|| {
                    String::from(display_bounded(format_args!("{failed:#}"), MAX_MESSAGE_LEN))
                });
                let message = message.as_deref();
                complete(self.outcome(), Some(Cause::Opaque { type_name, message }));
            }
            (None, None) => complete(self.outcome(), None),
        }
    }
}
