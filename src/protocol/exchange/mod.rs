//! The state of a call over HTTP or gRPC, from its request to the end of the response's body.
//!
//! [`HttpExchange`] keeps it and learns what happens; `head` and `end` decide what that means, and `blame` whose fault it is.

mod blame;
mod body_expected;
mod call_state;
mod end;
mod extra;
mod failure_detail;
mod head;
mod method_kind;

use std::error::Error;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, StatusCode, Version};
use http_body::Frame;
use tokio::time::Instant;

pub(crate) use body_expected::BodyExpected;
use extra::ExchangeExtra;
use failure_detail::{FailureDetail, inner_outcome};
pub(crate) use head::{ResponseHead, grpc_status_of};
use head::{content_length, is_grpc_web_text};
use method_kind::MethodKind;

use super::{
    CallState, HttpKind, Side, WireFormat,
    classify::classify_error,
    grpc_framing::FrameScanner,
    grpc_timeout::grpc_timeout_of,
    shared_classifier::{SharedClassification, shared_classifier},
    upload::{Upload, watch_request},
};
use crate::call::{
    BoxError, Classification, ClassifiedError, Classifier, ClassifyInput, Elapsed, GrpcCode,
    Outcome, PackedOption, as_std_error, catch_hook, find,
};

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
        let wire = match K::REQUIRES_GRPC {
            true => WireFormat::from_grpc_headers(headers),
            false => WireFormat::from_request_parts(K::SIDE, method, request.version(), headers),
        };
        let call = HttpExchange::new(K::SIDE, wire, method, headers);
        let classifier = shared_classifier(K::SIDE, own, request.extensions_mut());
        let frames = request_frames(K::SIDE, wire);
        let mut extra = call.extra;
        // Nothing is known of a body that panics here.
        catch_hook(|| {
            if let Some(upload) = watch_request(request, frames) {
                extra.get_or_insert_default().upload = Some((upload, Instant::now()));
            }
        });
        HttpExchange {
            requires_grpc: K::REQUIRES_GRPC,
            classifier,
            extra,
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
            // Read on a client, too: its request says how long its caller waits.
            _ => grpc_timeout_of(headers),
        };
        HttpExchange {
            wire,
            request_wire: wire,
            side,
            requires_grpc: false,
            is_local_timeout: false,
            is_web_text: wire == WireFormat::GrpcWeb && is_grpc_web_text(headers),
            method: MethodKind::of(method),
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

    /// Returns whether the call is gRPC, gRPC-Web included.
    pub(crate) fn is_grpc(&self) -> bool {
        self.wire.is_grpc()
    }

    /// Returns the outcome so far, which is final once the body has ended.
    pub(crate) fn outcome(&self) -> Outcome {
        self.classification.outcome
    }

    /// Returns the gRPC code, once it is known.
    pub(crate) fn grpc_code(&self) -> Option<GrpcCode> {
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

    fn set_failure_detail(&mut self, detail: impl Into<Option<FailureDetail>>) {
        if let Some(detail) = detail.into() {
            self.extra_mut().failure_detail = Some(detail);
        }
    }

    /// Returns the content type of a gRPC response in this process's place: what the request asked for, without the codec.
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

    /// Handles the head of the response, and returns whether a body follows. `exact` is the body's length if it is known.
    #[inline]
    pub(crate) fn on_head(
        &mut self,
        head: ResponseHead<'_>,
        exact: Option<u64>,
        own: Option<&Classifier>,
    ) -> BodyExpected {
        // The wire format and the code come first: everything below depends on them.
        self.status = Some(head.status);
        if self.is_grpc() {
            head::record_grpc(self, head);
        }
        match inner_outcome(head.extensions).filter(|_| !head::is_success(head, self.grpc_code)) {
            Some((classification, detail)) => self.adopt_inner_outcome(classification, detail),
            None => head::classify(self, head, own),
        }
        if self.classification.outcome != Outcome::Success {
            head::find_failure_detail(self, head);
        }
        if self.has_no_body(head.status) {
            return BodyExpected::No;
        }
        // What the body itself claims decides about a drop only; a header is a promise that the end is checked by.
        let length = content_length(head.headers);
        self.has_content_length = length.is_some();
        self.expected_len = PackedOption::new(length.or(exact));
        BodyExpected::Yes
    }

    /// Adopts what an inner guard has decided.
    #[cold]
    fn adopt_inner_outcome(&mut self, classification: Classification, detail: FailureDetail) {
        self.classification = classification;
        self.set_failure_detail(detail);
        if classification.outcome == Outcome::Panicked {
            self.classification = blame::classify_panic(self);
        }
    }

    /// Returns whether the response is complete with its head.
    #[inline]
    fn has_no_body(&self, status: StatusCode) -> bool {
        let trailers_only = self.wire == WireFormat::Grpc && self.grpc_code.is_some();
        // HTTP/2 may end even a 204 with trailers, and gRPC's clients read the status there.
        trailers_only || self.method.forbids_body(status) && !self.expects_grpc_status()
    }

    /// Returns the input by which the head is classified.
    pub(crate) fn classify_input<'a>(&self, head: ResponseHead<'a>) -> ClassifyInput<'a> {
        let mut input = ClassifyInput::new(self.classification);
        input.status = Some(head.status);
        input.grpc_code = self.grpc_code;
        input.headers = Some(head.headers);
        input.extensions = Some(head.extensions);
        input
    }

    /// Returns whether the request broke off, or was malformed.
    fn is_request_broken(&self) -> bool {
        let extra = self.extra.as_deref();
        extra.is_some_and(ExchangeExtra::is_request_broken)
    }

    /// Returns whether a timeout is the caller's fault: its body broke off, or was waited for.
    fn blames_caller_for_timeout(&self) -> bool {
        let extra = self.extra.as_deref();
        extra.is_some_and(ExchangeExtra::blames_caller_for_timeout)
    }

    /// Leaves the classification of a classifier with the response, for outer layers.
    #[inline]
    pub(crate) fn share_classification(&self, extensions: &mut Extensions) {
        if let Some(classifier) = &self.classifier {
            SharedClassification::insert(self.side, self.classification, classifier, extensions);
        }
    }

    /// Leaves the classification of a classifier with an error, for outer layers.
    #[inline]
    pub(crate) fn wrap_error(&self, error: BoxError) -> BoxError {
        match self.classifier {
            // Outer layers come to the same by themselves for most errors, which need no wrapper.
            Some(_) if classify_error(&*error) != self.classification => {
                ClassifiedError::new(self.classification, error).into()
            }
            _ => error,
        }
    }

    /// Handles a frame of the body, and returns whether the body has ended. `ended` is what the body itself reports. An error is
    /// left to the caller of this function, which owns it.
    #[inline]
    pub(crate) fn on_frame<E>(
        &mut self,
        frame: Option<&Result<Frame<Bytes>, E>>,
        ended: bool,
        own: Option<&Classifier>,
    ) -> bool {
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.on_data(data);
                    // As with trailers: a reader that has them may drop the body.
                    if self.has_web_status() {
                        self.on_body_end();
                        return true;
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.on_trailers(trailers, own);
                    return true;
                }
                if ended {
                    self.on_body_end();
                }
                ended
            }
            None => {
                self.on_body_end();
                true
            }
            Some(Err(_)) => false,
        }
    }

    fn has_web_status(&self) -> bool {
        self.frames().is_some_and(FrameScanner::has_ended) && self.expects_grpc_status()
    }

    /// Handles a piece of the body.
    #[inline]
    fn on_data(&mut self, data: &[u8]) {
        self.bytes_sent = self.bytes_sent.saturating_add(data.len() as u64);
        if let Some(extra) = &mut self.extra
            && let Some(frames) = &mut extra.frames
        {
            frames.feed(data);
        }
    }

    /// Handles trailers, which end a body.
    fn on_trailers(&mut self, trailers: &HeaderMap, own: Option<&Classifier>) {
        if !self.expects_grpc_status() {
            return self.on_body_end();
        }
        let Some(code) = grpc_status_of(trailers) else {
            return self.on_body_end();
        };
        end::classify_code(self, code, trailers, own);
    }

    /// Classifies an error of the service or of its body.
    pub(crate) fn on_error(&mut self, error: &(dyn Error + 'static), own: Option<&Classifier>) {
        let mut input = ClassifyInput::new(blame::caller_for_error(self, classify_error(error)));
        // The error of a time limit of this process, or one that an inner layer has classified, is explained already.
        self.is_local_timeout =
            find::<Elapsed>(error).is_some() || ClassifiedError::find(error).is_some();
        input.status = self.status;
        input.error = Some(error);
        // A classifier of an inner layer has run all classifiers.
        match ClassifiedError::find(error) {
            Some(_) => self.classification = input.classification,
            None => self.apply_classifier(&mut input, own),
        }
    }

    /// Classifies an error of any type, and returns it as a std error if the type is known.
    pub(crate) fn on_any_error<'a, E: 'static>(
        &mut self,
        error: &'a E,
        own: Option<&Classifier>,
    ) -> Option<&'a (dyn Error + 'static)> {
        let error = as_std_error(error);
        match error {
            Some(error) => self.on_error(error, own),
            None => {
                let mut input =
                    ClassifyInput::new(blame::caller_for_error(self, Classification::FAILURE));
                self.apply_classifier(&mut input, own);
            }
        }
        error
    }

    /// Takes the classification of the input, after the classifier of the stack has seen it.
    fn apply_classifier(&mut self, input: &mut ClassifyInput<'_>, own: Option<&Classifier>) {
        if let Some(classifier) = self.classifier.as_ref().or(own) {
            classifier.classify(input);
        }
        self.classification = input.classification;
    }

    /// Returns whether the end of the body must bring a gRPC status. An HTTP status from 400 on is classified by itself, and says
    /// more than the code that gRPC's clients derive from it; any other without a gRPC status is `UNKNOWN` to them.
    fn expects_grpc_status(&self) -> bool {
        (self.wire == WireFormat::Grpc || self.frames().is_some())
            && self.grpc_code.is_none()
            && self.status.is_some_and(|status| status.as_u16() < 400)
            // A rejection or a panic inside stays what it is, with or without a status.
            && self.classification.outcome == Outcome::Success
    }
}

/// Returns the scanner for the messages of a gRPC request on a server.
#[inline]
fn request_frames(side: Side, wire: WireFormat) -> Option<FrameScanner> {
    (side == Side::Server && wire == WireFormat::Grpc).then(FrameScanner::new)
}

#[cfg(test)]
mod tests;
