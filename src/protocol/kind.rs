use std::borrow::Borrow;

use bytes::Bytes;
use http::Response;

use super::{HttpCall, Instead, Side, sealed};
use crate::call::{BoxError, Rejection};

/// In what HTTP protocols differ. Implemented by the three kinds of this module and by no other type.
pub trait Kind: sealed::Sealed {
    #[doc(hidden)]
    const SIDE: Side;
    #[doc(hidden)]
    const ANSWERS: bool;
    /// Whether an answer that is not gRPC is a failure.
    #[doc(hidden)]
    const ONLY_GRPC: bool;
    #[doc(hidden)]
    type Refusal: From<Rejection> + Borrow<Rejection>;
}

/// In what they differ over a service whose error is `E`.
#[diagnostic::on_unimplemented(
    message = "a client cannot answer for a service whose error is `{E}`",
    note = "clients need an error that converts into `BoxError`; that of a server must not borrow"
)]
pub trait KindOver<E>: Kind {
    /// The error of the layered service.
    type Error: 'static;
    #[doc(hidden)]
    fn error(error: E) -> Self::Error;
    #[doc(hidden)]
    fn leave_with(call: &HttpCall, error: Self::Error) -> Self::Error;
    #[doc(hidden)]
    fn instead(
        call: &HttpCall,
        why: Instead<'_, Self::Refusal>,
    ) -> Result<Response<Bytes>, Self::Error>;
}

/// Makes an [`HttpProtocol`](super::HttpProtocol) a [`Server`](super::Server).
#[derive(Clone, Copy, Debug)]
pub struct ServerKind(());

impl sealed::Sealed for ServerKind {}
impl Kind for ServerKind {
    const SIDE: Side = Side::Server;
    const ANSWERS: bool = true;
    const ONLY_GRPC: bool = false;
    type Refusal = Rejection;
}

/// The error stays as it is, and has no room for a judgement.
impl<E: 'static> KindOver<E> for ServerKind {
    type Error = E;

    #[inline]
    fn error(error: E) -> E {
        error
    }
    #[inline]
    fn leave_with(_: &HttpCall, error: E) -> E {
        error
    }
    fn instead(call: &HttpCall, why: Instead<'_, Rejection>) -> Result<Response<Bytes>, E> {
        Ok(why.into_answer(call))
    }
}

/// Makes an [`HttpProtocol`](super::HttpProtocol) a [`Client`](super::Client).
#[derive(Clone, Copy, Debug)]
pub struct ClientKind(());

impl sealed::Sealed for ClientKind {}
impl Kind for ClientKind {
    const SIDE: Side = Side::Client;
    const ANSWERS: bool = false;
    const ONLY_GRPC: bool = false;
    type Refusal = Box<Rejection>;
}

impl<E: Into<BoxError>> KindOver<E> for ClientKind {
    type Error = BoxError;

    #[inline]
    fn error(error: E) -> BoxError {
        error.into()
    }
    fn leave_with(call: &HttpCall, error: BoxError) -> BoxError {
        call.leave_verdict_with(error)
    }
    fn instead(
        _: &HttpCall,
        why: Instead<'_, Box<Rejection>>,
    ) -> Result<Response<Bytes>, BoxError> {
        Err(why.into_error())
    }
}

/// Makes an [`HttpProtocol`](super::HttpProtocol) a [`GrpcClient`](super::GrpcClient).
#[derive(Clone, Copy, Debug)]
pub struct GrpcClientKind(());

impl sealed::Sealed for GrpcClientKind {}
impl Kind for GrpcClientKind {
    const SIDE: Side = Side::Client;
    const ANSWERS: bool = true;
    const ONLY_GRPC: bool = true;
    type Refusal = Rejection;
}

impl<E: Into<BoxError>> KindOver<E> for GrpcClientKind {
    type Error = BoxError;

    #[inline]
    fn error(error: E) -> BoxError {
        error.into()
    }
    fn leave_with(call: &HttpCall, error: BoxError) -> BoxError {
        call.leave_verdict_with(error)
    }
    fn instead(call: &HttpCall, why: Instead<'_, Rejection>) -> Result<Response<Bytes>, BoxError> {
        Ok(why.into_answer(call))
    }
}
