use std::error::Error;

use bytes::Bytes;
use http::response;
use http_body::Body;

use super::{BodyExpected, LocalFailure, Protocol, ResponseHead};
use crate::call::{ClassifyInput, PanicPayload};

/// Judges what a service gives, hands it on, and answers in the service's place. `Res` and `E` are the
/// service's own.
///
/// Implemented for the four [protocols](super); not meant to be called.
#[diagnostic::on_unimplemented(
    message = "the `{Self}` protocol cannot answer for a service that gives `Result<{Res}, {E}>`",
    note = "`Any` and the clients need an error that converts into `BoxError`",
    note = "HTTP and gRPC need `http::Response<B>` with `B: http_body::Body<Data = Bytes>`"
)]
pub trait Respond<Res, E>: Protocol {
    /// The response of the layered service: over HTTP, with a body of the layer's.
    type Response<W: WrapBody>;
    /// The error of the layered service.
    type Error: 'static;

    #[doc(hidden)]
    fn convert_error(error: E) -> Self::Error;

    /// Returns what the body of a response says before it is polled. It is the service's own, and may panic.
    #[doc(hidden)]
    fn body_info(response: &Res) -> Result<BodyInfo, PanicPayload>;

    /// The head, if it has one.
    #[doc(hidden)]
    fn response_head(response: &Res) -> Option<ResponseHead<'_>>;

    /// Judges a response, or its head. `exact` is the length of its body if it is known.
    #[doc(hidden)]
    fn classify_response(
        &self,
        call: &mut Self::Call,
        response: &Res,
        exact: Option<u64>,
    ) -> BodyExpected;

    /// Judges an error, and looks into it if it can be looked into.
    #[doc(hidden)]
    fn classify_error<'a>(
        &self,
        call: &mut Self::Call,
        error: &'a Self::Error,
    ) -> Option<&'a (dyn Error + 'static)>;

    /// Leaves a classifier's judgement with the response, for the layers further out.
    #[doc(hidden)]
    fn share_classification(call: &Self::Call, response: &mut Res);

    /// Leaves a classifier's judgement with the error, for the layers further out.
    #[doc(hidden)]
    fn wrap_error(&self, call: &Self::Call, error: Self::Error) -> Self::Error;

    /// Returns what a response was judged by.
    #[doc(hidden)]
    fn classify_input<'a>(call: &Self::Call, response: &'a Res) -> ClassifyInput<'a>;

    /// Hands the response on.
    #[doc(hidden)]
    fn wrap_response<W: WrapBody>(response: Res, with: W::With<'_>) -> Self::Response<W>;

    /// Returns the answer in the service's place: a message if the protocol has any, else an error.
    #[doc(hidden)]
    fn local_response(
        call: &Self::Call,
        why: LocalFailure<'_, Self::Refusal>,
    ) -> Result<Self::Message, Self::Error>;

    /// Hands on what is said in the service's place.
    #[doc(hidden)]
    fn message_response<W: WrapBody>(message: Self::Message) -> Self::Response<W>;
}

/// A body's length and end, as known before it is polled.
#[derive(Clone, Copy, Debug)]
pub struct BodyInfo {
    /// Length in bytes, if that is known.
    pub(crate) exact_len: Option<u64>,
    /// `true` if nothing of it is still to come.
    pub(crate) is_end: bool,
}

/// Wraps the bodies of responses for a layer. Over services of other kinds there are none, and it is not asked.
pub trait WrapBody {
    /// A body as it is handed on.
    type Body<B>;
    /// Input that makes one.
    type With<'a>
    where
        Self: 'a;

    /// The service's body. Heads may be added to.
    fn wrap_body<B: Body<Data = Bytes>>(
        with: Self::With<'_>,
        parts: &mut response::Parts,
        body: B,
    ) -> Self::Body<B>;

    /// The body of what is said in the service's place.
    fn message_body<B>(message: Bytes) -> Self::Body<B>;
}
