mod fault;

use std::{error::Error, time::Duration};

use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header, response,
};
use tokio::time::Instant;

use fault::{Fault, decoded, elapsed_in, fault_in, message_of, settled_inside};

use super::{
    Kind, Notes, ResponseHead, Side, Wire,
    grpc_frames::Frames,
    judge::{judge_code, judge_error, judge_status},
    shared_classifier::{LeftVerdict, OuterClassifier},
    timeout_header::parse_grpc_timeout,
    undecodable::is_undecodable_request,
    upload::{Upload, watch_request},
};
use crate::call::{
    BoxError, Classifier, Elapsed, End, Ending, Evidence, GrpcCode, Judged, JudgedError, Outcome,
    Small, find, judged_late, quietly, view,
};

/// What is remembered of an HTTP or gRPC call.
#[derive(Debug)]
pub struct HttpCall {
    wire: Wire,
    /// What the request spoke, before the peer answered.
    asked: Wire,
    side: Side,
    /// Whether an answer that is not gRPC is a failure.
    only_grpc: bool,
    /// Whether a gRPC-Web request is in its text form.
    web_text: bool,
    /// Whether it was a time limit of this process that ran out, which knows why.
    is_certain: bool,
    method: Verb,
    judged: Judged,
    status: Option<StatusCode>,
    code: Option<GrpcCode>,
    time_limit: Small,
    /// Bytes of body handed on so far.
    sent: u64,
    /// Bytes of body that are known to be all.
    promised: Small,
    /// Whether it was a `content-length` that promised them.
    declared: bool,
    classifier: Option<Classifier>,
    /// The request's body, and when the call began; only of a body that can be watched.
    upload: Option<Box<(Upload, Instant)>>,
    /// Looks for the status in the body of a gRPC-Web answer.
    frames: Option<Box<Frames>>,
    fault: Option<Box<Fault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Head,
    Connect,
    Other,
}

/// Whether a call goes on after what was just seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    GoesOn,
    Over,
}

impl HttpCall {
    /// Reads a request as a client that may speak either protocol.
    #[inline]
    pub(crate) fn read(method: &Method, headers: &HeaderMap) -> Self {
        let wire = Wire::requested(Side::Client, method, Version::HTTP_11, headers);
        HttpCall::new(Side::Client, wire, method, headers)
    }

    /// Reads a request, and takes or leaves the classifier that all layers of its stack judge by.
    #[inline]
    pub(super) fn of<K: Kind, B: 'static>(
        request: &mut Request<B>,
        own: Option<&Classifier>,
    ) -> Self {
        let (method, headers) = (request.method(), request.headers());
        let wire = if K::ONLY_GRPC {
            match Wire::of_content_type(headers) {
                Wire::GrpcWeb => Wire::GrpcWeb,
                _ => Wire::Grpc,
            }
        } else {
            Wire::requested(K::SIDE, method, request.version(), headers)
        };
        let mut call = HttpCall::new(K::SIDE, wire, method, headers);
        call.only_grpc = K::ONLY_GRPC;
        call.share_classifier(own, request.extensions_mut());
        // A body that panics here is one that nothing is known of.
        let upload = quietly(|| watch_request(request, call.request_frames())).flatten();
        call.upload = upload.map(|upload| Box::new((upload, Instant::now())));
        call
    }

    /// What reads the messages of a gRPC request on a server.
    fn request_frames(&self) -> Option<Frames> {
        (self.side == Side::Server && self.wire == Wire::Grpc).then(Frames::new)
    }

    /// A call of which only this is known.
    pub(super) fn speaking(wire: Wire) -> Self {
        HttpCall::new(Side::Server, wire, &Method::POST, &HeaderMap::new())
    }

    #[inline]
    fn new(side: Side, wire: Wire, method: &Method, headers: &HeaderMap) -> Self {
        let time_limit = match wire {
            Wire::Plain => None,
            _ => headers.get("grpc-timeout").and_then(parse_grpc_timeout),
        };
        HttpCall {
            wire,
            asked: wire,
            side,
            only_grpc: false,
            is_certain: false,
            web_text: wire == Wire::GrpcWeb && is_text(headers),
            method: match *method {
                Method::HEAD => Verb::Head,
                Method::CONNECT => Verb::Connect,
                _ => Verb::Other,
            },
            judged: Judged::SUCCESS,
            status: None,
            code: None,
            time_limit: Small::of_time(time_limit),
            sent: 0,
            promised: Small::NONE,
            declared: false,
            classifier: None,
            upload: None,
            frames: None,
            fault: None,
        }
    }

    #[inline]
    fn share_classifier(&mut self, own: Option<&Classifier>, extensions: &mut Extensions) {
        let outer = match extensions.is_empty() {
            true => None,
            false => extensions.get::<OuterClassifier>(),
        };
        let outer = outer
            .filter(|outer| outer.side == self.side)
            .map(|outer| &outer.classifier);
        let Some(own) = own else {
            self.classifier = outer.cloned();
            return;
        };
        let classifier = own.within(outer);
        extensions.insert(OuterClassifier {
            side: self.side,
            classifier: classifier.clone(),
        });
        self.classifier = Some(classifier);
    }

    /// What the call speaks, as far as it is known by now.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// Whether the call is gRPC, gRPC-Web included.
    pub fn is_grpc(&self) -> bool {
        self.wire.is_grpc()
    }

    /// What has been judged so far; final once the call is over.
    pub fn verdict(&self) -> Outcome {
        self.judged.outcome
    }

    /// The gRPC code, once there was one.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.code
    }

    pub(crate) fn grpc_content_type(&self) -> &'static str {
        match self.wire {
            Wire::GrpcWeb if self.web_text => "application/grpc-web-text",
            Wire::GrpcWeb => "application/grpc-web",
            _ => "application/grpc",
        }
    }

    /// Whether the end of the body must bring a gRPC status.
    fn awaits_code(&self) -> bool {
        (self.wire == Wire::Grpc || self.frames.is_some())
            && self.code.is_none()
            && self.status == Some(StatusCode::OK)
            && self.judged.outcome == Outcome::Success
    }

    /// Judges the head of the response. `exact` is the body's length if it is known.
    #[inline]
    pub(crate) fn judge_head(
        &mut self,
        head: ResponseHead<'_>,
        exact: Option<u64>,
        classifier: Option<&Classifier>,
    ) -> Step {
        self.see_head(head);
        match settled_inside(head.extensions) {
            Some((judged, fault)) => {
                self.judged = judged;
                self.fault = Some(Box::new(fault));
                if judged.outcome == Outcome::Panicked {
                    self.judge_panic();
                }
            }
            None => self.judge_status(head, classifier),
        }
        if self.judged.outcome != Outcome::Success && self.fault.is_none() {
            self.fault = fault_in(head.extensions)
                .or_else(|| message_of(head.headers).filter(|_| self.is_grpc()))
                .map(Box::new);
        }
        if self.ends_at_head(head.status) {
            return Step::Over;
        }
        let length = content_length(head.headers);
        self.declared = length.is_some();
        self.promised = Small::of(length.or(exact));
        Step::GoesOn
    }

    /// Notes status and code, and whether the peer speaks what it was asked in.
    #[inline]
    fn see_head(&mut self, head: ResponseHead<'_>) {
        self.status = Some(head.status);
        if !self.is_grpc() {
            return;
        }
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
            self.frames = Some(Box::new(frames));
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
        let judged = self.judge_lateness(judged, head.extensions);
        let judged = self.blame_caller(judged, head.headers);
        self.judged = match self.classifier.as_ref().or(own) {
            None => judged,
            Some(classifier) => {
                let mut ending = self.ending(head);
                ending.judged = judged;
                classifier.judge(&mut ending);
                ending.judged
            }
        };
    }

    /// What the head of a response is judged by.
    pub(crate) fn ending<'a>(&self, head: ResponseHead<'a>) -> Ending<'a> {
        let mut ending = Ending::of(self.judged);
        ending.status = Some(head.status);
        ending.grpc_code = self.code;
        ending.headers = Some(head.headers);
        ending.extensions = Some(head.extensions);
        ending
    }

    /// Judges an answer that a time limit further in has given, by what that knows.
    #[inline]
    fn judge_lateness(&mut self, judged: Judged, extensions: &Extensions) -> Judged {
        if judged.outcome == Outcome::Success || extensions.is_empty() {
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

    /// Puts a bad ending down to the caller if its request broke off, was malformed or could not be decoded: whatever the
    /// service answers then, says nothing about the service. `status` is where a gRPC status is.
    #[inline]
    fn blame_caller(&self, judged: Judged, status: &HeaderMap) -> Judged {
        if judged.outcome == Outcome::Success {
            return judged;
        }
        let broken = |upload: &Upload| upload.is_broken() || upload.is_malformed();
        let is_callers = self
            .upload
            .as_deref()
            .is_some_and(|watched| broken(&watched.0));
        if is_callers || self.is_undecodable(judged, status) {
            Judged::CALLERS
        } else {
            judged
        }
    }

    /// Whether a server of gRPC says that it could not decode the request, before it did anything about it.
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
    pub(crate) fn judge_panic(&mut self) {
        let broken = |upload: &Upload| upload.is_broken() || upload.is_malformed();
        let is_callers = self
            .upload
            .as_deref()
            .is_some_and(|watched| broken(&watched.0));
        self.judged = match is_callers {
            true => Judged::new(Outcome::Panicked, Evidence::Inconclusive),
            false => Judged::PANICKED,
        };
    }

    /// Whether time that ran out was spent waiting for the caller's body, or it broke off.
    pub(crate) fn blames_caller_for_timeout(&self) -> bool {
        self.upload
            .as_deref()
            .is_some_and(|(upload, began)| upload.blames_caller_for_timeout(*began, Instant::now()))
    }

    /// Leaves a classifier's judgement with the response, for the layers further out.
    #[inline]
    pub(crate) fn leave_verdict(&self, extensions: &mut Extensions) {
        if let Some(classifier) = &self.classifier {
            extensions.insert(LeftVerdict {
                side: self.side,
                judged: self.judged,
                classifier: classifier.clone(),
            });
        }
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

    /// Notes a piece of the body.
    #[inline]
    pub(crate) fn see_data(&mut self, data: &[u8]) {
        self.sent = self.sent.saturating_add(data.len() as u64);
        if let Some(frames) = &mut self.frames {
            frames.feed(data);
        }
    }

    /// Judges trailers, which end a body.
    pub(crate) fn judge_trailers(&mut self, trailers: &HeaderMap, own: Option<&Classifier>) {
        if !self.awaits_code() {
            return self.judge_clean_end();
        }
        let Some(code) = code_of(trailers) else {
            return self.judge_clean_end();
        };
        self.code = Some(code);
        self.judge_code(code, trailers, own);
    }

    fn judge_code(&mut self, code: GrpcCode, trailers: &HeaderMap, own: Option<&Classifier>) {
        let made_here = judged_late(trailers);
        self.is_certain = made_here.is_some();
        let judged = made_here.unwrap_or_else(|| self.blame_caller(judge_code(code), trailers));
        let mut ending = Ending::of(judged);
        ending.status = self.status;
        ending.grpc_code = self.code;
        ending.headers = Some(trailers);
        if let Some(classifier) = self.classifier.as_ref().or(own) {
            classifier.judge(&mut ending);
        }
        self.judged = ending.judged;
        if self.judged.outcome != Outcome::Success {
            self.fault = message_of(trailers).map(Box::new);
        }
    }

    /// A body that is not as long as its `content-length` says is as good as one that was cut off.
    #[cold]
    fn judge_wrong_length(&mut self) {
        if self.judged.outcome != Outcome::Success {
            return;
        }
        self.judged = Judged::FAILURE;
        self.fault = Some(Box::new(Fault::WrongLength {
            promised: self.promised.get().unwrap_or_default(),
            sent: self.sent,
        }));
    }

    /// Judges an error: of the service, or of its body.
    pub(crate) fn judge_error(&mut self, error: &(dyn Error + 'static), own: Option<&Classifier>) {
        let mut ending = Ending::of(self.blame_caller_for(judge_error(error)));
        self.is_certain = find::<Elapsed>(error).is_some() || JudgedError::find(error).is_some();
        ending.status = self.status;
        ending.error = Some(error);
        // That of a layer further in has asked all.
        if JudgedError::find(error).is_none()
            && let Some(classifier) = self.classifier.as_ref().or(own)
        {
            classifier.judge(&mut ending);
        }
        self.judged = ending.judged;
    }

    /// Puts an error down to the caller if its request broke off, or took the time that ran out.
    fn blame_caller_for(&self, judged: Judged) -> Judged {
        if judged.outcome == Outcome::TimedOut && self.blames_caller_for_timeout() {
            return Judged::CALLERS;
        }
        match judged.outcome {
            Outcome::Rejected => judged,
            _ => self.blame_caller(judged, &HeaderMap::new()),
        }
    }

    /// Judges an error of a type that may not be known, and gives it back if it can be looked into.
    pub(crate) fn judge_any_error<'a, E: 'static>(
        &mut self,
        error: &'a E,
        own: Option<&Classifier>,
    ) -> Option<&'a (dyn Error + 'static)> {
        let error = view(error);
        match error {
            Some(error) => self.judge_error(error, own),
            None => {
                let mut ending = Ending::of(self.blame_caller_for(Judged::FAILURE));
                if let Some(classifier) = self.classifier.as_ref().or(own) {
                    classifier.judge(&mut ending);
                }
                self.judged = ending.judged;
            }
        }
        error
    }
}

impl Notes for HttpCall {
    #[inline]
    fn waited(&self) -> Duration {
        let upload = self.upload.as_deref();
        upload.map_or(Duration::ZERO, |(upload, _)| upload.waited())
    }

    #[inline]
    fn wire(&self) -> Wire {
        self.wire
    }

    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        self.time_limit.time()
    }

    #[inline]
    fn judged(&self) -> Judged {
        self.judged
    }

    fn begin_again(&mut self) {
        self.judged = Judged::SUCCESS;
        (self.status, self.code, self.fault) = (None, None, None);
        (self.sent, self.promised, self.declared) = (0, Small::NONE, false);
        self.wire = self.asked;
        self.is_certain = false;
    }

    fn upload(&self) -> Option<Upload> {
        self.upload.as_deref().map(|watched| watched.0.clone())
    }

    #[inline]
    fn is_late(&self) -> bool {
        let late = Judged::new(Outcome::TimedOut, Evidence::Unhealthy);
        self.judged == late && !self.is_certain
    }

    fn excuse_lateness(&mut self) {
        self.judged.evidence = Evidence::Inconclusive;
    }

    fn answered_instead(&mut self, head: &response::Parts, bytes: u64) {
        self.status = Some(head.status);
        if self.is_grpc() {
            self.code = code_of(&head.headers);
        }
        self.sent = bytes;
    }

    #[inline]
    fn judge_clean_end(&mut self) {
        if self.awaits_code() {
            if let Some(frames) = self.frames.take()
                && let Some(code) = frames.status().map(GrpcCode::parse)
            {
                self.code = Some(code);
                let mut trailers = HeaderMap::new();
                if let Some(Ok(message)) = frames.message().map(HeaderValue::from_bytes) {
                    trailers.insert("grpc-message", message);
                }
                return self.judge_code(code, &trailers, None);
            }
            self.judged = self.blame_caller(Judged::FAILURE, &HeaderMap::new());
            self.fault = Some(Box::new(Fault::MissingGrpcStatus));
        } else if self.declared && self.promised.get() != Some(self.sent) {
            self.judge_wrong_length();
        }
    }

    /// Bad news survives a drop; a body of which every promised byte was taken is complete. Of a good answer, a client's
    /// reader that was not waiting for more has what it wanted. A server's has gone, since hyper drops a body only then.
    ///
    /// A time limit around the call drops it as well, and says how that is judged.
    fn dropped(&self, waiting: bool, given_up: Option<Judged>) -> Judged {
        if self.judged.outcome != Outcome::Success {
            return self.judged;
        }
        if self.status.is_none() {
            return match given_up {
                Some(judged) => self.blame_caller_for(judged),
                // Its request broke off with it: a server's future is dropped before anybody reads so.
                None if self.blames_caller_for_timeout() => Judged::CALLERS,
                None => Judged::ABANDONED,
            };
        }
        let promised = self.promised.get();
        if self.declared && promised.is_some_and(|promised| self.sent > promised) {
            return Judged::FAILURE;
        }
        let complete = !self.awaits_code() && promised == Some(self.sent);
        if let Some(judged) = given_up.filter(|_| !complete) {
            return judged;
        }
        if complete || (self.side == Side::Client && !waiting) {
            Judged::SUCCESS
        } else {
            Judged::new(Outcome::Cancelled, Evidence::Healthy)
        }
    }

    fn panicked(&mut self) -> Judged {
        self.judge_panic();
        self.judged
    }

    fn fill<'a>(&'a self, end: &mut End<'a>) {
        end.wire = self.wire;
        end.status = self.status;
        end.grpc_code = self.code;
        end.response_bytes = self.sent;
        if end.cause.is_none() {
            end.cause = self.fault.as_deref().map(Fault::cause);
        }
    }
}

fn code_of(headers: &HeaderMap) -> Option<GrpcCode> {
    headers
        .get("grpc-status")
        .map(|value| GrpcCode::parse(value.as_bytes()))
}

/// Whether gRPC-Web is in its text form.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|kind| kind.starts_with(b"application/grpc-web-text"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
