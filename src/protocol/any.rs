use super::{Protocol, Read, judge_error, sealed};
use crate::call::{BoxError, Classifier, Ending, Judged, JudgedError, Rejection};

/// Any service: see the [module](super).
#[derive(Clone, Debug, Default)]
pub struct Any(Option<Classifier>);

impl Any {
    pub(crate) const fn new() -> Self {
        Any(None)
    }

    /// Judges a result.
    #[inline]
    pub(crate) fn judge<T: 'static>(&self, result: Result<&T, &BoxError>) -> Judged {
        self.ending(result).judged
    }

    /// Returns what there is to judge a result by, and as what it was judged.
    #[inline]
    pub(crate) fn ending<'a, T: 'static>(&self, result: Result<&'a T, &'a BoxError>) -> Ending<'a> {
        let mut ending = match result {
            Ok(response) => Ending {
                response: Some(response),
                ..Ending::of(Judged::SUCCESS)
            },
            Err(error) => Ending {
                error: Some(&**error),
                ..Ending::of(judge_error(&**error))
            },
        };
        if let Some(classifier) = &self.0 {
            classifier.judge(&mut ending);
        }
        ending
    }

    /// Leaves a classifier's judgement with the error, for the layers further out.
    #[inline]
    pub(crate) fn leave(&self, judged: Judged, error: BoxError) -> BoxError {
        match self.0 {
            Some(_) if judge_error(&*error) != judged => JudgedError::new(judged, error).into(),
            _ => error,
        }
    }
}

impl sealed::Sealed for Any {}

impl Protocol for Any {
    type Call = ();
    type Refusal = Box<Rejection>;
    const CATCHES_PANICS: bool = false;

    fn classified(self, classifier: Classifier) -> Self {
        Any(Some(classifier))
    }
}

impl<Req> Read<Req> for Any {
    #[inline]
    fn read(&self, _: &mut Req) {}
}
