use std::net::IpAddr;

use http::{Uri, uri::PathAndQuery};

use super::{address_policy::AddressPolicy, secrets::last_four};

/// The address that a channel sends to, which is a secret.
#[derive(Clone)]
pub(super) struct HttpUrl(Uri);

impl HttpUrl {
    /// Returns the address in a text, or what was expected.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an address such as https://host/path";
        let uri: Uri = url.parse().map_err(|_| EXPECTED)?;
        if !matches!(uri.scheme_str(), Some("https" | "http")) {
            return Err(EXPECTED);
        }
        let authority = uri.authority().ok_or(EXPECTED)?;
        if authority.as_str().contains('@') {
            return Err("one without user name and password: send an authorization header");
        }
        if authority.host().is_empty() {
            return Err(EXPECTED);
        }
        Ok(HttpUrl(uri))
    }

    pub(super) fn as_uri(&self) -> &Uri {
        &self.0
    }

    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }

    /// Returns another path of the same server.
    pub(super) fn with_path(&self, path: &'static str) -> Option<Uri> {
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(path));
        Uri::from_parts(parts).ok()
    }

    /// Returns the IP address that stands in the URL in place of a name. The connector does not ask the resolver for those.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        let host = self.0.host()?;
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    }

    /// Returns whether the URL itself says that it means this machine.
    pub(super) fn names_loopback(&self) -> bool {
        let host = self.0.host();
        let is_localhost = host.is_some_and(|host| host.eq_ignore_ascii_case("localhost"));
        let is_loopback = |address| AddressPolicy::Loopback.check(address).is_ok();
        is_localhost || self.literal().is_some_and(is_loopback)
    }

    /// Returns the address as people may see it: of its path, the last four characters.
    pub(super) fn shown(&self) -> String {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let host = self
            .0
            .authority()
            .map_or("", |authority| authority.as_str());
        let path = self.0.path_and_query().map_or("/", |path| path.as_str());
        match path {
            "/" => format!("{scheme}://{host}/"),
            path => format!("{scheme}://{host}/{}", last_four(path)),
        }
    }
}
