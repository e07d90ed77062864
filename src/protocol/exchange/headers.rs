//! Reads the headers that exchanges are classified by.

use http::{HeaderMap, HeaderValue, header};

use crate::{
    call::{GRPC_STATUS, GrpcCode},
    util::headers::find_header,
};

/// Parses `grpc-status`, from headers or trailers.
pub(crate) fn grpc_status_of(headers: &HeaderMap) -> Option<GrpcCode> {
    find_header(headers, &GRPC_STATUS).map(|value| GrpcCode::parse(value.as_bytes()))
}

/// Returns whether gRPC-Web is in its text form.
pub(super) fn is_grpc_web_text(headers: &HeaderMap) -> bool {
    let content_type = find_header(headers, &header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|kind| kind.starts_with(b"application/grpc-web-text"))
}

/// Returns the `content-length`, if it is a number.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = find_header(headers, &header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}
