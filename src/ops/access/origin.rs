//! The origin of requests: the page itself, or another one.

use http::{HeaderMap, Uri, header};

/// Returns whether a request that changes something, or opens a WebSocket, was sent by a page of the same origin, or by no page.
///
/// Browsers send `Origin` with every POST and every WebSocket, and no page can change it. A request without one comes from
/// a program, which has no cookies that it did not get itself; `Sec-Fetch-Site`, if it is there, must agree.
pub(crate) fn is_same_origin(headers: &HeaderMap, uri: &Uri, trusted: &[Box<str>]) -> bool {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let Some(origin) = headers.get(header::ORIGIN) else {
        return matches!(site, None | Some(b"same-origin" | b"none"));
    };
    // Several origins, or hosts, are no browser's.
    if headers.get_all(header::ORIGIN).iter().count() > 1 {
        return false;
    }
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    if trusted.iter().any(|trusted| **trusted == *origin) {
        return true;
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        return false;
    }
    let host = host(headers, uri);
    // The scheme is that of the proxy in front, which is not known here.
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let is_host = authority
        .zip(host)
        .is_some_and(|(authority, host)| is_same_authority(authority, host));
    is_host && matches!(site, None | Some(b"same-origin"))
}

/// Returns the host that a request is for, with its port: by HTTP/2 it is in the address, and there is no such header.
pub(super) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match headers.get(header::HOST) {
        Some(host) => host.to_str().ok(),
        None => uri.authority().map(|authority| authority.as_str()),
    }
}

/// Returns whether two authorities are the same but for the default port, which browsers leave out and some proxies add.
fn is_same_authority(a: &str, b: &str) -> bool {
    fn without_default_port(authority: &str) -> &str {
        let stripped = authority.strip_suffix(":443");
        stripped
            .or(authority.strip_suffix(":80"))
            .unwrap_or(authority)
    }
    without_default_port(a).eq_ignore_ascii_case(without_default_port(b))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let value = value.parse().expect("a value");
            (HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    fn accepts(pairs: &[(&'static str, &'static str)]) -> bool {
        is_same_origin(
            &headers(pairs),
            &Uri::from_static("/login"),
            &["https://ops.example".into()],
        )
    }

    #[test]
    fn origin_must_be_the_host_that_http2_has_in_the_address() {
        let uri = Uri::from_static("https://app.example:8443/login");
        let accepts = |pairs: &[_]| is_same_origin(&headers(pairs), &uri, &[]);
        assert!(accepts(&[("origin", "https://app.example:8443")]));
        assert!(!accepts(&[("origin", "https://app.example")]));
        assert!(!accepts(&[("origin", "https://evil.example:8443")]));
        // The header is what a browser cannot change, either.
        let both = [
            ("origin", "https://app.example:8443"),
            ("host", "other.example"),
        ];
        assert!(!accepts(&both));
    }

    #[test]
    fn origin_must_be_the_host_or_a_trusted_one() {
        let host = ("host", "app.example:8080");
        assert!(accepts(&[host, ("origin", "http://app.example:8080")]));
        assert!(accepts(&[host, ("origin", "https://APP.example:8080")]));
        assert!(accepts(&[host, ("origin", "https://ops.example")]));
        for origin in [
            "null",
            "",
            "http://app.example",
            "http://app.example:8081",
            "http://evil.example",
            "http://app.example:8080.evil.example",
            "http://ops.example",
            "app.example:8080",
        ] {
            assert!(!accepts(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!accepts(&[("origin", "http://app.example:8080")]));
    }

    #[test]
    fn origin_may_leave_out_the_default_port() {
        for (host, origin) in [
            ("app.example:443", "https://app.example"),
            ("app.example", "http://app.example:80"),
        ] {
            assert!(accepts(&[("host", host), ("origin", origin)]));
        }
    }

    #[test]
    fn fetch_metadata_must_agree_with_the_origin() {
        let host = ("host", "app.example");
        for (site, expected) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
        ] {
            assert_eq!(
                accepts(&[host, ("sec-fetch-site", site)]),
                expected,
                "{site}"
            );
        }
        let own = ("origin", "http://app.example");
        assert!(accepts(&[host, own, ("sec-fetch-site", "same-origin")]));
        assert!(!accepts(&[host, own, ("sec-fetch-site", "cross-site")]));
        assert!(accepts(&[host]), "a program");
    }

    #[test]
    fn origin_and_host_must_be_single() {
        let own = ("origin", "http://app.example");
        let mut all = headers(&[("host", "app.example"), own]);
        all.append("origin", "http://app.example".parse().expect("a value"));
        assert!(!is_same_origin(&all, &Uri::from_static("/login"), &[]));
        let mut all = headers(&[("host", "app.example"), own]);
        all.append("host", "evil.example".parse().expect("a value"));
        assert!(!is_same_origin(&all, &Uri::from_static("/login"), &[]));
    }
}
