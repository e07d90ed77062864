//! Judges the head of a response, and leaves the verdict with it.

use http::{Extensions, HeaderMap, StatusCode};
use tokio::time::Instant;

use super::{
    HttpCall, Step, Verb, code_of, content_length,
    fault::{Fault, decoded, elapsed_in, fault_in, message_of, settled_inside},
    is_text,
};
use crate::{
    call::{BoxError, Classifier, Ending, Evidence, GrpcCode, Judged, JudgedError, Outcome, Small},
    protocol::{
        ResponseHead, Side, Wire,
        grpc_frames::Frames,
        judge::{judge_code, judge_error, judge_status},
        shared_classifier::LeftVerdict,
        undecodable::is_undecodable_request,
    },
};

impl HttpCall {
    /// Judges the head of the response. `exact` is the body's length if it is known.
    #[inline]
    pub(crate) fn judge_head(
        &mut self,
        head: ResponseHead<'_>,
        exact: Option<u64>,
        classifier: Option<&Classifier>,
    ) -> Step {
        self.see_head(head);
        match settled_inside(head.extensions).filter(|_| !self.is_good(head.status)) {
            Some((judged, fault)) => self.take_over(judged, fault),
            None => self.judge_status(head, classifier),
        }
        if self.judged.outcome != Outcome::Success {
            self.look_for_fault(head);
        }
        if self.ends_at_head(head.status) {
            return Step::Over;
        }
        let length = content_length(head.headers);
        self.declared = length.is_some();
        self.promised = Small::of(length.or(exact));
        Step::GoesOn
    }

    /// What a guard further in has decided stays so.
    #[cold]
    fn take_over(&mut self, judged: Judged, fault: Fault) {
        self.judged = judged;
        self.note_fault(fault);
        if judged.outcome == Outcome::Panicked {
            self.judge_panic();
        }
    }

    #[cold]
    fn look_for_fault(&mut self, head: ResponseHead<'_>) {
        if self.fault().is_none() {
            let fault = fault_in(head.extensions)
                .or_else(|| message_of(head.headers).filter(|_| self.is_grpc()));
            self.note_fault(fault);
        }
    }

    /// Notes status and code, and whether the peer speaks what it was asked in.
    #[inline]
    fn see_head(&mut self, head: ResponseHead<'_>) {
        self.status = Some(head.status);
        if self.is_grpc() {
            self.see_grpc_head(head);
        }
    }

    #[inline(never)]
    fn see_grpc_head(&mut self, head: ResponseHead<'_>) {
        self.code = code_of(head.headers);
        let answered = Wire::of_content_type(head.headers);
        let is_grpc = self.code.is_some() || answered.is_grpc();
        // Who insists on gRPC looks for the status in a page, too, and finds none.
        let is_web = self.wire == Wire::GrpcWeb && (answered == Wire::GrpcWeb || self.only_grpc);
        if is_web && self.code.is_none() {
            let frames = Frames::new().with_trailer();
            let frames = match is_text(head.headers) {
                true => frames.in_text(),
                false => frames,
            };
            self.rare_mut().frames = Some(frames);
        }
        // Anybody can say gRPC to a peer that does not speak it.
        if !is_grpc && !self.only_grpc {
            self.wire = Wire::Plain;
        }
    }

    #[inline]
    fn judge_status(&mut self, head: ResponseHead<'_>, own: Option<&Classifier>) {
        let left = match head.extensions.is_empty() {
            true => None,
            false => head.extensions.get::<LeftVerdict>(),
        };
        if let Some(left) = left.filter(|left| left.side == self.side) {
            // That of a layer further in, which has asked this one's, too.
            self.judged = left.judged;
            self.classifier = Some(left.classifier.clone());
            return;
        }
        if self.awaits_code() {
            return;
        }
        let judged = match self.code {
            Some(code) => judge_code(code),
            None => judge_status(self.side, head.status),
        };
        let judged = match judged.outcome {
            Outcome::Success => judged,
            _ => self.excused(judged, head),
        };
        self.judged = match self.classifier.as_ref().or(own) {
            None => judged,
            Some(classifier) => self.classified(judged, head, classifier),
        };
    }

    /// Judges a bad answer by who is to blame for it.
    #[cold]
    fn excused(&mut self, judged: Judged, head: ResponseHead<'_>) -> Judged {
        let judged = self.judge_lateness(judged, head.extensions);
        self.blame_caller(judged, head.headers)
    }

    #[inline(never)]
    fn classified(
        &self,
        judged: Judged,
        head: ResponseHead<'_>,
        classifier: &Classifier,
    ) -> Judged {
        let mut ending = self.ending(head);
        ending.judged = judged;
        classifier.judge(&mut ending);
        ending.judged
    }

    /// Returns whether the answer is a good one so far. Then somebody has used the parts of a refusal for it, and what is
    /// in its extensions is history.
    fn is_good(&self, status: StatusCode) -> bool {
        status.is_success() && self.code.is_none_or(|code| code == GrpcCode::OK)
    }

    /// Returns what the head of a response is judged by.
    pub(crate) fn ending<'a>(&self, head: ResponseHead<'a>) -> Ending<'a> {
        let mut ending = Ending::of(self.judged);
        ending.status = Some(head.status);
        ending.grpc_code = self.code;
        ending.headers = Some(head.headers);
        ending.extensions = Some(head.extensions);
        ending
    }

    /// Judges an answer that a time limit further in has given, by what that knows.
    fn judge_lateness(&mut self, judged: Judged, extensions: &Extensions) -> Judged {
        if extensions.is_empty() {
            return judged;
        }
        match elapsed_in(extensions) {
            Some(elapsed) => {
                self.is_certain = true;
                elapsed.judged()
            }
            None => judged,
        }
    }

    /// Puts a bad ending down to the caller if its request broke off, was malformed or could not be decoded: whatever
    /// the service answers then, says nothing about the service. `status` is where a gRPC status is.
    #[inline]
    pub(super) fn blame_caller(&self, judged: Judged, status: &HeaderMap) -> Judged {
        if judged.outcome == Outcome::Success {
            return judged;
        }
        if self.is_request_bad() || self.is_undecodable(judged, status) {
            Judged::CALLERS
        } else {
            judged
        }
    }

    /// Returns whether the request broke off, or was malformed.
    fn is_request_bad(&self) -> bool {
        let upload = self.upload();
        upload.is_some_and(|(upload, _)| upload.is_broken() || upload.is_malformed())
    }

    /// Returns whether a server of gRPC says that it could not decode the request, before it did anything about it.
    fn is_undecodable(&self, judged: Judged, status: &HeaderMap) -> bool {
        let may_be = self.side == Side::Server
            && self.code.is_some()
            && judged.evidence == Evidence::Unhealthy;
        let message = || {
            status
                .get("grpc-message")
                .map(|raw| decoded(raw.as_bytes()))
        };
        may_be && message().is_some_and(|message| is_undecodable_request(&message))
    }

    /// Judges a panic: one that a broken request has led to is the caller's doing.
    pub(super) fn judge_panic(&mut self) {
        self.judged = match self.is_request_bad() {
            true => Judged::new(Outcome::Panicked, Evidence::Inconclusive),
            false => Judged::PANICKED,
        };
    }

    /// Returns whether time that ran out was spent waiting for the caller's body, or it broke off.
    pub(crate) fn blames_caller_for_timeout(&self) -> bool {
        self.upload()
            .is_some_and(|(upload, began)| upload.blames_caller_for_timeout(*began, Instant::now()))
    }

    /// Leaves a classifier's judgement with the response, for the layers further out.
    #[inline]
    pub(crate) fn leave_verdict(&self, extensions: &mut Extensions) {
        if let Some(classifier) = &self.classifier {
            self.leave_judged(classifier, extensions);
        }
    }

    #[cold]
    fn leave_judged(&self, classifier: &Classifier, extensions: &mut Extensions) {
        extensions.insert(LeftVerdict {
            side: self.side,
            judged: self.judged,
            classifier: classifier.clone(),
        });
    }

    /// Leaves a classifier's judgement with an error, for the layers further out.
    #[inline]
    pub(crate) fn leave_verdict_with(&self, error: BoxError) -> BoxError {
        match self.classifier {
            Some(_) if judge_error(&*error) != self.judged => {
                JudgedError::new(self.judged, error).into()
            }
            _ => error,
        }
    }

    fn ends_at_head(&self, status: StatusCode) -> bool {
        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::RESET_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let tunnel = self.method == Verb::Connect && status.is_success();
        let trailers_only = self.wire == Wire::Grpc && self.code.is_some();
        bodiless || tunnel || trailers_only || self.method == Verb::Head
    }
}
