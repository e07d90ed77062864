//! The head of a response: what is read from it, and how it is classified.

use http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{
    HttpExchange, blame,
    failure_detail::{attached_elapsed, attached_error, grpc_message},
};
use crate::{
    call::{Classification, Classifier, GRPC_STATUS, GrpcCode, Outcome},
    protocol::{
        WireFormat,
        classify::{classify_grpc_code, classify_status},
        grpc_framing::FrameScanner,
        shared_classifier::SharedClassification,
    },
    util::headers::find_header,
};

/// The head of a response, borrowed: responses are large, and splitting them would copy them.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

impl<'a, B> From<&'a Response<B>> for ResponseHead<'a> {
    #[inline]
    fn from(response: &'a Response<B>) -> Self {
        ResponseHead {
            status: response.status(),
            headers: response.headers(),
            extensions: response.extensions(),
        }
    }
}

/// Records the gRPC code, and whether the peer answers in the wire format of the request.
#[inline(never)]
pub(super) fn record_grpc(call: &mut HttpExchange, head: ResponseHead<'_>) {
    call.grpc_code = grpc_status_of(head.headers);
    let answered = WireFormat::from_headers(head.headers);
    let is_grpc = call.grpc_code.is_some() || answered.is_grpc();
    // Where gRPC is required, a page is searched for the status, too: it is missing then.
    let is_web =
        call.wire == WireFormat::GrpcWeb && (answered == WireFormat::GrpcWeb || call.requires_grpc);
    if is_web && call.grpc_code.is_none() {
        let frames = FrameScanner::new().with_trailers();
        // By the response, not by the request: proxies translate one form into the other.
        let frames = match is_grpc_web_text(head.headers) {
            true => frames.base64_encoded(),
            false => frames,
        };
        call.extra_mut().frames = Some(frames);
    }
    // Any caller can send gRPC to a peer that does not speak it.
    if !is_grpc && !call.requires_grpc {
        call.wire = WireFormat::Plain;
    }
}

/// Classifies the head by its status or code, and by the classifier of the stack.
#[inline]
pub(super) fn classify(call: &mut HttpExchange, head: ResponseHead<'_>, own: Option<&Classifier>) {
    // Most responses have no extensions, and need no lookup.
    let left = match head.extensions.is_empty() {
        true => None,
        false => head.extensions.get::<SharedClassification>(),
    };
    if let Some(left) = left.filter(|left| left.side == call.side) {
        // An inner layer has run the classifier of this one, too.
        call.classification = left.classification;
        call.classifier = Some(left.classifier.clone());
        return;
    }
    // The status comes with the end of the body; until then the call counts as a success.
    if call.expects_grpc_status() {
        return;
    }
    let classification = match call.grpc_code {
        Some(code) => classify_grpc_code(code),
        None => classify_status(call.side, head.status),
    };
    let classification = match classification.outcome {
        Outcome::Success => classification,
        _ => classify_failure(call, classification, head),
    };
    call.classification = match call.classifier.as_ref().or(own) {
        None => classification,
        Some(classifier) => apply_classifier(call, classification, head, classifier),
    };
}

/// Classifies a failed head by who is to blame.
#[cold]
fn classify_failure(
    call: &mut HttpExchange,
    classification: Classification,
    head: ResponseHead<'_>,
) -> Classification {
    let classification = classify_timeout(call, classification, head.extensions);
    blame::caller(call, classification, head.headers)
}

/// Classifies the response of an inner timeout by the error that it left.
fn classify_timeout(
    call: &mut HttpExchange,
    classification: Classification,
    extensions: &Extensions,
) -> Classification {
    if extensions.is_empty() {
        return classification;
    }
    match attached_elapsed(extensions) {
        Some(elapsed) => {
            call.is_local_timeout = true;
            elapsed.classification()
        }
        None => classification,
    }
}

#[inline(never)]
fn apply_classifier(
    call: &HttpExchange,
    classification: Classification,
    head: ResponseHead<'_>,
    classifier: &Classifier,
) -> Classification {
    let mut input = call.classify_input(head);
    input.classification = classification;
    classifier.classify(&mut input);
    input.classification
}

/// Returns whether the head is a success. Then a layer has reused the parts of a rejection for it, and what is in its
/// extensions is outdated.
pub(super) fn is_success(head: ResponseHead<'_>, code: Option<GrpcCode>) -> bool {
    head.status.is_success() && code.is_none_or(|code| code == GrpcCode::OK)
}

/// Keeps the cause of a failed head, unless an inner guard has named it.
#[cold]
pub(super) fn find_failure_detail(call: &mut HttpExchange, head: ResponseHead<'_>) {
    if call.failure_detail().is_none() {
        let detail = attached_error(head.extensions)
            .or_else(|| grpc_message(head.headers).filter(|_| call.is_grpc()));
        call.set_failure_detail(detail);
    }
}

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
