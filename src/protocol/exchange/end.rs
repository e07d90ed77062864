//! Classifies by data, trailers and errors.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;

use super::{
    HttpExchange,
    failure_detail::{FailureDetail, grpc_message},
    grpc_status_of,
};
use crate::{
    call::{
        Classification, ClassifiedError, Classifier, ClassifyInput, Elapsed, GrpcCode, Outcome,
        as_std_error, classify_timeout_trailers, find,
    },
    protocol::{
        CallState,
        classify::{classify_error, classify_grpc_code},
        grpc_framing::FrameScanner,
    },
};

impl HttpExchange {
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
    pub(crate) fn on_data(&mut self, data: &[u8]) {
        self.bytes_sent = self.bytes_sent.saturating_add(data.len() as u64);
        if let Some(rare) = &mut self.extra
            && let Some(frames) = &mut rare.frames
        {
            frames.feed(data);
        }
    }

    /// Handles trailers, which end a body.
    pub(crate) fn on_trailers(&mut self, trailers: &HeaderMap, own: Option<&Classifier>) {
        if !self.expects_grpc_status() {
            return self.on_body_end();
        }
        let Some(code) = grpc_status_of(trailers) else {
            return self.on_body_end();
        };
        self.grpc_code = Some(code);
        self.on_grpc_code(code, trailers, own);
    }

    pub(super) fn on_grpc_code(
        &mut self,
        code: GrpcCode,
        trailers: &HeaderMap,
        own: Option<&Classifier>,
    ) {
        let made_here = classify_timeout_trailers(trailers);
        self.is_local_timeout = made_here.is_some();
        let judged =
            made_here.unwrap_or_else(|| self.blame_caller(classify_grpc_code(code), trailers));
        let mut ending = ClassifyInput::new(judged);
        ending.status = self.status;
        ending.grpc_code = self.grpc_code;
        ending.headers = Some(trailers);
        if let Some(classifier) = self.classifier.as_ref().or(own) {
            classifier.classify(&mut ending);
        }
        self.classification = ending.classification;
        if self.classification.outcome != Outcome::Success {
            self.set_failure_detail(grpc_message(trailers));
        }
    }

    /// Handles the end of a body without the trailers that must bring the gRPC status: it is in the last message of gRPC-Web, or
    /// missing.
    #[cold]
    pub(super) fn on_end_without_trailers(&mut self) {
        if let Some(frames) = self.extra.as_mut().and_then(|rare| rare.frames.take())
            && let Some(code) = frames.status().map(GrpcCode::parse)
        {
            self.grpc_code = Some(code);
            let mut trailers = HeaderMap::new();
            if let Some(Ok(message)) = frames.message().map(HeaderValue::from_bytes) {
                trailers.insert("grpc-message", message);
            }
            return self.on_grpc_code(code, &trailers, None);
        }
        self.classification = self.blame_caller(Classification::FAILURE, &HeaderMap::new());
        self.set_failure_detail(FailureDetail::MissingGrpcStatus);
    }

    /// Handles the end of a body that is not as long as its `content-length`: a failure, as if it were cut off.
    #[cold]
    pub(super) fn on_wrong_length(&mut self) {
        if self.classification.outcome != Outcome::Success {
            return;
        }
        self.classification = Classification::FAILURE;
        let promised = self.expected_len.get().unwrap_or_default();
        let sent = self.bytes_sent;
        self.set_failure_detail(FailureDetail::WrongLength {
            content_length: promised,
            bytes_sent: sent,
        });
    }

    /// Classifies an error of the service or of its body.
    pub(crate) fn on_error(&mut self, error: &(dyn Error + 'static), own: Option<&Classifier>) {
        let mut ending = ClassifyInput::new(self.blame_caller_for_error(classify_error(error)));
        self.is_local_timeout =
            find::<Elapsed>(error).is_some() || ClassifiedError::find(error).is_some();
        ending.status = self.status;
        ending.error = Some(error);
        // A classifier of an inner layer has run all classifiers.
        if ClassifiedError::find(error).is_none()
            && let Some(classifier) = self.classifier.as_ref().or(own)
        {
            classifier.classify(&mut ending);
        }
        self.classification = ending.classification;
    }

    /// Blames the caller for an error if its request broke off, or took the time that ran out.
    pub(super) fn blame_caller_for_error(&self, judged: Classification) -> Classification {
        if judged.outcome == Outcome::TimedOut && self.blames_caller_for_timeout() {
            return Classification::CALLER_FAULT;
        }
        match judged.outcome {
            Outcome::Rejected => judged,
            _ => self.blame_caller(judged, &HeaderMap::new()),
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
                let mut ending =
                    ClassifyInput::new(self.blame_caller_for_error(Classification::FAILURE));
                if let Some(classifier) = self.classifier.as_ref().or(own) {
                    classifier.classify(&mut ending);
                }
                self.classification = ending.classification;
            }
        }
        error
    }
}
