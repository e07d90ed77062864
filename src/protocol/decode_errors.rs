//! Recognizes the status of a server that could not decode the request by its message.

/// The beginnings of tonic's messages when it cannot decode. All are INTERNAL, except the sixth, which may be
/// RESOURCE_EXHAUSTED; a request that is too long is OUT_OF_RANGE and an unknown compression UNIMPLEMENTED, which blame the
/// caller by their codes.
const DECODE_ERROR_PREFIXES: [&str; 7] = [
    "Missing request message.",
    "Unexpected EOF decoding stream.",
    // prost's, through the codec.
    "failed to decode Protobuf message: ",
    "protocol error: received message with compressed-flag but no grpc-encoding was specified",
    "protocol error: received message with invalid compression flag: ",
    "Error decompressing: ",
    // tonic-web's, of a request that is not base64 or has an unknown content type.
    "tonic-web: ",
];

/// The part of such a message that tells that a client inside of the server could not decode a response.
const RESPONSE_MARKER: &str = "while receiving response";

/// Returns whether a tonic server sends a status with this (decoded) message for a request that it cannot decode.
///
/// The sender of such a request is to blame, although the code says INTERNAL: strangers must not be able to make a server look
/// unhealthy. Framing errors are found by [`Upload::is_malformed`](crate::protocol::upload::Upload::is_malformed), for any
/// server; this is for the rest. A handler that passes on the status of a call of its own may report the same of a response:
/// such a failure is not held against it.
pub(crate) fn is_undecodable_request(message: &str) -> bool {
    DECODE_ERROR_PREFIXES
        .iter()
        .any(|begins| message.starts_with(begins))
        && !message.contains(RESPONSE_MARKER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_undecodable_requests_are_known_from_those_of_responses_and_handlers() {
        for (message, of_a_request) in [
            ("Missing request message.", true),
            ("Unexpected EOF decoding stream.", true),
            (
                "failed to decode Protobuf message: invalid tag value: 0",
                true,
            ),
            (
                "failed to decode Protobuf message: Order.id: buffer underflow",
                true,
            ),
            (
                "Error decompressing: invalid gzip header, while sending request",
                true,
            ),
            (
                "Error decompressing: size limit, of 7 bytes, exceeded while decompressing message",
                true,
            ),
            ("tonic-web: Invalid byte 33, offset 0.", true),
            (
                "Error decompressing: invalid gzip header, while receiving response with status: 200 OK",
                false,
            ),
            (
                "protocol error: received message with invalid compression flag: 60 (valid flags are 0 and 1) \
                 while receiving response with status: 502 Bad Gateway",
                false,
            ),
            ("", false),
            ("cannot read order 7", false),
            (
                "order: failed to decode Protobuf message: buffer underflow",
                false,
            ),
            ("missing request message.", false),
        ] {
            assert_eq!(is_undecodable_request(message), of_a_request, "{message}");
        }
    }
}

/// The messages that tonic really sends: an update that changes them fails here.
#[cfg(all(test, feature = "tonic"))]
mod real {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use http::Request;
    use http_body_util::Full;
    use tonic::{Code, Status, body::Body};
    use tonic_health::server::health_reporter;
    use tower_service::Service;

    use super::is_undecodable_request;

    /// Returns what a health service answers to these bytes.
    fn answer(body: &[u8], headers: &[(&'static str, &'static str)]) -> Status {
        let (_reporter, health) = health_reporter();
        let mut health = health.max_decoding_message_size(64);
        let mut request = Request::post("/grpc.health.v1.Health/Check");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Body::new(Full::new(Bytes::copy_from_slice(body)));
        let response = health.call(request.body(body).expect("a request"));
        let response = response
            .now_or_never()
            .expect("no wait")
            .expect("infallible");
        Status::from_header_map(response.headers()).expect("trailers only")
    }

    #[test]
    fn tonic_error_for_undecodable_request_is_known() {
        for (what, body) in [
            ("nothing", &b""[..]),
            ("half a header", b"\0\0\0"),
            ("half a message", b"\0\0\0\0\x02\x0a"),
            ("a message and half a header", b"\0\0\0\0\0\0"),
            ("a tag of 0", b"\0\0\0\0\x01\0"),
            ("a string that is cut", b"\0\0\0\0\x02\x0a\x09"),
            ("a string that is none", b"\0\0\0\0\x03\x0a\x01\xff"),
            ("an unknown flag", b"\x02\0\0\0\0"),
            ("JSON", b"{\"service\": \"\"}"),
            ("compressed without saying how", b"\x01\0\0\0\0"),
        ] {
            let status = answer(body, &[]);
            assert_eq!(status.code(), Code::Internal, "{what}: {status:?}");
            assert!(
                is_undecodable_request(status.message()),
                "{what}: {status:?}"
            );
        }
    }

    #[test]
    fn tonic_blames_the_caller_by_the_code_for_what_is_too_long_or_unknown() {
        let long = answer(b"\0\0\0\0\x41", &[]);
        assert_eq!(long.code(), Code::OutOfRange, "{long:?}");
        let unknown = answer(b"\0\0\0\0\0", &[("grpc-encoding", "zip")]);
        assert_eq!(unknown.code(), Code::Unimplemented, "{unknown:?}");
    }

    #[test]
    fn status_of_tonic_for_a_decoded_request_is_the_handlers() {
        let status = answer(b"\0\0\0\0\x03\x0a\x01x", &[]);
        assert_eq!(status.code(), Code::NotFound);
        assert!(!is_undecodable_request(status.message()), "{status:?}");
    }
}
