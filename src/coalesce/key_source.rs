use std::{fmt, hash::Hash};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body::Body;

/// The longest key that is made of a request's head, in bytes: what comes from a caller is not kept without a bound.
const MAX_KEY_BYTES: usize = 16 * 1024;

/// Headers that differ between requests which are the same: the IDs of calls.
const IDS: [HeaderName; 12] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("b3"),
    HeaderName::from_static("x-b3-traceid"),
    HeaderName::from_static("x-b3-spanid"),
    HeaderName::from_static("x-b3-parentspanid"),
    HeaderName::from_static("x-b3-sampled"),
    HeaderName::from_static("x-amzn-trace-id"),
    HeaderName::from_static("x-cloud-trace-context"),
    header::DATE,
];

/// A source of keys for requests of this type. Users do not implement it, since any key is a closure's.
pub trait KeySource<Req> {
    /// The key.
    type Key: Hash + Eq + Send + Sync + 'static;

    /// True if the key is made of the head alone. Then a response may say that it depends on more than that.
    const IS_HEAD: bool = false;

    /// Returns the key of a request; none if its call is not shared.
    fn key(&self, request: &Req) -> Option<Self::Key>;
}

/// The whole head of a `GET` or `HEAD` request as the key: see [`CoalesceLayer::client`](super::CoalesceLayer).
#[derive(Clone, Debug, Default)]
pub struct WholeHead {
    /// Headers that may differ, besides the IDs of calls.
    pub(super) ignored: Vec<HeaderName>,
}

/// The key of a request's head: its text, in which no part can be taken for another.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HeadKey(Box<[u8]>);

impl WholeHead {
    fn is_compared(&self, name: &HeaderName) -> bool {
        !IDS.contains(name) && !self.ignored.contains(name)
    }

    fn write_key(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Vec<u8>> {
        let mut key = Vec::with_capacity(256);
        push(&mut key, uri.scheme_str().unwrap_or_default().as_bytes())?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        push(&mut key, authority.as_bytes())?;
        push_path(&mut key, uri)?;
        push(&mut key, method.as_str().as_bytes())?;
        let compared = headers.iter().filter(|(name, _)| self.is_compared(name));
        let mut fields: Vec<(&HeaderName, &HeaderValue)> = compared.collect();
        // Stable: values of one name stay in their order, which has a meaning.
        fields.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in fields {
            push(&mut key, name.as_str().as_bytes())?;
            push(&mut key, value.as_bytes())?;
        }
        Some(key)
    }
}

/// Appends the path and the query of a URI; none if the key is too long.
fn push_path(key: &mut Vec<u8>, uri: &Uri) -> Option<()> {
    push(key, uri.path().as_bytes())?;
    // A query that is empty is not the same as none.
    push(key, uri.query().map_or("-", |_| "?").as_bytes())?;
    push(key, uri.query().unwrap_or_default().as_bytes())
}

/// Appends a part with its length; none if the key is too long.
fn push(key: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    let len = u32::try_from(part.len()).ok()?;
    if key.len().saturating_add(part.len()) > MAX_KEY_BYTES {
        return None;
    }
    key.extend_from_slice(&len.to_be_bytes());
    key.extend_from_slice(part);
    Some(())
}

#[cfg(feature = "cache")]
impl HeadKey {
    /// Returns the key of what a request asks for: scheme, host, path and query; none if it is too long or names several hosts.
    ///
    /// The host is that of the URI, as in HTTP/2, or else that of the header, so that both versions have the same. One in the header
    /// that is another than that of the URI is a part of the key as well: an application may take either.
    pub(crate) fn of_target(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        HeadKey::with_scheme(uri.scheme_str().unwrap_or_default(), uri, headers)
    }

    /// Returns the keys of the same target in all forms that a request may have: HTTP/1.1 names no scheme to a server, HTTP/2 does.
    pub(crate) fn of_all_forms(uri: &Uri, headers: &HeaderMap) -> Option<[Self; 3]> {
        let with = |scheme| HeadKey::with_scheme(scheme, uri, headers);
        Some([with("")?, with("http")?, with("https")?])
    }

    fn with_scheme(scheme: &str, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let named = hosts.next().map(HeaderValue::as_bytes);
        if hosts.next().is_some() {
            return None;
        }
        let of_uri = uri
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        let host = of_uri.or(named).unwrap_or_default();
        let mut key = Vec::with_capacity(256);
        push(&mut key, scheme.as_bytes())?;
        push_host(&mut key, host)?;
        push_path(&mut key, uri)?;
        let other = named.filter(|named| !named.eq_ignore_ascii_case(host));
        push_host(&mut key, other.unwrap_or_default())?;
        Some(HeadKey(key.into()))
    }

    /// Returns the length of the key in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Appends a host, whose case has no meaning. That of a password before it has.
#[cfg(feature = "cache")]
fn push_host(key: &mut Vec<u8>, host: &[u8]) -> Option<()> {
    push(key, host)?;
    if !host.contains(&b'@') {
        let start = key.len() - host.len();
        key[start..].make_ascii_lowercase();
    }
    Some(())
}

impl<B: Body> KeySource<Request<B>> for WholeHead {
    type Key = HeadKey;

    const IS_HEAD: bool = true;

    fn key(&self, request: &Request<B>) -> Option<HeadKey> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        // What the body says is not a part of the key, and an upgraded connection belongs to one caller.
        if !is_read
            || !request.body().is_end_stream()
            || request.headers().contains_key(header::UPGRADE)
        {
            return None;
        }
        let key = self.write_key(request.method(), request.uri(), request.headers())?;
        Some(HeadKey(key.into()))
    }
}

/// A description without the headers, which may be secret.
impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadKey").finish_non_exhaustive()
    }
}

/// The key that a closure makes of a request.
#[derive(Clone)]
pub struct KeyFn<F>(F);

impl<F> KeyFn<F> {
    pub(crate) fn new(key: F) -> Self {
        KeyFn(key)
    }
}

impl<Req, K, F> KeySource<Req> for KeyFn<F>
where
    K: Hash + Eq + Send + Sync + 'static,
    F: Fn(&Req) -> Option<K>,
{
    type Key = K;

    fn key(&self, request: &Req) -> Option<K> {
        (self.0)(request)
    }
}

impl<F> fmt::Debug for KeyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFn")
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};

    use super::*;

    type NoBody = Empty<bytes::Bytes>;

    fn key(uri: &str, headers: &[(&'static str, &str)]) -> Option<HeadKey> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(NoBody::new()).expect("a request");
        WholeHead::default().key(&request)
    }

    #[test]
    fn key_is_the_whole_head_but_for_ids() {
        let bare = key("http://a/b", &[]);
        assert!(bare.is_some());
        assert_eq!(bare, key("http://a/b", &[("x-request-id", "7")]));
        for (uri, headers) in [
            ("http://a/c", &[][..]),
            ("http://b/b", &[]),
            ("https://a/b", &[]),
            ("http://a/b?", &[]),
            ("http://a/b?c", &[]),
            ("http://a/b", &[("authorization", "Bearer one")]),
            ("http://a/b", &[("accept", "text/html")]),
            ("http://a/b", &[("x-tenant", "")]),
        ] {
            assert_ne!(bare, key(uri, headers), "{uri} {headers:?}");
        }
        let (one, other) = (("accept", "a"), ("cookie", "b"));
        assert_eq!(key("/", &[one, other]), key("/", &[other, one]));
        let (ab, ba) = (
            [("accept", "a"), ("accept", "b")],
            [("accept", "b"), ("accept", "a")],
        );
        assert_ne!(key("/", &ab), key("/", &ba), "order of values of one name");
        assert_ne!(key("/", &[("x-a", "bc")]), key("/", &[("x-ab", "c")]));
    }

    #[test]
    fn request_that_is_no_plain_read_has_no_key() {
        let head = WholeHead::default();
        let post = Request::post("/").body(NoBody::new()).expect("a request");
        assert_eq!(head.key(&post), None);
        let body = Request::get("/").body(Full::new(bytes::Bytes::from("question")));
        assert_eq!(head.key(&body.expect("a request")), None);
        assert_eq!(key("/", &[("upgrade", "websocket")]), None);
        assert_eq!(key("/", &[("x-long", &"x".repeat(MAX_KEY_BYTES))]), None);
    }

    #[test]
    fn header_that_is_ignored_may_differ() {
        let ignored = vec![HeaderName::from_static("x-sent-at")];
        let head = WholeHead { ignored };
        let request = |at: &str| {
            let request = Request::get("/").header("x-sent-at", at);
            request.body(NoBody::new()).expect("a request")
        };
        assert_eq!(head.key(&request("1")), head.key(&request("2")));
    }
}
