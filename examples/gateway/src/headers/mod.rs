//! The changes that a proxy makes to headers (RFC 9110 §7.6): pure functions over a `HeaderMap`.

use std::net::IpAddr;

use http::header::{
    CONNECTION, COOKIE, Entry, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::uri::Authority;
use http::{Uri, Version};

/// Meant for one connection only, whether or not `Connection` lists them. `WebTrailers` is not among them: it is
/// end to end, and without it nobody may send trailers on HTTP/1.1.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    // The next three are between a client and its own forward proxy; a reverse proxy is never meant.
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("http2-settings"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

/// Everything about the way of a request that its headers must tell.
pub struct Hop<'a> {
    pub peer: Option<IpAddr>,
    /// The host that the client asked for.
    pub host: Option<HeaderValue>,
    pub received: Version,
    pub sent: Version,
    pub upstream: &'a Authority,
    pub upgrade: Option<&'a HeaderValue>,
}

/// Makes a client's headers those of the gateway's own request.
pub fn toward_upstream(headers: &mut HeaderMap, hop: &Hop<'_>) {
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    // First of all: what is added below must not be struck by a client's `Connection`.
    strip_hop_by_hop(headers);
    count_forward(headers);
    append(headers, VIA, via(hop.received).as_bytes());
    if let Some(peer) = hop.peer {
        append(
            headers,
            FORWARDED_FOR,
            peer.to_canonical().to_string().as_bytes(),
        );
    }
    if let Some(host) = &hop.host {
        append(headers, FORWARDED_HOST, host.as_bytes());
    }
    append(headers, FORWARDED_PROTO, b"http");
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if hop.sent == Version::HTTP_2 {
        // `:authority`, which comes from the URI, is its only home there.
        headers.remove(HOST);
    } else {
        address_http1(headers, hop, trailers);
    }
}

fn address_http1(headers: &mut HeaderMap, hop: &Hop<'_>, trailers: bool) {
    if let Ok(host) = HeaderValue::from_str(hop.upstream.as_str()) {
        headers.insert(HOST, host);
    }
    join_cookies(headers);
    let options = match (hop.upgrade.is_some(), trailers) {
        (true, true) => "Upgrade, TE",
        (true, false) => "Upgrade",
        (false, true) => "TE",
        (false, false) => return,
    };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
    if let Some(upgrade) = hop.upgrade {
        headers.insert(UPGRADE, upgrade.clone());
    }
}

/// Makes the upstream's headers those of the gateway's own response.
pub fn toward_client(headers: &mut HeaderMap, received: Version, switched: bool) {
    let upgrade = headers.get(UPGRADE).cloned();
    strip_hop_by_hop(headers);
    append(headers, VIA, via(received).as_bytes());
    if let Some(upgrade) = upgrade.filter(|_| switched) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
}

/// Removes `Connection`, what it lists, and what is hop-by-hop even unlisted.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| token.parse().ok())
        .collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The protocols that a client offers to switch to, less those that would lead round the gateway: over `h2c`
/// or another HTTP, requests would reach the upstream that no guard has seen.
pub fn upgrade_offer(headers: &HeaderMap, received: Version) -> Option<HeaderValue> {
    let wanted = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    if received != Version::HTTP_11 || !wanted {
        return None;
    }
    let offer: Vec<&str> = tokens(headers, &UPGRADE)
        .filter(|token| {
            let token = token.to_ascii_lowercase();
            !matches!(
                token.split('/').next(),
                Some("h2c" | "h2" | "http" | "tls" | "")
            )
        })
        .collect();
    (!offer.is_empty())
        .then(|| HeaderValue::from_str(&offer.join(", ")).ok())
        .flatten()
}

/// The host that a request names: its URI has the last word, `Host` the first.
pub fn requested_host(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    match uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    }
}

/// `Max-Forwards`, if it is there and a number.
pub fn forwards_left(headers: &HeaderMap) -> Option<u32> {
    headers
        .get(MAX_FORWARDS)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn count_forward(headers: &mut HeaderMap) {
    if let Some(left) = forwards_left(headers) {
        headers.insert(MAX_FORWARDS, left.saturating_sub(1).into());
    }
}

/// HTTP/2 may send `cookie` in pieces; on HTTP/1.1 there must be one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, cookie);
    }
}

/// Adds one element to a list, as one field line: some servers read only the first.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &[u8]) {
    let Entry::Occupied(mut list) = headers.entry(name.clone()) else {
        if let Ok(value) = HeaderValue::from_bytes(element) {
            headers.insert(name, value);
        }
        return;
    };
    let mut elements: Vec<&[u8]> = list.iter().map(HeaderValue::as_bytes).collect();
    elements.push(element);
    if let Ok(value) = HeaderValue::from_bytes(&elements.join(&b", "[..])) {
        list.insert(value);
    }
}

fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2 tower-keep",
        Version::HTTP_10 => "1.0 tower-keep",
        _ => "1.1 tower-keep",
    }
}

/// The elements of a comma-separated list, over all its field lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests;
