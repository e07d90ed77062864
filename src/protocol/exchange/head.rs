//! Judges the head of a response, and leaves the verdict with it.

use http::{Extensions, HeaderMap, StatusCode};
use tokio::time::Instant;

use super::{
    BodyExpected, HttpExchange, MethodKind, content_length,
    failure_detail::{
        FailureDetail, attached_elapsed, attached_error, decode_grpc_message, grpc_message,
        inner_outcome,
    },
    grpc_status_of, is_grpc_web_text,
};
use crate::{
    call::{
        BoxError, Classification, ClassifiedError, Classifier, ClassifyInput, Evidence, GrpcCode,
        Outcome, PackedOption,
    },
    protocol::{
        ResponseHead, Side, WireFormat,
        classify::{classify_error, classify_grpc_code, classify_status},
        decode_errors::is_undecodable_request,
        grpc_framing::FrameScanner,
        shared_classifier::SharedClassification,
    },
};

impl HttpExchange {
    /// Judges the head of the response. `exact` is the body's length if it is known.
    #[inline]
    pub(crate) fn on_head(
        &mut self,
        head: ResponseHead<'_>,
        exact: Option<u64>,
        classifier: Option<&Classifier>,
    ) -> BodyExpected {
        self.record_head(head);
        match inner_outcome(head.extensions).filter(|_| !self.is_successful_head(head.status)) {
            Some((judged, fault)) => self.adopt_inner_outcome(judged, fault),
            None => self.classify_head(head, classifier),
        }
        if self.classification.outcome != Outcome::Success {
            self.find_failure_detail(head);
        }
        if self.has_no_body(head.status) {
            return BodyExpected::No;
        }
        let length = content_length(head.headers);
        self.has_content_length = length.is_some();
        self.expected_len = PackedOption::new(length.or(exact));
        BodyExpected::Yes
    }

    /// What a guard further in has decided stays so.
    #[cold]
    fn adopt_inner_outcome(&mut self, judged: Classification, fault: FailureDetail) {
        self.classification = judged;
        self.set_failure_detail(fault);
        if judged.outcome == Outcome::Panicked {
            self.classify_panic();
        }
    }

    #[cold]
    fn find_failure_detail(&mut self, head: ResponseHead<'_>) {
        if self.failure_detail().is_none() {
            let fault = attached_error(head.extensions)
                .or_else(|| grpc_message(head.headers).filter(|_| self.is_grpc()));
            self.set_failure_detail(fault);
        }
    }

    /// Notes status and code, and whether the peer speaks what it was asked in.
    #[inline]
    fn record_head(&mut self, head: ResponseHead<'_>) {
        self.status = Some(head.status);
        if self.is_grpc() {
            self.record_grpc_head(head);
        }
    }

    #[inline(never)]
    fn record_grpc_head(&mut self, head: ResponseHead<'_>) {
        self.grpc_code = grpc_status_of(head.headers);
        let answered = WireFormat::from_headers(head.headers);
        let is_grpc = self.grpc_code.is_some() || answered.is_grpc();
        // Who insists on gRPC looks for the status in a page, too, and finds none.
        let is_web = self.wire == WireFormat::GrpcWeb
            && (answered == WireFormat::GrpcWeb || self.requires_grpc);
        if is_web && self.grpc_code.is_none() {
            let frames = FrameScanner::new().with_trailers();
            let frames = match is_grpc_web_text(head.headers) {
                true => frames.base64_encoded(),
                false => frames,
            };
            self.extra_mut().frames = Some(frames);
        }
        // Anybody can say gRPC to a peer that does not speak it.
        if !is_grpc && !self.requires_grpc {
            self.wire = WireFormat::Plain;
        }
    }

    #[inline]
    fn classify_head(&mut self, head: ResponseHead<'_>, own: Option<&Classifier>) {
        let left = match head.extensions.is_empty() {
            true => None,
            false => head.extensions.get::<SharedClassification>(),
        };
        if let Some(left) = left.filter(|left| left.side == self.side) {
            // That of a layer further in, which has asked this one's, too.
            self.classification = left.classification;
            self.classifier = Some(left.classifier.clone());
            return;
        }
        if self.expects_grpc_status() {
            return;
        }
        let judged = match self.grpc_code {
            Some(code) => classify_grpc_code(code),
            None => classify_status(self.side, head.status),
        };
        let judged = match judged.outcome {
            Outcome::Success => judged,
            _ => self.classify_failed_head(judged, head),
        };
        self.classification = match self.classifier.as_ref().or(own) {
            None => judged,
            Some(classifier) => self.apply_classifier(judged, head, classifier),
        };
    }

    /// Judges a bad answer by who is to blame for it.
    #[cold]
    fn classify_failed_head(
        &mut self,
        judged: Classification,
        head: ResponseHead<'_>,
    ) -> Classification {
        let judged = self.classify_timeout(judged, head.extensions);
        self.blame_caller(judged, head.headers)
    }

    #[inline(never)]
    fn apply_classifier(
        &self,
        judged: Classification,
        head: ResponseHead<'_>,
        classifier: &Classifier,
    ) -> Classification {
        let mut ending = self.classify_input(head);
        ending.classification = judged;
        classifier.classify(&mut ending);
        ending.classification
    }

    /// Returns whether the answer is a good one so far. Then somebody has used the parts of a refusal for it, and what is
    /// in its extensions is history.
    fn is_successful_head(&self, status: StatusCode) -> bool {
        status.is_success() && self.grpc_code.is_none_or(|code| code == GrpcCode::OK)
    }

    /// Returns what the head of a response is judged by.
    pub(crate) fn classify_input<'a>(&self, head: ResponseHead<'a>) -> ClassifyInput<'a> {
        let mut ending = ClassifyInput::new(self.classification);
        ending.status = Some(head.status);
        ending.grpc_code = self.grpc_code;
        ending.headers = Some(head.headers);
        ending.extensions = Some(head.extensions);
        ending
    }

    /// Judges an answer that a time limit further in has given, by what that knows.
    fn classify_timeout(
        &mut self,
        judged: Classification,
        extensions: &Extensions,
    ) -> Classification {
        if extensions.is_empty() {
            return judged;
        }
        match attached_elapsed(extensions) {
            Some(elapsed) => {
                self.is_local_timeout = true;
                elapsed.classification()
            }
            None => judged,
        }
    }

    /// Puts a bad ending down to the caller if its request broke off, was malformed or could not be decoded: whatever
    /// the service answers then, says nothing about the service. `status` is where a gRPC status is.
    #[inline]
    pub(super) fn blame_caller(
        &self,
        judged: Classification,
        status: &HeaderMap,
    ) -> Classification {
        if judged.outcome == Outcome::Success {
            return judged;
        }
        if self.is_request_broken() || self.is_undecodable(judged, status) {
            Classification::CALLER_FAULT
        } else {
            judged
        }
    }

    /// Returns whether the request broke off, or was malformed.
    fn is_request_broken(&self) -> bool {
        let upload = self.upload();
        upload.is_some_and(|(upload, _)| upload.is_broken() || upload.is_malformed())
    }

    /// Returns whether a server of gRPC says that it could not decode the request, before it did anything about it.
    fn is_undecodable(&self, judged: Classification, status: &HeaderMap) -> bool {
        let may_be = self.side == Side::Server
            && self.grpc_code.is_some()
            && judged.evidence == Evidence::Unhealthy;
        let message = || {
            status
                .get("grpc-message")
                .map(|raw| decode_grpc_message(raw.as_bytes()))
        };
        may_be && message().is_some_and(|message| is_undecodable_request(&message))
    }

    /// Judges a panic: one that a broken request has led to is the caller's doing.
    pub(super) fn classify_panic(&mut self) {
        self.classification = match self.is_request_broken() {
            true => Classification::new(Outcome::Panicked, Evidence::Inconclusive),
            false => Classification::PANICKED,
        };
    }

    /// Returns whether time that ran out was spent waiting for the caller's body, or it broke off.
    pub(crate) fn blames_caller_for_timeout(&self) -> bool {
        self.upload()
            .is_some_and(|(upload, began)| upload.blames_caller_for_timeout(*began, Instant::now()))
    }

    /// Leaves a classifier's judgement with the response, for the layers further out.
    #[inline]
    pub(crate) fn share_classification(&self, extensions: &mut Extensions) {
        if let Some(classifier) = &self.classifier {
            self.insert_classification(classifier, extensions);
        }
    }

    #[cold]
    fn insert_classification(&self, classifier: &Classifier, extensions: &mut Extensions) {
        extensions.insert(SharedClassification {
            side: self.side,
            classification: self.classification,
            classifier: classifier.clone(),
        });
    }

    /// Leaves a classifier's judgement with an error, for the layers further out.
    #[inline]
    pub(crate) fn wrap_error(&self, error: BoxError) -> BoxError {
        match self.classifier {
            Some(_) if classify_error(&*error) != self.classification => {
                ClassifiedError::new(self.classification, error).into()
            }
            _ => error,
        }
    }

    fn has_no_body(&self, status: StatusCode) -> bool {
        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::RESET_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let tunnel = self.method == MethodKind::Connect && status.is_success();
        let trailers_only = self.wire == WireFormat::Grpc && self.grpc_code.is_some();
        bodiless || tunnel || trailers_only || self.method == MethodKind::Head
    }
}
