use std::error::Error;

use bytes::Bytes;
use http::response;
use http_body::Body;

use super::{BodyExpected, LocalFailure, Protocol, ResponseHead};
use crate::call::{ClassifyInput, PanicPayload};

/// A protocol that can classify and hand on what a service returns, and respond in its place. `Res` and `E` are the response
/// and the error of the service.
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

    /// Returns length and end of a body before it is polled. The body is the service's own, and may panic.
    #[doc(hidden)]
    fn body_info(response: &Res) -> Result<BodyInfo, PanicPayload>;

    /// Returns the head, if the response has one.
    #[doc(hidden)]
    fn response_head(response: &Res) -> Option<ResponseHead<'_>>;

    /// Classifies a response by its head. `exact` is the length of its body if it is known.
    #[doc(hidden)]
    fn classify_response(
        &self,
        call: &mut Self::Call,
        response: &Res,
        exact: Option<u64>,
    ) -> BodyExpected;

    /// Classifies an error, and returns it as a std error if its type is known.
    #[doc(hidden)]
    fn classify_error<'a>(
        &self,
        call: &mut Self::Call,
        error: &'a Self::Error,
    ) -> Option<&'a (dyn Error + 'static)>;

    /// Leaves the classification of a classifier with the response, for outer layers.
    #[doc(hidden)]
    fn share_classification(call: &Self::Call, response: &mut Res);

    /// Leaves the classification of a classifier with the error, for outer layers.
    #[doc(hidden)]
    fn wrap_error(&self, call: &Self::Call, error: Self::Error) -> Self::Error;

    /// Returns what a response was classified by.
    #[doc(hidden)]
    fn classify_input<'a>(call: &Self::Call, response: &'a Res) -> ClassifyInput<'a>;

    /// Hands the response on.
    #[doc(hidden)]
    fn wrap_response<W: WrapBody>(response: Res, with: W::With<'_>) -> Self::Response<W>;

    /// Returns the response in the service's place: a message, or an error if the protocol has no messages.
    #[doc(hidden)]
    fn local_response(
        call: &Self::Call,
        why: LocalFailure<'_, Self::Rejection>,
    ) -> Result<Self::Message, Self::Error>;

    /// Hands on the response in the service's place.
    #[doc(hidden)]
    fn message_response<W: WrapBody>(message: Self::Message) -> Self::Response<W>;
}

/// The length and the end of a body, as known before it is polled.
#[derive(Clone, Copy, Debug)]
pub struct BodyInfo {
    /// The length in bytes, if known.
    pub(crate) exact_len: Option<u64>,
    /// True if nothing of the body is still to come.
    pub(crate) is_end: bool,
}

/// The wrapper of a layer for bodies of responses. Not used over plain services, whose responses have no body.
pub trait WrapBody {
    /// The body as it is handed on.
    type Body<B>;
    /// The input that makes one.
    type With<'a>
    where
        Self: 'a;

    /// Wraps the service's body. The head may be added to.
    fn wrap_body<B: Body<Data = Bytes>>(
        with: Self::With<'_>,
        parts: &mut response::Parts,
        body: B,
    ) -> Self::Body<B>;

    /// Returns the body of a response in the service's place.
    fn message_body<B>(message: Bytes) -> Self::Body<B>;
}
