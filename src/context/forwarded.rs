//! The addresses that proxies write into `X-Forwarded-For` and `Forwarded`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The header in which the proxies of a service name the address that they were called from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForwardedHeader {
    /// `X-Forwarded-For: 203.0.113.7, 10.0.0.1`
    XForwardedFor,
    /// `Forwarded: for=203.0.113.7;proto=https, for="[fd00::1]:4711"` (RFC 7239)
    Forwarded,
}

impl ForwardedHeader {
    fn name(self) -> HeaderName {
        match self {
            ForwardedHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ForwardedHeader::Forwarded => header::FORWARDED,
        }
    }

    /// Returns the addresses of the header, the last one first; `None` for an entry that is malformed or hides the address.
    ///
    /// Read from the end: what a proxy of ours has added does not depend on what a stranger wrote before it.
    pub(super) fn addresses_from_last(
        self,
        headers: &HeaderMap,
    ) -> impl Iterator<Item = Option<IpAddr>> {
        let lines = headers.get_all(self.name()).iter().rev();
        let entries = lines.flat_map(move |line| EntriesFromLast::of(line, self));
        entries.map(move |entry| {
            let entry = entry.trim_ascii();
            match self {
                ForwardedHeader::XForwardedFor => parse_node(entry),
                ForwardedHeader::Forwarded => parse_node(for_parameter(entry)?),
            }
        })
    }
}

/// The entries of a line, the last one first. A comma inside of quotes does not separate.
struct EntriesFromLast<'a> {
    rest: Option<&'a [u8]>,
    has_quotes: bool,
}

impl<'a> EntriesFromLast<'a> {
    fn of(line: &'a HeaderValue, header: ForwardedHeader) -> Self {
        EntriesFromLast {
            rest: Some(line.as_bytes()),
            has_quotes: header == ForwardedHeader::Forwarded,
        }
    }
}

impl<'a> Iterator for EntriesFromLast<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut is_quoted = false;
        let comma = rest.iter().rposition(|byte| {
            is_quoted ^= self.has_quotes && *byte == b'"';
            *byte == b',' && !is_quoted
        });
        let (rest, entry) = match comma {
            Some(comma) => (Some(&rest[..comma]), &rest[comma + 1..]),
            None => (None, rest),
        };
        self.rest = rest;
        Some(entry)
    }
}

/// Returns the value of the parameter `for`, which must be there once.
fn for_parameter(entry: &[u8]) -> Option<&[u8]> {
    // An address has no characters that are escaped, and none that separate.
    let mut values = entry.split(|byte| *byte == b';').filter_map(|pair| {
        let pair = pair.trim_ascii();
        let name = pair.get(..4)?;
        name.eq_ignore_ascii_case(b"for=").then(|| &pair[4..])
    });
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.strip_suffix(b"\""),
        None => Some(value),
    }
}

/// Parses an address with or without a port: `203.0.113.7`, `203.0.113.7:80`, `fd00::1`, `[fd00::1]`, `[fd00::1]:80`.
fn parse_node(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?;
    let bare = node
        .strip_prefix('[')
        .and_then(|node| node.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6),
        None => node.parse().ok(),
    };
    let with_port = || node.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    Some(address.or_else(with_port)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: ForwardedHeader, lines: &[&str]) -> Vec<String> {
        let lines = lines.iter().map(|line| {
            let value = HeaderValue::from_str(line).expect("a value");
            (header.name(), value)
        });
        let headers: HeaderMap = lines.collect();
        let text = |address: Option<IpAddr>| address.map_or("-".to_owned(), |ip| ip.to_string());
        header.addresses_from_last(&headers).map(text).collect()
    }

    #[test]
    fn x_forwarded_for_is_read_from_last_entry() {
        let read = |lines: &[&str]| read(ForwardedHeader::XForwardedFor, lines);
        assert_eq!(
            read(&["203.0.113.7, ::1 ,10.0.0.1:80", "[fd00::1]:80,[fd00::2]"]),
            ["fd00::2", "fd00::1", "10.0.0.1", "::1", "203.0.113.7"]
        );
        assert_eq!(read(&["::ffff:10.0.0.1"]), ["10.0.0.1"]);
        for malformed in [
            "",
            "unknown",
            "10.0.0",
            "10.0.0.1:x",
            "[10.0.0.1]",
            "[::1",
            "\"::1\"",
        ] {
            assert_eq!(read(&[malformed]), ["-"], "{malformed}");
        }
        assert_eq!(read(&[]), [""; 0]);
        assert_eq!(read(&["1.2.3.4,,5.6.7.8"]), ["5.6.7.8", "-", "1.2.3.4"]);
    }

    #[test]
    fn forwarded_is_read_from_last_element() {
        let read = |lines: &[&str]| read(ForwardedHeader::Forwarded, lines);
        assert_eq!(
            read(&[
                "for=192.0.2.43, For=\"[2001:db8:cafe::17]:4711\";proto=http;by=203.0.113.43",
                "host=\"a,b\"; for=10.0.0.1 ;by=_x",
            ]),
            ["10.0.0.1", "2001:db8:cafe::17", "192.0.2.43"]
        );
        for malformed in [
            "",
            "for=unknown",
            "for=_hidden",
            "by=10.0.0.1",
            "for=10.0.0.1;for=10.0.0.2",
            "for=\"10.0.0.1",
            "for=\"\\10.0.0.1\"",
            "for = 10.0.0.1",
            "for",
        ] {
            assert_eq!(read(&[malformed]), ["-"], "{malformed}");
        }
        // Quotes that a stranger left open do not reach what was added after them.
        assert_eq!(read(&["for=\"1.2.3.4, for=5.6.7.8"])[0], "5.6.7.8");
    }
}
