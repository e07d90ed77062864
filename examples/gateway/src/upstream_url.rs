//! The target of requests: the upstream's address, and what a request's URI and version become there.

use std::fmt;

use http::Version;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

/// More than a command line should have.
const MAX_UPSTREAMS: usize = 64;

/// `--upstream`: `http://host:port` with an optional base path.
#[derive(Clone, Debug)]
pub struct UpstreamUrl {
    authority: Authority,
    /// Without its last slash: empty, or `/base`.
    base: String,
}

/// `--upstream-protocol`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    /// HTTP/2 for gRPC, which needs it, and HTTP/1.1 for the rest, which every server speaks.
    Auto,
    Http1,
    Http2,
}

impl Protocol {
    pub fn version(self, grpc: bool) -> Version {
        match self {
            Protocol::Http2 => Version::HTTP_2,
            Protocol::Auto if grpc => Version::HTTP_2,
            Protocol::Auto | Protocol::Http1 => Version::HTTP_11,
        }
    }
}

impl UpstreamUrl {
    /// The error says what is wrong with `text`, to be put behind the option's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} must be http://host:port, with an optional base path");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return Err(format!(
                "{text:?}: https is not supported, use http://host:port"
            ));
        }
        let authority = uri.authority().ok_or_else(wrong)?;
        let plain = uri.scheme() == Some(&Scheme::HTTP) && uri.query().is_none();
        if !plain || authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        Ok(Self {
            authority: authority.clone(),
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Returns the value of `Host` on HTTP/1.1, and of `:authority` on HTTP/2.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Adds it to the upstreams of a gateway, whose base path must be the same: requests are rewritten before one is chosen.
    ///
    /// # Errors
    ///
    /// One line that names the option.
    pub fn add_to(self, all: &mut Vec<Self>) -> Result<(), String> {
        if all.iter().any(|other| other.authority == self.authority) {
            return Err(format!("--upstream: {self} is there twice"));
        }
        if let Some(first) = all.first().filter(|first| first.base != self.base) {
            return Err(format!(
                "--upstream: {self} must have the base path of {first}"
            ));
        }
        if all.len() == MAX_UPSTREAMS {
            return Err(format!("--upstream: more than {MAX_UPSTREAMS}"));
        }
        all.push(self);
        Ok(())
    }

    /// Returns the address to connect to, as `host:port`.
    pub fn address(&self) -> String {
        let authority = &self.authority;
        format!(
            "{}:{}",
            authority.host(),
            authority.port_u16().unwrap_or(80)
        )
    }

    /// The same path and query under the base path; `None` if it would leave the base path, or is no path.
    pub fn rewrite(&self, uri: &Uri) -> Option<Uri> {
        let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = match (self.base.as_str(), asked) {
            // `OPTIONS *` asks about the server; it has no path to put a base in front of.
            (_, "*") | ("", _) => asked.parse().ok()?,
            (_, _) if climbs(uri.path()) => return None,
            (base, _) => format!("{base}{asked}").parse::<PathAndQuery>().ok()?,
        };
        Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .ok()
    }
}

/// Returns whether a server that resolves `..` would end up somewhere else.
fn climbs(path: &str) -> bool {
    let decoded = path.to_ascii_lowercase().replace("%2e", ".");
    let decoded = decoded.replace("%2f", "/").replace("%5c", "/");
    decoded.split(['/', '\\']).any(|segment| segment == "..")
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(target: &str, uri: &str) -> Option<String> {
        let target = UpstreamUrl::parse(target).expect("a target");
        let uri = uri.parse().expect("a URI");
        target.rewrite(&uri).map(|uri| uri.to_string())
    }

    #[test]
    fn rewrite_keeps_path_and_query() {
        let uri = rewritten("http://up:81", "http://public/a//b%20c?d=%2F&e");
        assert_eq!(uri.as_deref(), Some("http://up:81/a//b%20c?d=%2F&e"));
    }

    #[test]
    fn rewrite_puts_the_base_path_in_front() {
        let uri = rewritten("http://up:81/base/", "/a?b");
        assert_eq!(uri.as_deref(), Some("http://up:81/base/a?b"));
        let uri = rewritten("http://up:81/base", "/");
        assert_eq!(uri.as_deref(), Some("http://up:81/base/"));
    }

    #[test]
    fn rewrite_stays_under_the_base_path() {
        for path in ["/../x", "/a/%2E%2e/x", "/..", "/a%2f..%2fx", "/..%5Cx"] {
            assert_eq!(rewritten("http://up/base", path), None, "{path}");
        }
        assert!(rewritten("http://up/base", "/a..b/...").is_some());
        assert!(rewritten("http://up", "/../x").is_some());
    }

    #[test]
    fn rewrite_keeps_the_asterisk() {
        let target = UpstreamUrl::parse("http://up/base").expect("a target");
        let uri = target.rewrite(&Uri::from_static("*")).expect("a URI");
        assert_eq!(uri.path(), "*");
    }

    #[test]
    fn url_error_says_what_is_wrong() {
        for text in [
            "up:81",
            "ftp://up",
            "http://",
            "http://me@up",
            "http://up/?q",
            "",
            "/x",
        ] {
            let error = UpstreamUrl::parse(text).expect_err(text);
            assert!(error.contains("must be http://host:port"), "{error}");
        }
        let error = UpstreamUrl::parse("https://up").expect_err("https");
        assert!(error.contains("https is not supported"), "{error}");
    }

    #[test]
    fn address_has_a_port() {
        for (url, address) in [
            ("http://up/base", "up:80"),
            ("http://up:81", "up:81"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(UpstreamUrl::parse(url).expect(url).address(), address);
        }
    }

    #[test]
    fn upstreams_have_the_same_base_path_and_are_bounded() {
        let mut all = Vec::new();
        let mut add = |url: &str| UpstreamUrl::parse(url).expect(url).add_to(&mut all);
        assert_eq!(add("http://up/a"), Ok(()));
        assert_eq!(add("http://other/a/"), Ok(()));
        let error = add("http://third/b").expect_err("another base");
        assert!(error.ends_with("http://third/b must have the base path of http://up/a"));
        let error = add("http://UP/a").expect_err("the same");
        assert!(error.ends_with("is there twice"), "{error}");
        for port in 1..63 {
            assert_eq!(add(&format!("http://up:{port}/a")), Ok(()));
        }
        add("http://last/a").expect_err("too many");
    }

    #[test]
    fn grpc_needs_http2() {
        assert_eq!(Protocol::Auto.version(true), Version::HTTP_2);
        assert_eq!(Protocol::Auto.version(false), Version::HTTP_11);
        assert_eq!(Protocol::Http1.version(true), Version::HTTP_11);
    }
}
