mod call_state;
mod end;
mod failure_detail;
mod head;

use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use tokio::time::Instant;

use failure_detail::FailureDetail;

use super::{
    HttpKind, Side, WireFormat,
    grpc_framing::FrameScanner,
    grpc_timeout::parse_grpc_timeout,
    shared_classifier::OuterClassifier,
    upload::{Upload, watch_request},
};
use crate::call::{Classification, Classifier, GrpcCode, Outcome, PackedOption, catch_hook};

/// The state of one HTTP or gRPC exchange, by which the call is classified.
#[derive(Debug)]
pub struct HttpExchange {
    wire: WireFormat,
    /// The wire format of the request, before the peer answered.
    request_wire: WireFormat,
    side: Side,
    /// True if a response that is not gRPC is a failure.
    requires_grpc: bool,
    /// True if a gRPC-Web request is in its text form.
    is_web_text: bool,
    /// True if a time limit of this process elapsed, which knows why.
    is_local_timeout: bool,
    method: MethodKind,
    classification: Classification,
    status: Option<StatusCode>,
    grpc_code: Option<GrpcCode>,
    /// True if the reader of the body waits: its last poll was pending.
    reader_waiting: bool,
    /// The bytes of body handed on so far.
    bytes_sent: u64,
    /// The length of the body, if known.
    expected_len: PackedOption,
    /// True if the length comes from a `content-length`.
    has_content_length: bool,
    classifier: Option<Classifier>,
    extra: Option<Box<ExchangeExtra>>,
}

/// State that most exchanges do not have. Boxed, since calls are moved.
#[derive(Debug, Default)]
struct ExchangeExtra {
    /// The time that the caller waits, if its request tells.
    time_limit: Option<Duration>,
    /// The request's body and the start of the call, if the body can be watched.
    upload: Option<(Upload, Instant)>,
    /// Finds the status in the body of a gRPC-Web response.
    frames: Option<FrameScanner>,
    failure_detail: Option<FailureDetail>,
}

impl ExchangeExtra {
    #[cold]
    fn with_time_limit(limit: Duration) -> Box<Self> {
        Box::new(ExchangeExtra {
            time_limit: Some(limit),
            ..ExchangeExtra::default()
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MethodKind {
    Head,
    Connect,
    Other,
}

/// The expectation of a body after the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyExpected {
    Yes,
    No,
}

impl HttpExchange {
    /// Reads a request on a client that may speak HTTP or gRPC.
    #[inline]
    pub(crate) fn from_client_request(method: &Method, headers: &HeaderMap) -> Self {
        let wire = WireFormat::from_request_parts(Side::Client, method, Version::HTTP_11, headers);
        HttpExchange::new(Side::Client, wire, method, headers)
    }

    /// Reads a request, and shares the classifier of its stack.
    #[inline]
    pub(super) fn from_request<K: HttpKind, B: 'static>(
        request: &mut Request<B>,
        own: Option<&Classifier>,
    ) -> Self {
        let (method, headers) = (request.method(), request.headers());
        let wire = if K::REQUIRES_GRPC {
            match WireFormat::from_headers(headers) {
                WireFormat::GrpcWeb => WireFormat::GrpcWeb,
                _ => WireFormat::Grpc,
            }
        } else {
            WireFormat::from_request_parts(K::SIDE, method, request.version(), headers)
        };
        let call = HttpExchange::new(K::SIDE, wire, method, headers);
        let classifier = shared_classifier(K::SIDE, own, request.extensions_mut());
        let frames = request_frames(K::SIDE, wire);
        let mut rare = call.extra;
        // Nothing is known of a body that panics here.
        catch_hook(|| {
            if let Some(upload) = watch_request(request, frames) {
                rare.get_or_insert_default().upload = Some((upload, Instant::now()));
            }
        });
        HttpExchange {
            requires_grpc: K::REQUIRES_GRPC,
            classifier,
            extra: rare,
            ..call
        }
    }

    /// Creates an exchange of which only the wire format is known.
    pub(super) fn with_wire(wire: WireFormat) -> Self {
        HttpExchange::new(Side::Server, wire, &Method::POST, &HeaderMap::new())
    }

    #[inline]
    fn new(side: Side, wire: WireFormat, method: &Method, headers: &HeaderMap) -> Self {
        let time_limit = match wire {
            WireFormat::Plain => None,
            _ => headers.get("grpc-timeout").and_then(parse_grpc_timeout),
        };
        HttpExchange {
            wire,
            request_wire: wire,
            side,
            requires_grpc: false,
            is_local_timeout: false,
            is_web_text: wire == WireFormat::GrpcWeb && is_grpc_web_text(headers),
            method: match *method {
                Method::HEAD => MethodKind::Head,
                Method::CONNECT => MethodKind::Connect,
                _ => MethodKind::Other,
            },
            classification: Classification::SUCCESS,
            status: None,
            grpc_code: None,
            reader_waiting: false,
            bytes_sent: 0,
            expected_len: PackedOption::NONE,
            has_content_length: false,
            classifier: None,
            extra: time_limit.map(ExchangeExtra::with_time_limit),
        }
    }

    /// Returns the wire format, as far as it is known by now.
    pub fn wire(&self) -> WireFormat {
        self.wire
    }

    /// Returns whether the call is gRPC, gRPC-Web included.
    pub fn is_grpc(&self) -> bool {
        self.wire.is_grpc()
    }

    /// Returns the outcome so far, which is final once the body has ended.
    pub fn outcome(&self) -> Outcome {
        self.classification.outcome
    }

    /// Returns the gRPC code, if there was one.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.grpc_code
    }

    fn extra_mut(&mut self) -> &mut ExchangeExtra {
        self.extra.get_or_insert_default()
    }

    fn upload(&self) -> Option<&(Upload, Instant)> {
        self.extra.as_deref()?.upload.as_ref()
    }

    fn frames(&self) -> Option<&FrameScanner> {
        self.extra.as_deref()?.frames.as_ref()
    }

    fn failure_detail(&self) -> Option<&FailureDetail> {
        self.extra.as_deref()?.failure_detail.as_ref()
    }

    fn set_failure_detail(&mut self, fault: impl Into<Option<FailureDetail>>) {
        if let Some(fault) = fault.into() {
            self.extra_mut().failure_detail = Some(fault);
        }
    }

    pub(crate) fn grpc_content_type(&self) -> &'static str {
        match self.wire {
            WireFormat::GrpcWeb if self.is_web_text => "application/grpc-web-text",
            WireFormat::GrpcWeb => "application/grpc-web",
            _ => "application/grpc",
        }
    }

    /// Sets whether the reader of the body waits for more.
    #[inline]
    pub(crate) fn set_reader_waiting(&mut self, waiting: bool) {
        self.reader_waiting = waiting;
    }

    /// Returns whether the end of the body must bring a gRPC status. An HTTP status from 400 on is classified by itself, and says
    /// more than the code that gRPC's clients derive from it; any other without a gRPC status is `UNKNOWN` to them.
    fn expects_grpc_status(&self) -> bool {
        (self.wire == WireFormat::Grpc || self.frames().is_some())
            && self.grpc_code.is_none()
            && self.status.is_some_and(|status| status.as_u16() < 400)
            && self.classification.outcome == Outcome::Success
    }
}

/// Returns the scanner for the messages of a gRPC request on a server.
#[inline]
fn request_frames(side: Side, wire: WireFormat) -> Option<FrameScanner> {
    (side == Side::Server && wire == WireFormat::Grpc).then(FrameScanner::new)
}

/// Returns the classifier of the stack, with that of this layer in it, and leaves it with the request for inner layers.
#[inline]
fn shared_classifier(
    side: Side,
    own: Option<&Classifier>,
    extensions: &mut Extensions,
) -> Option<Classifier> {
    let outer = match extensions.is_empty() {
        true => None,
        false => extensions.get::<OuterClassifier>(),
    };
    let outer = outer
        .filter(|outer| outer.side == side)
        .map(|outer| &outer.classifier);
    let Some(own) = own else {
        return outer.cloned();
    };
    let classifier = own.with_outer(outer);
    extensions.insert(OuterClassifier {
        side,
        classifier: classifier.clone(),
    });
    Some(classifier)
}

/// Parses `grpc-status`, from headers or trailers.
pub(crate) fn grpc_status_of(headers: &HeaderMap) -> Option<GrpcCode> {
    headers
        .get("grpc-status")
        .map(|value| GrpcCode::parse(value.as_bytes()))
}

/// Returns whether gRPC-Web is in its text form.
fn is_grpc_web_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|kind| kind.starts_with(b"application/grpc-web-text"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
