use http::{HeaderMap, Method, Request, Version, header};

use super::Side;
use crate::util::headers::find_header;

/// The wire format of a call: decided once from the request, and revised once by the response.
///
/// gRPC is always a `POST`; over HTTP/1.0 nothing is gRPC, and on a server only gRPC-Web is over HTTP/1.1. So one header cannot
/// turn a `GET` into gRPC. A client's request does not tell the version of its connection, so HTTP/1.1, the default of
/// `http::Request`, may be gRPC there. A response that is not gRPC makes the call [`Plain`](WireFormat::Plain) again, unless the
/// layer is for gRPC clients only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WireFormat {
    /// Plain HTTP, or a plain service.
    #[default]
    Plain,
    /// gRPC over HTTP/2 or HTTP/3: its status is in the trailers.
    Grpc,
    /// gRPC-Web: its trailers are the last message of the body.
    GrpcWeb,
}

impl WireFormat {
    /// Returns the wire format of a request that came to a server.
    ///
    /// One header cannot turn a `GET` into gRPC:
    ///
    /// ```
    /// use http::{Request, Version};
    /// use tower_keep::protocol::WireFormat;
    ///
    /// let post = Request::post("/orders.Orders/Get").version(Version::HTTP_2);
    /// let post = post.header("content-type", "application/grpc").body(())?;
    /// assert_eq!(WireFormat::from_request(&post), WireFormat::Grpc);
    ///
    /// let get = Request::get("/").header("content-type", "application/grpc").body(())?;
    /// assert_eq!(WireFormat::from_request(&get), WireFormat::Plain);
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn from_request<B>(request: &Request<B>) -> Self {
        WireFormat::from_request_parts(
            Side::Server,
            request.method(),
            request.version(),
            request.headers(),
        )
    }

    #[inline]
    pub(crate) fn from_request_parts(
        side: Side,
        method: &Method,
        version: Version,
        headers: &HeaderMap,
    ) -> Self {
        // First: most requests of a server are no `POST`, and their headers are not looked at.
        if *method != Method::POST {
            return WireFormat::Plain;
        }
        match (WireFormat::from_headers(headers), version) {
            (_, Version::HTTP_09 | Version::HTTP_10) => WireFormat::Plain,
            (WireFormat::Grpc, Version::HTTP_11) if side == Side::Server => WireFormat::Plain,
            (wire, _) => wire,
        }
    }

    /// Returns the wire format that the content type of a request or a response names.
    #[inline]
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        find_header(headers, &header::CONTENT_TYPE).map_or(WireFormat::Plain, |value| {
            WireFormat::from_content_type(value.as_bytes())
        })
    }

    /// Returns the kind of gRPC of a request that is gRPC whatever its headers say.
    #[inline]
    pub(super) fn from_grpc_headers(headers: &HeaderMap) -> Self {
        match WireFormat::from_headers(headers) {
            WireFormat::GrpcWeb => WireFormat::GrpcWeb,
            _ => WireFormat::Grpc,
        }
    }

    fn from_content_type(content_type: &[u8]) -> Self {
        match content_type.strip_prefix(b"application/grpc") {
            // A longer word, such as `application/grpcx`, is another type.
            Some([] | [b'+' | b';' | b' ', ..]) => WireFormat::Grpc,
            Some(rest) if rest.starts_with(b"-web") => WireFormat::GrpcWeb,
            _ => WireFormat::Plain,
        }
    }

    /// Returns whether it is gRPC of either kind.
    #[inline]
    pub fn is_grpc(self) -> bool {
        self != WireFormat::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_of_grpc_is_recognized_by_its_content_type() {
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc; x",
        ] {
            assert_eq!(
                WireFormat::from_content_type(grpc.as_bytes()),
                WireFormat::Grpc,
                "{grpc}"
            );
        }
        assert_eq!(
            WireFormat::from_content_type(b"application/grpc-web+proto"),
            WireFormat::GrpcWeb
        );
        for plain in ["application/json", "application/grpcx", "text/plain", ""] {
            assert_eq!(
                WireFormat::from_content_type(plain.as_bytes()),
                WireFormat::Plain,
                "{plain}"
            );
        }
    }

    #[test]
    fn wire_of_a_request_is_what_a_server_takes_it_for() {
        let request = |version| {
            let request = Request::post("/").version(version);
            let request = request.header(header::CONTENT_TYPE, "application/grpc");
            WireFormat::from_request(&request.body(()).expect("a request"))
        };
        assert_eq!(request(Version::HTTP_2), WireFormat::Grpc);
        assert_eq!(request(Version::HTTP_11), WireFormat::Plain);
    }

    #[test]
    fn wire_goes_by_method_and_version_too() {
        use Side::{Client, Server};
        let wire = |side, method: Method, version, content_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static(content_type),
            );
            WireFormat::from_request_parts(side, &method, version, &headers)
        };
        let (grpc, web) = ("application/grpc", "application/grpc-web+proto");
        for (side, method, version, content_type, expected) in [
            (
                Server,
                Method::POST,
                Version::HTTP_2,
                grpc,
                WireFormat::Grpc,
            ),
            (
                Server,
                Method::POST,
                Version::HTTP_3,
                grpc,
                WireFormat::Grpc,
            ),
            (
                Server,
                Method::POST,
                Version::HTTP_11,
                grpc,
                WireFormat::Plain,
            ),
            (
                Server,
                Method::POST,
                Version::HTTP_11,
                web,
                WireFormat::GrpcWeb,
            ),
            (
                Server,
                Method::POST,
                Version::HTTP_10,
                web,
                WireFormat::Plain,
            ),
            (
                Server,
                Method::GET,
                Version::HTTP_2,
                grpc,
                WireFormat::Plain,
            ),
            (Server, Method::PUT, Version::HTTP_2, web, WireFormat::Plain),
            (
                Client,
                Method::POST,
                Version::HTTP_11,
                grpc,
                WireFormat::Grpc,
            ),
            (
                Client,
                Method::POST,
                Version::HTTP_10,
                grpc,
                WireFormat::Plain,
            ),
            (
                Client,
                Method::GET,
                Version::HTTP_11,
                grpc,
                WireFormat::Plain,
            ),
        ] {
            let got = wire(side, method.clone(), version, content_type);
            assert_eq!(
                got, expected,
                "{side:?} {method} {version:?} {content_type}"
            );
        }
    }
}
