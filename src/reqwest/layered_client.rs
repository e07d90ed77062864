use std::{fmt, future::poll_fn};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use reqwest::RequestBuilder;
use tower_service::Service;

use super::{body::into_body, future::url_extension};
use crate::call::BoxError;

/// A stack of layers around a `reqwest::Client` that is called like the client: see the [module](super).
///
/// # Clones
///
/// Clones share the connections of the client, and the state of the layers. Each call works on a clone of the stack.
///
/// ```no_run
/// use tower::ServiceBuilder;
/// use tower_keep::{BoxError, CircuitBreaker, reqwest::{LayeredClient, service}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let http = reqwest::Client::new();
/// let stack = ServiceBuilder::new()
///     .layer(CircuitBreaker::new("payments").layer().client())
///     .service(service(http.clone()));
/// let client = LayeredClient::new(stack);
/// let response = client.send(http.put("http://payments.local/orders/7").json(&"paid")).await?;
/// println!("{} of {}", response.status(), response.url());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LayeredClient<S> {
    stack: S,
}

impl<S, RB> LayeredClient<S>
where
    // The stack. Required here already, or the compiler would only say that there is no method `send`.
    S: Service<Request<::reqwest::Body>, Response = Response<RB>, Error: Into<BoxError>> + Clone,
    // The body of its responses.
    RB: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    /// Wraps a stack of layers whose innermost service is [`service`](super::service).
    ///
    /// ```
    /// use tower_keep::reqwest::{LayeredClient, service};
    ///
    /// let client = LayeredClient::new(service(reqwest::Client::new()));
    /// # let _ = client;
    /// ```
    pub fn new(stack: S) -> Self {
        LayeredClient { stack }
    }

    /// Builds a request, and sends it through the layers.
    ///
    /// # Errors
    ///
    /// The `reqwest::Error` of a request that cannot be built, or the error of the stack: find out by
    /// [`call::find`](crate::call::find) whether it holds a `reqwest::Error`, a [`Rejection`](crate::Rejection) or an
    /// [`Elapsed`](crate::call::Elapsed). A response of any status is no error, as with reqwest.
    pub async fn send(&self, request: RequestBuilder) -> Result<::reqwest::Response, BoxError> {
        self.execute(request.build()?).await
    }

    /// Sends a request through the layers; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As those of `send`.
    pub async fn execute(
        &self,
        request: ::reqwest::Request,
    ) -> Result<::reqwest::Response, BoxError> {
        let url = request.url().clone();
        let request = Request::try_from(request)?;
        let mut stack = self.stack.clone();
        poll_fn(|cx| stack.poll_ready(cx))
            .await
            .map_err(Into::into)?;
        let response = stack.call(request).await.map_err(Into::into)?;
        let (mut parts, body) = response.into_parts();
        // The URL of the response replaces that of the request; a response that a fallback made has none.
        let mut extensions = url_extension(url);
        extensions.extend(parts.extensions);
        parts.extensions = extensions;
        let response = Response::from_parts(parts, into_body(body));
        Ok(::reqwest::Response::from(response))
    }
}

impl<S> fmt::Debug for LayeredClient<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredClient").finish_non_exhaustive()
    }
}
