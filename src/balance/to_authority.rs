use std::task::{Context, Poll};

use http::{
    HeaderValue, Request, Uri,
    header::HOST,
    uri::{Authority, PathAndQuery, Scheme},
};
use tower_service::Service;

/// A service that sends HTTP requests to one authority, whatever their URI says; made by [`to_authority`].
///
/// # Clones
///
/// Clones send to the same authority, through clones of the client.
#[derive(Clone, Debug)]
pub struct ToAuthority<S> {
    inner: S,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
}

/// Makes one client, such as that of hyper or reqwest, that of one endpoint: scheme and authority of each request are replaced, and the
/// `Host` header if there is one. The client has a pool of connections for each authority.
///
/// ```
/// # #[cfg(feature = "reqwest")] {
/// use http::uri::{Authority, Scheme};
/// use tower_keep::{Balance, balance::to_authority, reqwest::service};
///
/// let client = service(reqwest::Client::new());
/// let ledger = Balance::new("ledger").client(move |authority: &Authority| {
///     to_authority(client.clone(), Scheme::HTTP, authority.clone())
/// });
/// ledger.endpoints().set([Authority::from_static("10.0.0.1:80"), Authority::from_static("10.0.0.2:80")]);
/// # }
/// ```
pub fn to_authority<S>(inner: S, scheme: Scheme, authority: Authority) -> ToAuthority<S> {
    // An authority has no characters that a header may not have.
    let host = authority.as_str().rsplit_once('@');
    let host = host.map_or(authority.as_str(), |(_, host)| host);
    let host = HeaderValue::from_str(host).unwrap_or_else(|_| HeaderValue::from_static(""));
    ToAuthority {
        inner,
        scheme,
        authority,
        host,
    }
}

impl<S, B> Service<Request<B>> for ToAuthority<S>
where
    // The client.
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        // That of `CONNECT` has none.
        let path = || PathAndQuery::from_static("/");
        parts.path_and_query = Some(parts.path_and_query.unwrap_or_else(path));
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        if let Some(host) = request.headers_mut().get_mut(HOST) {
            *host = self.host.clone();
        }
        self.inner.call(request)
    }
}
