//! Sources of the key of a request.

use std::{
    fmt::{self, Display},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use http::{HeaderName, Request};

use super::shared::KeyedShared;
use crate::{
    context::TrustedProxies,
    util::{headers::find_header, text::display_bounded},
};

/// The longest text of a key in a rejection, in bytes.
const MAX_KEY_TEXT: usize = 128;
/// The part of an IPv6 address that a caller cannot choose: most have 64 bits for themselves.
const IPV6_NETWORK: u128 = !0 << 64;

/// Hashes keys with the secret of a keyed rate limit.
#[derive(Clone, Copy)]
pub struct KeyHasher<'a>(pub(super) &'a KeyedShared);

impl KeyHasher<'_> {
    #[inline]
    fn hash<Q: Hash + ?Sized>(self, key: &Q) -> u64 {
        self.0.hash(key)
    }
}

/// A source of keys for requests of this type. Users do not implement it, since any key is a closure's:
/// [`KeyedRateLimit::keyed_by`](super::KeyedRateLimit::keyed_by).
pub trait LimitKey<Req> {
    /// Returns the hash of the request's key, if it has one.
    fn hash(&self, request: &Req, hasher: KeyHasher<'_>) -> Option<u64>;

    /// Returns the key as rejections show it.
    fn text(&self, request: &Req) -> Option<Box<str>>;

    /// Returns as how many calls the request counts.
    #[inline]
    fn weight(&self, _: &Req) -> u32 {
        1
    }
}

/// The value of a header as the key; see [`KeyedRateLimit::keyed_by_header`](super::KeyedRateLimit::keyed_by_header).
#[derive(Clone, Debug)]
pub struct HeaderKey(pub(super) HeaderName);

impl<B> LimitKey<Request<B>> for HeaderKey {
    #[inline]
    fn hash(&self, request: &Request<B>, hasher: KeyHasher<'_>) -> Option<u64> {
        let value = find_header(request.headers(), &self.0)?;
        // As text, so that a handle finds the bucket by it.
        Some(match value.to_str() {
            Ok(text) => hasher.hash(text),
            Err(_) => hasher.hash(value.as_bytes()),
        })
    }

    fn text(&self, _: &Request<B>) -> Option<Box<str>> {
        None
    }
}

/// The address of the client as the key; see
/// [`KeyedRateLimit::keyed_by_client_address`](super::KeyedRateLimit::keyed_by_client_address).
#[derive(Clone, Debug)]
pub struct ClientAddressKey(pub(super) TrustedProxies);

impl ClientAddressKey {
    fn network<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        Some(match self.0.client_address(request)? {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK))
            }
            address => address,
        })
    }
}

impl<B> LimitKey<Request<B>> for ClientAddressKey {
    #[inline]
    fn hash(&self, request: &Request<B>, hasher: KeyHasher<'_>) -> Option<u64> {
        Some(hasher.hash(&self.network(request)?))
    }

    fn text(&self, request: &Request<B>) -> Option<Box<str>> {
        Some(match self.network(request)? {
            IpAddr::V6(network) => format!("{network}/64").into(),
            address => address.to_string().into(),
        })
    }
}

/// The route of axum as the key; see [`KeyedRateLimit::keyed_by_route`](super::KeyedRateLimit::keyed_by_route).
#[cfg(feature = "axum")]
#[derive(Clone, Debug)]
pub struct RouteKey(pub(super) ());

#[cfg(feature = "axum")]
impl<B> LimitKey<Request<B>> for RouteKey {
    #[inline]
    fn hash(&self, request: &Request<B>, hasher: KeyHasher<'_>) -> Option<u64> {
        let route = request.extensions().get::<axum::extract::MatchedPath>()?;
        Some(hasher.hash(route.as_str()))
    }

    fn text(&self, request: &Request<B>) -> Option<Box<str>> {
        let route = request.extensions().get::<axum::extract::MatchedPath>()?;
        Some(display_bounded(route.as_str(), MAX_KEY_TEXT))
    }
}

/// The key that a closure makes; see [`KeyedRateLimit::keyed_by`](super::KeyedRateLimit::keyed_by).
#[derive(Clone)]
pub struct ClosureKey<F>(pub(super) F);

impl<Req, K, F> LimitKey<Req> for ClosureKey<F>
where
    K: Hash + Display,
    F: Fn(&Req) -> Option<K>,
{
    #[inline]
    fn hash(&self, request: &Req, hasher: KeyHasher<'_>) -> Option<u64> {
        Some(hasher.hash(&(self.0)(request)?))
    }

    fn text(&self, request: &Req) -> Option<Box<str>> {
        Some(key_text((self.0)(request)?))
    }
}

impl<F> fmt::Debug for ClosureKey<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClosureKey")
    }
}

/// The key that a closure finds; see [`KeyedRateLimit::keyed_by_ref`](super::KeyedRateLimit::keyed_by_ref).
#[derive(Clone)]
pub struct RefKey<F>(pub(super) F);

impl<Req, Q, F> LimitKey<Req> for RefKey<F>
where
    Q: Hash + Display + ?Sized,
    F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
{
    #[inline]
    fn hash(&self, request: &Req, hasher: KeyHasher<'_>) -> Option<u64> {
        Some(hasher.hash((self.0)(request)?))
    }

    fn text(&self, request: &Req) -> Option<Box<str>> {
        Some(key_text((self.0)(request)?))
    }
}

impl<F> fmt::Debug for RefKey<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefKey")
    }
}

/// A source of keys with the weight of a request; see [`KeyedRateLimitGuard::weighted_by`](super::KeyedRateLimitGuard::weighted_by).
pub struct WeightedKey<S, F> {
    pub(super) source: Arc<S>,
    pub(super) weight: F,
}

impl<Req, S, F> LimitKey<Req> for WeightedKey<S, F>
where
    // Finds the key.
    S: LimitKey<Req>,
    // Weighs the request.
    F: Fn(&Req) -> u32,
{
    #[inline]
    fn hash(&self, request: &Req, hasher: KeyHasher<'_>) -> Option<u64> {
        self.source.hash(request, hasher)
    }

    fn text(&self, request: &Req) -> Option<Box<str>> {
        self.source.text(request)
    }

    #[inline]
    fn weight(&self, request: &Req) -> u32 {
        (self.weight)(request)
    }
}

impl<S: fmt::Debug, F> fmt::Debug for WeightedKey<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeightedKey").field(&self.source).finish()
    }
}

/// Returns the text of a key for the log. A key may come from a caller, and must not break a line.
fn key_text(key: impl Display) -> Box<str> {
    let text = display_bounded(key, MAX_KEY_TEXT);
    let clean = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(clean).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn client_address_is_a_network_of_ipv6() {
        let source = ClientAddressKey(TrustedProxies::none());
        let text = |peer: &str| {
            let mut request = Request::new(());
            let peer: SocketAddr = peer.parse().expect("an address");
            request.extensions_mut().insert(peer);
            source.text(&request).expect("a peer").into_string()
        };
        assert_eq!(text("192.0.2.7:80"), "192.0.2.7");
        assert_eq!(text("[::ffff:192.0.2.7]:80"), "192.0.2.7");
        assert_eq!(text("[2001:db8:1:2:3:4:5:6]:80"), "2001:db8:1:2::/64");
        assert_eq!(source.text(&Request::new(())), None);
    }

    #[test]
    fn key_text_is_bounded_and_has_no_control_characters() {
        assert_eq!(&*key_text("a\nb\u{85}c"), "a?b?c");
        assert!(key_text("\u{85}".repeat(999)).len() <= MAX_KEY_TEXT);
    }
}
