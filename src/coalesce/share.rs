use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    CoalescedBody, SharedError, flight::Landed, http_share::CollectResponse,
    reserved_bytes::ReservedBytes, share_rules::ShareRules, shared_response::SharedResponse,
    wrap_body::WrapCoalesced,
};
use crate::{
    call::BoxError,
    protocol::{
        AnyService, ClientKind, GrpcClientKind, HttpKindFor, HttpProtocol, Respond, ServerKind,
    },
};

/// The result of a layered service.
pub(super) type CoalescedResult<P, Res, E> =
    Result<<P as Respond<Res, E>>::Response<WrapCoalesced>, <P as Respond<Res, E>>::Error>;

/// A protocol whose results several callers can share. Implemented for all four, with these conditions: responses of plain services
/// and errors of servers are `Clone`.
#[diagnostic::on_unimplemented(
    message = "callers cannot share the result `Result<{Res}, {E}>` by the `{Self}` protocol",
    note = "responses of plain services must be `Clone`, and so must the errors of servers; HTTP responses and other errors need not be"
)]
pub trait Share<Res, E>: Respond<Res, E> {
    /// The result as it is shared.
    #[doc(hidden)]
    type Shared: Clone + Send + Sync + 'static;
    /// A result that only one caller can have.
    #[doc(hidden)]
    type Own: Send + 'static;
    /// The future that makes a result shareable.
    #[doc(hidden)]
    type Collect<F: Future<Output = Result<Res, E>>>: Future<
        Output = Landed<Self::Shared, Self::Own>,
    >;

    /// Makes the result of a call shareable, if the rules allow it and its bytes can be reserved.
    #[doc(hidden)]
    fn collect<F: Future<Output = Result<Res, E>>>(
        future: F,
        rules: ShareRules,
        reserved: ReservedBytes,
    ) -> Self::Collect<F>;

    /// Hands a shared result on to one caller.
    #[doc(hidden)]
    fn from_shared(shared: Self::Shared) -> CoalescedResult<Self, Res, E>;

    /// Hands on a result that only one caller can have.
    #[doc(hidden)]
    fn from_own(own: Self::Own) -> CoalescedResult<Self, Res, E>;

    /// Hands on the result of a call that was made for itself.
    #[doc(hidden)]
    fn from_service(result: Result<Res, E>) -> CoalescedResult<Self, Res, E>;
}

pin_project! {
    /// The future of a call to a plain service, whose result is shareable as it is.
    pub struct ShareResult<F> {
        #[pin]
        future: F,
    }
}

impl<F, Res, E> Future for ShareResult<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Landed<Result<Res, SharedError>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.project().future.poll(cx));
        Poll::Ready(Landed::Shared(result.map_err(SharedError::new)))
    }
}

impl<Res: Clone + Send + Sync + 'static, E: Into<BoxError>> Share<Res, E> for AnyService {
    type Shared = Result<Res, SharedError>;
    // Each result of a plain service can be cloned.
    type Own = Infallible;
    type Collect<F: Future<Output = Result<Res, E>>> = ShareResult<F>;

    fn collect<F: Future<Output = Result<Res, E>>>(
        future: F,
        _: ShareRules,
        _: ReservedBytes,
    ) -> ShareResult<F> {
        ShareResult { future }
    }

    fn from_shared(shared: Self::Shared) -> Result<Res, BoxError> {
        shared.map_err(Into::into)
    }

    fn from_own(own: Infallible) -> Result<Res, BoxError> {
        match own {}
    }

    fn from_service(result: Result<Res, E>) -> Result<Res, BoxError> {
        result.map_err(Into::into)
    }
}

impl<B, E, K> Share<Response<B>, E> for HttpProtocol<K>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    K: ShareError<E>,
{
    type Shared = Result<SharedResponse, K::SharedError>;
    type Own = Response<CoalescedBody<B>>;
    type Collect<F: Future<Output = Result<Response<B>, E>>> = CollectResponse<F, B, K>;

    fn collect<F: Future<Output = Result<Response<B>, E>>>(
        future: F,
        rules: ShareRules,
        reserved: ReservedBytes,
    ) -> Self::Collect<F> {
        CollectResponse::new(future, rules, reserved)
    }

    fn from_shared(shared: Self::Shared) -> CoalescedResult<Self, Response<B>, E> {
        match shared {
            Ok(response) => Ok(response.to_response()),
            Err(error) => Err(K::from_shared(error)),
        }
    }

    fn from_own(own: Self::Own) -> CoalescedResult<Self, Response<B>, E> {
        Ok(own)
    }

    fn from_service(result: Result<Response<B>, E>) -> CoalescedResult<Self, Response<B>, E> {
        match result {
            Ok(response) => Ok(response.map(CoalescedBody::from_service)),
            Err(error) => Err(K::convert_error(error)),
        }
    }
}

/// An HTTP protocol whose errors several callers can share.
pub trait ShareError<E>: HttpKindFor<E> {
    #[doc(hidden)]
    type SharedError: Clone + Send + Sync + 'static;

    #[doc(hidden)]
    fn share_error(error: E) -> Self::SharedError;

    #[doc(hidden)]
    fn from_shared(shared: Self::SharedError) -> Self::Error;
}

/// The error stays as it is, `Infallible` included.
impl<E: Clone + Send + Sync + 'static> ShareError<E> for ServerKind {
    type SharedError = E;

    fn share_error(error: E) -> E {
        error
    }

    fn from_shared(shared: E) -> E {
        shared
    }
}

impl<E: Into<BoxError>> ShareError<E> for ClientKind {
    type SharedError = SharedError;

    fn share_error(error: E) -> SharedError {
        SharedError::new(error)
    }

    fn from_shared(shared: SharedError) -> BoxError {
        shared.into()
    }
}

impl<E: Into<BoxError>> ShareError<E> for GrpcClientKind {
    type SharedError = SharedError;

    fn share_error(error: E) -> SharedError {
        SharedError::new(error)
    }

    fn from_shared(shared: SharedError) -> BoxError {
        shared.into()
    }
}
