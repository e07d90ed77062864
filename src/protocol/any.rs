use std::{convert::Infallible, error::Error};

use http::response;

use super::{
    BodyExpected, BodyInfo, LocalFailure, Protocol, ReadRequest, Respond, ResponseHead, Side,
    WrapBody, classify_error, sealed,
};
use crate::call::{
    BoxError, Classification, ClassifiedError, Classifier, ClassifyInput, PanicPayload, Rejection,
};

/// The protocol of any service: see the [module](super).
#[derive(Clone, Debug, Default)]
pub struct AnyService(Option<Classifier>);

impl AnyService {
    pub(crate) const fn new() -> Self {
        AnyService(None)
    }

    /// Classifies a result.
    #[inline]
    pub(crate) fn classify<T: 'static>(&self, result: Result<&T, &BoxError>) -> Classification {
        match (&self.0, result) {
            // The path of most calls, which builds no input.
            (None, Ok(_)) => Classification::SUCCESS,
            _ => self.classify_input(result).classification,
        }
    }

    /// Classifies a result; returns what it was classified by as well.
    #[inline]
    pub(crate) fn classify_input<'a, T: 'static>(
        &self,
        result: Result<&'a T, &'a BoxError>,
    ) -> ClassifyInput<'a> {
        let mut input = match result {
            Ok(response) => ClassifyInput {
                response: Some(response),
                ..ClassifyInput::new(Classification::SUCCESS)
            },
            Err(error) => ClassifyInput {
                error: Some(&**error),
                ..ClassifyInput::new(classify_error(&**error))
            },
        };
        if let Some(classifier) = &self.0 {
            classifier.classify(&mut input);
        }
        input
    }
}

impl sealed::Sealed for AnyService {}

impl Protocol for AnyService {
    type Call = Classification;
    type Rejection = Box<Rejection>;
    type Message = Infallible;
    const SIDE: Side = Side::Client;
    const RESPONDS_LOCALLY: bool = false;

    fn with_classifier(self, classifier: Classifier) -> Self {
        AnyService(Some(classifier))
    }

    fn classifier(&self) -> Option<&Classifier> {
        self.0.as_ref()
    }

    fn message_head(never: &mut Infallible) -> (&mut response::Parts, u64) {
        match *never {}
    }
}

impl<Req> ReadRequest<Req> for AnyService {
    #[inline]
    fn read(&self, _: &mut Req) -> Classification {
        Classification::SUCCESS
    }
}

impl<Res: 'static, E: Into<BoxError>> Respond<Res, E> for AnyService {
    type Response<W: WrapBody> = Res;
    type Error = BoxError;

    #[inline]
    fn convert_error(error: E) -> BoxError {
        error.into()
    }

    #[inline]
    fn body_info(_: &Res) -> Result<BodyInfo, PanicPayload> {
        // A plain response is complete as soon as it is there.
        Ok(BodyInfo {
            exact_len: None,
            is_end: true,
        })
    }

    #[inline]
    fn response_head(_: &Res) -> Option<ResponseHead<'_>> {
        None
    }

    #[inline]
    fn classify_response(
        &self,
        call: &mut Classification,
        response: &Res,
        _: Option<u64>,
    ) -> BodyExpected {
        *call = self.classify(Ok(response));
        BodyExpected::No
    }

    #[inline]
    fn classify_error<'a>(
        &self,
        call: &mut Classification,
        error: &'a BoxError,
    ) -> Option<&'a (dyn Error + 'static)> {
        let input = self.classify_input::<Res>(Err(error));
        *call = input.classification;
        input.error
    }

    /// Does nothing: a plain response has no extensions to leave a classification in.
    #[inline]
    fn share_classification(_: &Classification, _: &mut Res) {}

    #[inline]
    fn wrap_error(&self, call: &Classification, error: BoxError) -> BoxError {
        match self.0 {
            Some(_) if classify_error(&*error) != *call => {
                ClassifiedError::new(*call, error).into()
            }
            _ => error,
        }
    }

    fn classify_input<'a>(call: &Classification, response: &'a Res) -> ClassifyInput<'a> {
        ClassifyInput {
            response: Some(response),
            ..ClassifyInput::new(*call)
        }
    }

    #[inline]
    fn wrap_response<W: WrapBody>(response: Res, _: W::With<'_>) -> Res {
        response
    }

    fn local_response(
        _: &Classification,
        why: LocalFailure<'_, Box<Rejection>>,
    ) -> Result<Infallible, BoxError> {
        Err(why.into_error())
    }

    fn message_response<W: WrapBody>(never: Infallible) -> Res {
        match never {}
    }
}
