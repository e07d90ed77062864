use std::borrow::Borrow;

use bytes::Bytes;
use http::Response;

use super::{
    HttpExchange, InjectedFailure, LocalFailure, Side, local_response::injected_response, sealed,
};
use crate::call::{BoxError, Rejection};

/// The differences of the HTTP protocols. Implemented by the three kinds of this module and by no other type.
pub trait HttpKind: sealed::Sealed {
    #[doc(hidden)]
    const SIDE: Side;
    #[doc(hidden)]
    const RESPONDS_LOCALLY: bool;
    /// True if a response that is not gRPC is a failure.
    #[doc(hidden)]
    const REQUIRES_GRPC: bool;
    #[doc(hidden)]
    type Rejection: From<Rejection> + Borrow<Rejection>;
}

/// The differences of the HTTP protocols over a service whose error is `E`.
#[diagnostic::on_unimplemented(
    message = "a client cannot answer for a service whose error is `{E}`",
    note = "clients need an error that converts into `BoxError`; that of a server must not borrow"
)]
pub trait HttpKindFor<E>: HttpKind {
    /// The error of the layered service.
    type Error: 'static;
    #[doc(hidden)]
    fn convert_error(error: E) -> Self::Error;
    #[doc(hidden)]
    fn wrap_error(call: &HttpExchange, error: Self::Error) -> Self::Error;
    #[doc(hidden)]
    fn local_response(
        call: &HttpExchange,
        why: LocalFailure<'_, Self::Rejection>,
    ) -> Result<Response<Bytes>, Self::Error>;
}

/// The kind that makes an [`HttpProtocol`](super::HttpProtocol) a [`Server`](super::Server).
#[derive(Clone, Copy, Debug)]
pub struct ServerKind(());

impl sealed::Sealed for ServerKind {}
impl HttpKind for ServerKind {
    const SIDE: Side = Side::Server;
    const RESPONDS_LOCALLY: bool = true;
    const REQUIRES_GRPC: bool = false;
    type Rejection = Rejection;
}

/// The error stays as it is, and has no room for a classification.
impl<E: 'static> HttpKindFor<E> for ServerKind {
    type Error = E;

    #[inline]
    fn convert_error(error: E) -> E {
        error
    }
    #[inline]
    fn wrap_error(_: &HttpExchange, error: E) -> E {
        error
    }
    fn local_response(
        call: &HttpExchange,
        why: LocalFailure<'_, Rejection>,
    ) -> Result<Response<Bytes>, E> {
        Ok(why.into_response(call))
    }
}

/// The kind that makes an [`HttpProtocol`](super::HttpProtocol) a [`Client`](super::Client).
#[derive(Clone, Copy, Debug)]
pub struct ClientKind(());

impl sealed::Sealed for ClientKind {}
impl HttpKind for ClientKind {
    const SIDE: Side = Side::Client;
    const RESPONDS_LOCALLY: bool = false;
    const REQUIRES_GRPC: bool = false;
    type Rejection = Box<Rejection>;
}

impl<E: Into<BoxError>> HttpKindFor<E> for ClientKind {
    type Error = BoxError;

    #[inline]
    fn convert_error(error: E) -> BoxError {
        error.into()
    }
    fn wrap_error(call: &HttpExchange, error: BoxError) -> BoxError {
        call.wrap_error(error)
    }
    fn local_response(
        call: &HttpExchange,
        why: LocalFailure<'_, Box<Rejection>>,
    ) -> Result<Response<Bytes>, BoxError> {
        match why {
            LocalFailure::Injected(InjectedFailure {
                response: Some(status),
                ..
            }) => Ok(injected_response(call, status)),
            why => Err(why.into_error()),
        }
    }
}

/// The kind that makes an [`HttpProtocol`](super::HttpProtocol) a [`GrpcClient`](super::GrpcClient).
#[derive(Clone, Copy, Debug)]
pub struct GrpcClientKind(());

impl sealed::Sealed for GrpcClientKind {}
impl HttpKind for GrpcClientKind {
    const SIDE: Side = Side::Client;
    const RESPONDS_LOCALLY: bool = true;
    const REQUIRES_GRPC: bool = true;
    type Rejection = Rejection;
}

impl<E: Into<BoxError>> HttpKindFor<E> for GrpcClientKind {
    type Error = BoxError;

    #[inline]
    fn convert_error(error: E) -> BoxError {
        error.into()
    }
    fn wrap_error(call: &HttpExchange, error: BoxError) -> BoxError {
        call.wrap_error(error)
    }
    fn local_response(
        call: &HttpExchange,
        why: LocalFailure<'_, Rejection>,
    ) -> Result<Response<Bytes>, BoxError> {
        match why {
            // The caller finds the rejection in the status: tonic drops the extensions of a response.
            #[cfg(feature = "tonic")]
            LocalFailure::Rejected(rejection) => Err(tonic::Status::from(rejection).into()),
            LocalFailure::Injected(InjectedFailure {
                response: None,
                error,
            }) => Err(lost_connection(error)),
            why => Ok(why.into_response(call)),
        }
    }
}

/// Returns the error of a channel whose connection is lost.
#[cfg(feature = "tonic")]
fn lost_connection(error: BoxError) -> BoxError {
    let mut status = tonic::Status::unavailable("the connection was lost");
    status.set_source(error.into());
    status.into()
}

#[cfg(not(feature = "tonic"))]
fn lost_connection(error: BoxError) -> BoxError {
    error
}
