use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ClientFuture, body::into_body};
use crate::call::BoxError;

/// A `reqwest::Client` as a service of HTTP requests; made by [`service`].
///
/// # Clones
///
/// Clones share the connections of the client.
#[derive(Clone, Debug)]
pub struct ClientService(::reqwest::Client);

/// Makes a `reqwest::Client` the innermost service of a stack of layers: see the [module](super).
///
/// It takes `http::Request` with any body that is `Send`, those of retries included, and returns an
/// `http::Response`. `reqwest::Response::from` makes it reqwest's again, with its `url()`.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_keep::{observe, reqwest::service};
///
/// let stack = ServiceBuilder::new()
///     .layer(observe("payments").client())
///     .service(service(reqwest::Client::new()));
/// # let _ = stack;
/// ```
pub fn service(client: ::reqwest::Client) -> ClientService {
    ClientService(client)
}

impl<B> Service<Request<B>> for ClientService
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<::reqwest::Body>;
    type Error = ::reqwest::Error;
    type Future = ClientFuture;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ::reqwest::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ClientFuture {
        match ::reqwest::Request::try_from(request.map(into_body)) {
            Ok(request) => ClientFuture::pending(self.0.call(request)),
            Err(error) => ClientFuture::failed(error),
        }
    }
}
