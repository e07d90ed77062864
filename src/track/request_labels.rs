use http::{Method, Request, Version};

use crate::protocol::Side;

/// The methods of the semantic conventions. All others are labeled `_OTHER`.
const METHODS: [&str; 11] = [
    "_OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    "QUERY",
];
pub(super) const METHOD_COUNT: usize = METHODS.len();

fn method_index(method: &Method) -> u8 {
    // Not the first: `_OTHER` is a valid method name, and a peer may send it.
    let known = METHODS[1..]
        .iter()
        .position(|known| *known == method.as_str());
    known.map_or(0, |at| at as u8 + 1)
}

/// Returns the name of the method with this index.
pub(super) fn method_name(index: u8) -> &'static str {
    METHODS[usize::from(index)]
}

const VERSIONS: [&str; 5] = ["", "1.0", "1.1", "2", "3"];

fn version_index(version: Version) -> u8 {
    match version {
        Version::HTTP_10 => 1,
        Version::HTTP_11 => 2,
        Version::HTTP_2 => 3,
        Version::HTTP_3 => 4,
        // HTTP/0.9, and what later releases of `http` may add.
        _ => 0,
    }
}

/// The labels that are known from the request, as small numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLabels {
    pub(super) side: Side,
    /// Index of the method, for [`method_name`].
    pub(super) method: u8,
    /// Index into [`VERSIONS`].
    pub(super) version: u8,
    pub(super) https: bool,
    pub(super) is_grpc: bool,
}

impl RequestLabels {
    /// Reads the labels of a request. `https` is the scheme of requests that do not contain one.
    pub(super) fn from_request<B>(
        side: Side,
        request: &Request<B>,
        https: bool,
        is_grpc: bool,
    ) -> Self {
        let https = match request.uri().scheme_str() {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => https,
        };
        RequestLabels {
            side,
            method: method_index(request.method()),
            // A client's connection decides about the version, not the request.
            version: match side {
                Side::Server => version_index(request.version()),
                Side::Client => 0,
            },
            https,
            is_grpc,
        }
    }

    pub(super) fn is_client(self) -> bool {
        self.side == Side::Client
    }

    pub(super) fn method_name(self) -> &'static str {
        method_name(self.method)
    }

    pub(super) fn set_version(&mut self, version: Version) {
        self.version = version_index(version);
    }

    pub(super) fn version(self) -> Option<&'static str> {
        Some(VERSIONS[usize::from(self.version)]).filter(|version| !version.is_empty())
    }

    pub(super) fn scheme(self) -> &'static str {
        scheme_name(self.https)
    }
}

pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Server => "server",
        Side::Client => "client",
    }
}

pub(super) fn scheme_name(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_label_is_other_unless_conventions_know_it() {
        for (method, name) in [
            (&b"GET"[..], "GET"),
            (b"HEAD", "HEAD"),
            (b"QUERY", "QUERY"),
            (b"BREW", "_OTHER"),
            (b"get", "_OTHER"),
        ] {
            let method = Method::from_bytes(method).expect("a method");
            assert_eq!(method_name(method_index(&method)), name);
        }
    }

    #[test]
    fn request_labels_are_the_names_of_side_method_and_scheme() {
        let mut request = Request::new(());
        *request.method_mut() = Method::PUT;
        for (side, name, is_client) in [
            (Side::Server, "server", false),
            (Side::Client, "client", true),
        ] {
            assert_eq!(side_name(side), name);
            for (https, scheme) in [(false, "http"), (true, "https")] {
                let labels = RequestLabels::from_request(side, &request, https, false);
                assert_eq!((labels.method_name(), labels.scheme()), ("PUT", scheme));
                assert_eq!(labels.is_client(), is_client);
            }
        }
        let mut labels = RequestLabels::from_request(Side::Client, &request, false, false);
        labels.set_version(Version::HTTP_2);
        assert_eq!(labels.version(), Some("2"));
    }

    #[test]
    fn version_label_comes_from_server_request_or_client_connection() {
        for (version, text) in [
            (Version::HTTP_09, None),
            (Version::HTTP_10, Some("1.0")),
            (Version::HTTP_11, Some("1.1")),
            (Version::HTTP_2, Some("2")),
            (Version::HTTP_3, Some("3")),
        ] {
            let mut request = Request::new(());
            *request.version_mut() = version;
            let read = |side| RequestLabels::from_request(side, &request, false, false);
            assert_eq!(read(Side::Server).version(), text);
            assert_eq!(read(Side::Client).version(), None);
            let mut labels = read(Side::Client);
            labels.set_version(version);
            assert_eq!(labels.version(), text);
        }
    }

    #[test]
    fn side_and_scheme_labels() {
        assert_eq!(side_name(Side::Server), "server");
        assert_eq!(side_name(Side::Client), "client");
        for (https, name) in [(true, "https"), (false, "http")] {
            let labels = RequestLabels::from_request(Side::Server, &Request::new(()), https, false);
            assert_eq!((labels.scheme(), scheme_name(https)), (name, name));
        }
    }
}
