//! Classifies the head of a response, and shares the classification with outer layers.

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
    /// Handles the head of the response, and returns whether a body follows. `exact` is the body's length if it is known.
    #[inline]
    pub(crate) fn on_head(
        &mut self,
        head: ResponseHead<'_>,
        exact: Option<u64>,
        classifier: Option<&Classifier>,
    ) -> BodyExpected {
        self.record_head(head);
        match inner_outcome(head.extensions).filter(|_| !self.is_successful_head(head.status)) {
            Some((classification, fault)) => self.adopt_inner_outcome(classification, fault),
            None => self.classify_head(head, classifier),
        }
        if self.classification.outcome != Outcome::Success {
            self.find_failure_detail(head);
        }
        // HTTP/2 may end even a 204 with trailers, and gRPC's clients read the status there.
        if self.has_no_body(head.status) && !self.expects_grpc_status() {
            return BodyExpected::No;
        }
        let length = content_length(head.headers);
        self.has_content_length = length.is_some();
        self.expected_len = PackedOption::new(length.or(exact));
        BodyExpected::Yes
    }

    /// Adopts what an inner guard has decided.
    #[cold]
    fn adopt_inner_outcome(&mut self, classification: Classification, fault: FailureDetail) {
        self.classification = classification;
        self.set_failure_detail(fault);
        if classification.outcome == Outcome::Panicked {
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

    /// Records status and code, and whether the peer answers in the wire format of the request.
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
        // Where gRPC is required, a page is searched for the status, too: it is missing then.
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
        // Any caller can send gRPC to a peer that does not speak it.
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
            // An inner layer has run the classifier of this one, too.
            self.classification = left.classification;
            self.classifier = Some(left.classifier.clone());
            return;
        }
        if self.expects_grpc_status() {
            return;
        }
        let classification = match self.grpc_code {
            Some(code) => classify_grpc_code(code),
            None => classify_status(self.side, head.status),
        };
        let classification = match classification.outcome {
            Outcome::Success => classification,
            _ => self.classify_failed_head(classification, head),
        };
        self.classification = match self.classifier.as_ref().or(own) {
            None => classification,
            Some(classifier) => self.apply_classifier(classification, head, classifier),
        };
    }

    /// Classifies a failed head by who is to blame.
    #[cold]
    fn classify_failed_head(
        &mut self,
        classification: Classification,
        head: ResponseHead<'_>,
    ) -> Classification {
        let classification = self.classify_timeout(classification, head.extensions);
        self.blame_caller(classification, head.headers)
    }

    #[inline(never)]
    fn apply_classifier(
        &self,
        classification: Classification,
        head: ResponseHead<'_>,
        classifier: &Classifier,
    ) -> Classification {
        let mut input = self.classify_input(head);
        input.classification = classification;
        classifier.classify(&mut input);
        input.classification
    }

    /// Returns whether the head is a success. Then a layer has reused the parts of a rejection for it, and what is in its
    /// extensions is outdated.
    fn is_successful_head(&self, status: StatusCode) -> bool {
        status.is_success() && self.grpc_code.is_none_or(|code| code == GrpcCode::OK)
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

    /// Classifies the response of an inner timeout by the error that it left.
    fn classify_timeout(
        &mut self,
        classification: Classification,
        extensions: &Extensions,
    ) -> Classification {
        if extensions.is_empty() {
            return classification;
        }
        match attached_elapsed(extensions) {
            Some(elapsed) => {
                self.is_local_timeout = true;
                elapsed.classification()
            }
            None => classification,
        }
    }

    /// Blames the caller for a failure if its request broke off, was malformed or could not be decoded: the response says nothing
    /// about the service then. `status` are the headers or trailers with the gRPC status.
    #[inline]
    pub(super) fn blame_caller(
        &self,
        classification: Classification,
        status: &HeaderMap,
    ) -> Classification {
        if classification.outcome == Outcome::Success {
            return classification;
        }
        if self.is_request_broken() || self.is_undecodable(classification, status) {
            Classification::CALLER_FAULT
        } else {
            classification
        }
    }

    /// Returns whether the request broke off, or was malformed.
    fn is_request_broken(&self) -> bool {
        let upload = self.upload();
        upload.is_some_and(|(upload, _)| upload.is_broken() || upload.is_malformed())
    }

    /// Returns whether a gRPC server reports that it could not decode the request, before it did anything about it.
    fn is_undecodable(&self, classification: Classification, status: &HeaderMap) -> bool {
        let may_be = self.side == Side::Server
            && self.grpc_code.is_some()
            && classification.evidence == Evidence::Unhealthy;
        let message = || {
            status
                .get("grpc-message")
                .map(|raw| decode_grpc_message(raw.as_bytes()))
        };
        may_be && message().is_some_and(|message| is_undecodable_request(&message))
    }

    /// Classifies a panic. The service is not blamed if the request broke off or was malformed.
    pub(super) fn classify_panic(&mut self) {
        self.classification = match self.is_request_broken() {
            true => Classification::new(Outcome::Panicked, Evidence::Inconclusive),
            false => Classification::PANICKED,
        };
    }

    /// Returns whether a timeout is the caller's fault: its body broke off, or was waited for.
    pub(crate) fn blames_caller_for_timeout(&self) -> bool {
        self.upload()
            .is_some_and(|(upload, began)| upload.blames_caller_for_timeout(*began, Instant::now()))
    }

    /// Leaves the classification of a classifier with the response, for outer layers.
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

    /// Leaves the classification of a classifier with an error, for outer layers.
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
