//! The authority of a request as a key: one spelling for each host and port, and no credentials.

use std::{borrow::Cow, net::Ipv6Addr};

use http::{Request, header, uri::Scheme};

use crate::util::append_map::OVERFLOW_LABEL;

/// The maximum length of a DNS name.
const MAX_HOST_LEN: usize = 255;

/// The key of all authorities that are invalid. No host has it, since hosts are in lower case.
const INVALID_KEY: Cow<'static, str> = Cow::Borrowed(OVERFLOW_LABEL);

/// Returns the authority that a request names in its URI, else in its `Host` header.
pub(super) fn from_request<B>(request: &Request<B>) -> Option<Cow<'_, str>> {
    let uri = request.uri();
    if let Some(authority) = uri.authority() {
        return normalize(authority.as_str(), uri.scheme().and_then(default_port));
    }
    let host = request.headers().get(header::HOST)?;
    // A request without a scheme has no default port.
    host.to_str()
        .map_or(Some(INVALID_KEY), |text| normalize(text, None))
}

fn default_port(scheme: &Scheme) -> Option<u16> {
    if *scheme == Scheme::HTTP {
        Some(80)
    } else if *scheme == Scheme::HTTPS {
        Some(443)
    } else {
        None
    }
}

/// Returns the normalized spelling, borrowed if the text has it already. `None` if there is no text.
fn normalize(text: &str, default_port: Option<u16>) -> Option<Cow<'_, str>> {
    if text.is_empty() {
        return None;
    }
    Some(parse(text, default_port).unwrap_or(INVALID_KEY))
}

fn parse(text: &str, default_port: Option<u16>) -> Option<Cow<'_, str>> {
    // The user info ends at the last `@`: a host has none.
    let text = text.rsplit_once('@').map_or(text, |split| split.1);
    // The colons of an IPv6 address stand inside of its brackets.
    let end = match text.find(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end);
    if host.len() > MAX_HOST_LEN || !(is_ipv6(host) || is_name(host)) {
        return None;
    }
    let digits = match rest {
        "" => rest,
        _ => rest.strip_prefix(':')?,
    };
    let port = match digits {
        // RFC 3986 allows a colon without a port.
        "" => None,
        // `parse` alone would take a sign as well.
        _ if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse::<u16>().ok()?),
        _ => return None,
    };
    Some(match port.filter(|port| Some(*port) != default_port) {
        None => lower_case(host),
        // Leading zeros are another spelling of the port, which would be another key.
        Some(port) if digits.len() > 1 && digits.starts_with('0') => {
            Cow::Owned(format!("{}:{port}", lower_case(host)))
        }
        Some(_) => lower_case(text),
    })
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns whether it is an address in brackets, with or without a zone.
fn is_ipv6(host: &str) -> bool {
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inside.is_some_and(|inside| {
        // Without a zone, any valid one passes the check.
        let (address, zone) = inside.split_once('%').unwrap_or((inside, "0"));
        address.parse::<Ipv6Addr>().is_ok() && is_name(zone)
    })
}

/// Returns whether RFC 3986 allows it as a registered name; an IPv4 address is one.
fn is_name(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b);
    !host.is_empty() && host.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn authority_is_normalized() {
        for (text, default_port, key) in [
            ("api.example", Some(80), "api.example"),
            ("API.Example", Some(80), "api.example"),
            ("api.example:80", Some(80), "api.example"),
            ("api.example:080", Some(80), "api.example"),
            ("api.example:", Some(80), "api.example"),
            ("api.example:", None, "api.example"),
            ("api.example:80", Some(443), "api.example:80"),
            ("api.example:80", None, "api.example:80"),
            ("API.example:08080", None, "api.example:8080"),
            ("api.example:0", None, "api.example:0"),
            ("joe:secret@API.example:443", Some(443), "api.example"),
            ("a@b@api.example", None, "api.example"),
            ("@api.example", None, "api.example"),
            ("127.0.0.1:81", Some(80), "127.0.0.1:81"),
            ("[::1]", Some(80), "[::1]"),
            ("[2001:DB8::1]:443", Some(443), "[2001:db8::1]"),
            ("joe@[2001:db8::1]:8443", Some(443), "[2001:db8::1]:8443"),
            ("[fe80::1%25eth0]:", None, "[fe80::1%25eth0]"),
        ] {
            let found = normalize(text, default_port);
            assert_eq!(found.as_deref(), Some(key), "{text}");
        }
        assert_eq!(normalize("", None), None);
    }

    #[test]
    fn authority_that_is_invalid_gets_the_overflow_key() {
        let (longest, too_long) = ("x".repeat(MAX_HOST_LEN), "x".repeat(MAX_HOST_LEN + 1));
        assert_eq!(normalize(&longest, None).as_deref(), Some(&*longest));
        for text in [
            &*too_long,
            "@",
            "joe@",
            ":80",
            "a b",
            "a/b",
            "a:b",
            "a:+1",
            "a:65536",
            "a:1:2",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[a]",
            "[::1]80",
            "x[::1]",
            "[::1%]",
            "a\u{7f}",
            "\u{fc}.example",
            "<script>",
            "a\\b",
            "a?b",
            "a#b",
            "_OTHER:x",
        ] {
            assert_eq!(
                normalize(text, None).as_deref(),
                Some(OVERFLOW_LABEL),
                "{text}"
            );
        }
        assert_eq!(
            normalize(OVERFLOW_LABEL, None).as_deref(),
            Some("_other"),
            "a host"
        );
    }

    #[test]
    fn authority_that_is_normalized_is_borrowed() {
        for text in [
            "api.example",
            "api.example:81",
            "joe@api.example:80",
            "[::1]:443",
        ] {
            let found = normalize(text, Some(80));
            assert!(matches!(found, Some(Cow::Borrowed(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn authority_key_is_short_stable_and_without_user_info(
            user in "[a-z:%]{0,8}", text in "[A-Za-z0-9:.\\[\\]%@ -]{0,300}", port in any::<Option<u16>>(),
        ) {
            let whole = format!("USER{user}@{text}");
            let key = normalize(&whole, port).expect("some text");
            prop_assert!(key.len() <= MAX_HOST_LEN + ":65535".len());
            prop_assert!(!key.contains('@') && !key.contains("USER"));
            if key != OVERFLOW_LABEL {
                prop_assert_eq!(&normalize(&key, port).expect("some text"), &key);
                prop_assert_eq!(normalize(&text, port), Some(key.clone()));
            }
        }
    }
}
