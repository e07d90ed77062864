use std::{convert::Infallible, error::Error};

use http::response;

use super::{
    BodyInfo, Instead, Protocol, Read, Respond, ResponseHead, Side, Step, Wrap, judge_error, sealed,
};
use crate::call::{BoxError, Classifier, Ending, Judged, JudgedError, Rejection, Thrown};

/// Any service: see the [module](super).
#[derive(Clone, Debug, Default)]
pub struct Any(Option<Classifier>);

impl Any {
    pub(crate) const fn new() -> Self {
        Any(None)
    }

    /// Judges a result.
    #[inline]
    pub(crate) fn judged<T: 'static>(&self, result: Result<&T, &BoxError>) -> Judged {
        match (&self.0, result) {
            (None, Ok(_)) => Judged::SUCCESS,
            _ => self.ending(result).judged,
        }
    }

    /// Judges a result; returns what it was judged by as well.
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
}

impl sealed::Sealed for Any {}

impl Protocol for Any {
    type Call = Judged;
    type Refusal = Box<Rejection>;
    type Message = Infallible;
    const SIDE: Side = Side::Client;
    const ANSWERS: bool = false;

    fn classified(self, classifier: Classifier) -> Self {
        Any(Some(classifier))
    }

    fn classifier(&self) -> Option<&Classifier> {
        self.0.as_ref()
    }

    fn head_of(never: &mut Infallible) -> (&mut response::Parts, u64) {
        match *never {}
    }
}

impl<Req> Read<Req> for Any {
    #[inline]
    fn read(&self, _: &mut Req) -> Judged {
        Judged::SUCCESS
    }
}

impl<Res: 'static, E: Into<BoxError>> Respond<Res, E> for Any {
    type Response<W: Wrap> = Res;
    type Error = BoxError;

    #[inline]
    fn error(error: E) -> BoxError {
        error.into()
    }

    #[inline]
    fn body_info(_: &Res) -> Result<BodyInfo, Thrown> {
        Ok(BodyInfo {
            exact: None,
            ended: true,
        })
    }

    #[inline]
    fn head(_: &Res) -> Option<ResponseHead<'_>> {
        None
    }

    #[inline]
    fn judge(&self, call: &mut Judged, response: &Res, _: Option<u64>) -> Step {
        *call = self.judged(Ok(response));
        Step::Over
    }

    #[inline]
    fn judge_error<'a>(
        &self,
        call: &mut Judged,
        error: &'a BoxError,
    ) -> Option<&'a (dyn Error + 'static)> {
        let ending = self.ending::<Res>(Err(error));
        *call = ending.judged;
        ending.error
    }

    /// There is no room for one.
    #[inline]
    fn leave(_: &Judged, _: &mut Res) {}

    #[inline]
    fn leave_with(&self, call: &Judged, error: BoxError) -> BoxError {
        match self.0 {
            Some(_) if judge_error(&*error) != *call => JudgedError::new(*call, error).into(),
            _ => error,
        }
    }

    fn ending<'a>(call: &Judged, response: &'a Res) -> Ending<'a> {
        Ending {
            response: Some(response),
            ..Ending::of(*call)
        }
    }

    #[inline]
    fn wrap<W: Wrap>(response: Res, _: W::With<'_>) -> Res {
        response
    }

    fn instead(_: &Judged, why: Instead<'_, Box<Rejection>>) -> Result<Infallible, BoxError> {
        Err(why.into_error())
    }

    fn say<W: Wrap>(never: Infallible) -> Res {
        match never {}
    }
}
