//! Classifies the end of a body.

use http::{HeaderMap, HeaderValue};

use super::{
    HttpExchange, blame,
    failure_detail::{FailureDetail, grpc_message},
};
use crate::{
    call::{
        Classification, Classifier, ClassifyInput, GrpcCode, Outcome, classify_timeout_trailers,
    },
    protocol::classify::classify_grpc_code,
};

/// Classifies the call by the gRPC code in the trailers.
pub(super) fn classify_code(
    call: &mut HttpExchange,
    code: GrpcCode,
    trailers: &HeaderMap,
    own: Option<&Classifier>,
) {
    call.grpc_code = Some(code);
    // A time limit of this process has written the trailers, and knows more than their code says.
    let made_here = match code {
        GrpcCode::DEADLINE_EXCEEDED => classify_timeout_trailers(trailers),
        _ => None,
    };
    call.is_local_timeout = made_here.is_some();
    let classification =
        made_here.unwrap_or_else(|| blame::caller(call, classify_grpc_code(code), trailers));
    let mut input = ClassifyInput::new(classification);
    input.status = call.status;
    input.grpc_code = call.grpc_code;
    input.headers = Some(trailers);
    call.apply_classifier(&mut input, own);
    if call.classification.outcome != Outcome::Success {
        call.set_failure_detail(grpc_message(trailers));
    }
}

/// Classifies the end of a body without the trailers that must bring the gRPC status: it is in the last message of gRPC-Web, or
/// missing.
#[cold]
pub(super) fn classify_without_trailers(call: &mut HttpExchange) {
    if let Some(frames) = call.extra.as_mut().and_then(|extra| extra.frames.take())
        && let Some(code) = frames.status().map(GrpcCode::parse)
    {
        let mut trailers = HeaderMap::new();
        if let Some(Ok(message)) = frames.message().map(HeaderValue::from_bytes) {
            trailers.insert("grpc-message", message);
        }
        return classify_code(call, code, &trailers, None);
    }
    call.classification = blame::caller(call, Classification::FAILURE, &HeaderMap::new());
    call.set_failure_detail(FailureDetail::MissingGrpcStatus);
}

/// Classifies the end of a body that is not as long as its `content-length`: a failure, as if it were cut off.
#[cold]
pub(super) fn classify_wrong_length(call: &mut HttpExchange) {
    // A failed head says more than the length of its body.
    if call.classification.outcome != Outcome::Success {
        return;
    }
    call.classification = Classification::FAILURE;
    let content_length = call.expected_len.get().unwrap_or_default();
    let bytes_sent = call.bytes_sent;
    call.set_failure_detail(FailureDetail::WrongLength {
        content_length,
        bytes_sent,
    });
}
