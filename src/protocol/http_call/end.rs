//! Judges data, trailers and errors.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;

use super::{
    HttpCall, code_of,
    fault::{Fault, message_of},
};
use crate::{
    call::{
        Classifier, Elapsed, Ending, GrpcCode, Judged, JudgedError, Outcome, find, judged_late,
        view,
    },
    protocol::{
        Notes,
        grpc_frames::Frames,
        judge::{judge_code, judge_error},
    },
};

impl HttpCall {
    /// Judges what a body was polled for, and returns whether the call is over. `ended` is what the body says of that.
    /// An error is for the caller to judge, who owns it.
    #[inline]
    pub(crate) fn judge_frame<E>(
        &mut self,
        frame: Option<&Result<Frame<Bytes>, E>>,
        ended: bool,
        own: Option<&Classifier>,
    ) -> bool {
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.see_data(data);
                    // As with trailers: a reader that has them may leave.
                    if self.has_web_status() {
                        self.judge_clean_end();
                        return true;
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.judge_trailers(trailers, own);
                    return true;
                }
                if ended {
                    self.judge_clean_end();
                }
                ended
            }
            None => {
                self.judge_clean_end();
                true
            }
            Some(Err(_)) => false,
        }
    }

    fn has_web_status(&self) -> bool {
        self.frames().is_some_and(Frames::has_ended) && self.awaits_code()
    }

    /// Notes a piece of the body.
    #[inline]
    pub(crate) fn see_data(&mut self, data: &[u8]) {
        self.sent = self.sent.saturating_add(data.len() as u64);
        if let Some(rare) = &mut self.rare
            && let Some(frames) = &mut rare.frames
        {
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

    pub(super) fn judge_code(
        &mut self,
        code: GrpcCode,
        trailers: &HeaderMap,
        own: Option<&Classifier>,
    ) {
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
            self.note_fault(message_of(trailers));
        }
    }

    /// Judges a body that ended without the trailers that must bring the status of gRPC: it is in the last message of
    /// gRPC-Web, or nowhere.
    #[cold]
    pub(super) fn judge_end_without_trailers(&mut self) {
        if let Some(frames) = self.rare.as_mut().and_then(|rare| rare.frames.take())
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
        self.note_fault(Fault::MissingGrpcStatus);
    }

    /// A body that is not as long as its `content-length` says is as good as one that was cut off.
    #[cold]
    pub(super) fn judge_wrong_length(&mut self) {
        if self.judged.outcome != Outcome::Success {
            return;
        }
        self.judged = Judged::FAILURE;
        let promised = self.promised.get().unwrap_or_default();
        let sent = self.sent;
        self.note_fault(Fault::WrongLength { promised, sent });
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
    pub(super) fn blame_caller_for(&self, judged: Judged) -> Judged {
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
