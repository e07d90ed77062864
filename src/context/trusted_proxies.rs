use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{Extensions, HeaderMap, Request};

use super::{
    forwarded::ForwardedHeader,
    network::{Network, any_contains},
};
use crate::call::ConfigError;

const COMPONENT: &str = "trusted proxies";

/// The proxies that are trusted to name the address of the client, by their networks.
///
/// The address of the client is that of the peer, unless the peer is a trusted proxy. Then the header that the proxies write is
/// read from its end: each proxy appends the address that it was called from. The first address that is not in a trusted
/// network is the client's. An entry that is malformed or hidden (`unknown`, `_gateway`) ends the search: what stands before it
/// may be forged, so the address is that of the proxy which wrote the entry.
///
/// Exactly one header is read, the one that the proxies write. The other one is whatever a stranger has sent.
///
/// The address of the peer is axum's `ConnectInfo<SocketAddr>` (feature `axum`; serve the router with
/// `into_make_service_with_connect_info`), or a [`SocketAddr`] that the accept loop has put into the extensions of the request.
/// Without one, there is no client address. tonic's servers have the address in their `TcpConnectInfo`, which is not read: [a layer
/// copies it](crate::guide::trust#on-a-tonic-server).
///
/// IPv4 addresses that are mapped to IPv6 (`::ffff:10.0.0.1`), as a socket for both shows them, are IPv4 addresses.
///
/// ```
/// use std::net::SocketAddr;
/// use tower_keep::context::TrustedProxies;
///
/// let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8", "fd00::/8"])?;
/// let mut request = http::Request::builder()
///     .header("x-forwarded-for", "192.0.2.1, 203.0.113.7, 10.0.0.2")
///     .body(())?;
/// request.extensions_mut().insert(SocketAddr::from(([10, 0, 0, 1], 4711)));
/// // 192.0.2.1 is what the client at 203.0.113.7 claims.
/// assert_eq!(proxies.client_address(&request), Some([203, 0, 113, 7].into()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    networks: Arc<[Network]>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    /// Trusts no proxy: the address of the client is that of the peer.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use http::Request;
    /// use tower_keep::context::TrustedProxies;
    ///
    /// let mut request = Request::get("/").header("x-forwarded-for", "192.0.2.1").body(())?;
    /// request.extensions_mut().insert(SocketAddr::from(([203, 0, 113, 7], 4711)));
    /// let client = TrustedProxies::none().client_address(&request);
    /// assert_eq!(client, Some([203, 0, 113, 7].into()));
    /// # Ok::<_, http::Error>(())
    /// ```
    pub fn none() -> Self {
        TrustedProxies {
            networks: Arc::new([]),
            header: ForwardedHeader::XForwardedFor,
        }
    }

    /// Trusts proxies in these networks, which append to `X-Forwarded-For`: nginx, HAProxy, Envoy, most load balancers.
    ///
    /// A network is an address or CIDR notation, IPv4 or IPv6, without bits after the prefix. `0.0.0.0/0` are all IPv4
    /// addresses, `::/0` all of IPv6.
    ///
    /// ```
    /// use tower_keep::{Track, context::TrustedProxies};
    ///
    /// let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8", "fd00::/8"])?;
    /// let track = Track::builder("orders").client_address(proxies).build()?;
    /// # let _ = track;
    ///
    /// let error = TrustedProxies::x_forwarded_for(["10.0.0.1/8"]).unwrap_err();
    /// assert!(error.to_string().contains("10.0.0.1/8"), "{error}");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Names the network that is malformed.
    pub fn x_forwarded_for<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        TrustedProxies::new(networks, ForwardedHeader::XForwardedFor)
    }

    /// Trusts proxies in these networks, which append to `Forwarded` (RFC 7239). Networks are written as for
    /// [`x_forwarded_for`](Self::x_forwarded_for).
    ///
    /// ```
    /// use tower_keep::{Track, context::TrustedProxies};
    ///
    /// let proxies = TrustedProxies::forwarded(["192.168.0.0/16", "::1"])?;
    /// let track = Track::builder("orders").client_address(proxies).build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Names the network that is malformed.
    pub fn forwarded<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        TrustedProxies::new(networks, ForwardedHeader::Forwarded)
    }

    fn new<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
        header: ForwardedHeader,
    ) -> Result<Self, ConfigError> {
        Ok(TrustedProxies {
            networks: Network::parse_all(COMPONENT, networks)?.into(),
            header,
        })
    }

    /// Returns the address of the client that a request came from, if the address of the peer is known. For custom guards and
    /// handlers.
    pub fn client_address<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        self.client_address_of(request.extensions(), request.headers())
    }

    pub(crate) fn client_address_of(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Option<IpAddr> {
        let peer = peer_address(extensions)?.to_canonical();
        Some(self.walk(peer, headers))
    }

    fn walk(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let (mut client, mut addresses) = (peer, self.header.addresses_from_last(headers));
        while any_contains(&self.networks, client)
            && let Some(Some(address)) = addresses.next()
        {
            client = address;
        }
        client
    }
}

/// Returns the address of the peer that the server has put into the extensions of a request.
pub(super) fn peer_address(extensions: &Extensions) -> Option<IpAddr> {
    #[cfg(feature = "axum")]
    if let Some(peer) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(peer.0.ip());
    }
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}
