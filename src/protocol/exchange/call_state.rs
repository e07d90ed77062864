use std::time::Duration;

use http::response;

use super::{HttpExchange, MethodKind, blame, end, failure_detail::FailureDetail, grpc_status_of};
use crate::{
    call::{CallEnd, Classification, Evidence, Outcome, PackedOption},
    protocol::{CallState, Side, WireFormat, upload::Upload},
};

impl CallState for HttpExchange {
    #[inline]
    fn upload_wait(&self) -> Duration {
        self.upload()
            .map_or(Duration::ZERO, |(upload, _)| upload.waited())
    }

    #[inline]
    fn wire(&self) -> WireFormat {
        self.wire
    }

    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        self.extra.as_deref()?.time_limit
    }

    #[inline]
    fn classification(&self) -> Classification {
        self.classification
    }

    fn reset(&mut self) {
        self.classification = Classification::SUCCESS;
        (self.status, self.grpc_code) = (None, None);
        if let Some(extra) = &mut self.extra {
            (extra.frames, extra.failure_detail) = (None, None);
        }
        (self.bytes_sent, self.expected_len, self.has_content_length) =
            (0, PackedOption::NONE, false);
        // The attempt before may have made the call plain; the request is the same as then.
        self.wire = self.request_wire;
        self.is_local_timeout = false;
        self.reader_waiting = false;
    }

    #[inline]
    fn has_upload(&self) -> bool {
        HttpExchange::upload(self).is_some()
    }

    fn upload(&self) -> Option<Upload> {
        HttpExchange::upload(self).map(|watched| watched.0.clone())
    }

    #[inline]
    fn is_unexplained_timeout(&self) -> bool {
        // The code of a peer says that it gave up, not why: it may have gone by the deadline that we sent along.
        let late = Classification::new(Outcome::TimedOut, Evidence::Unhealthy);
        self.classification == late && !self.is_local_timeout
    }

    fn excuse_timeout(&mut self) {
        self.classification.evidence = Evidence::Inconclusive;
    }

    fn set_local_response(&mut self, head: &response::Parts, bytes: u64) {
        self.status = Some(head.status);
        if self.is_grpc() {
            self.grpc_code = grpc_status_of(&head.headers);
        }
        // A response to HEAD has no body.
        self.bytes_sent = if self.method == MethodKind::Head {
            0
        } else {
            bytes
        };
    }

    #[inline]
    fn on_body_end(&mut self) {
        if self.expects_grpc_status() {
            end::classify_without_trailers(self);
        } else if self.has_content_length && self.expected_len.get() != Some(self.bytes_sent) {
            end::classify_wrong_length(self);
        }
    }

    /// Classifies a call that is dropped. A failed head stays a failure; a body of which every expected byte was taken is
    /// complete. After a successful head, a client's reader that was not waiting for more has what it wanted. A server's reader
    /// has gone away, since hyper drops a body only then.
    ///
    /// A timeout around the call drops it as well, and brings its classification: for a body only if the reader was waiting.
    /// Otherwise the peer was not asked for more.
    fn classify_drop(&self, given_up: Option<Classification>) -> Classification {
        if self.classification.outcome != Outcome::Success {
            return self.classification;
        }
        if self.status.is_none() {
            return match given_up {
                Some(classification) => blame::caller_for_error(self, classification),
                // The request broke off with the call: a server's future is dropped before any reader sees that.
                None if self.blames_caller_for_timeout() => Classification::CALLER_FAULT,
                None => Classification::CANCELLED,
            };
        }
        let promised = self.expected_len.get();
        if self.has_content_length && promised.is_some_and(|promised| self.bytes_sent > promised) {
            return Classification::FAILURE;
        }
        // A gRPC body of the right length still lacks its trailers.
        let complete = !self.expects_grpc_status() && promised == Some(self.bytes_sent);
        if let Some(classification) = given_up.filter(|_| self.reader_waiting && !complete) {
            return classification;
        }
        if complete || (self.side == Side::Client && !self.reader_waiting) {
            Classification::SUCCESS
        } else {
            Classification::new(Outcome::Cancelled, Evidence::Healthy)
        }
    }

    fn on_panic(&mut self) -> Classification {
        self.classification = blame::classify_panic(self);
        self.classification
    }

    #[inline]
    fn write_end<'a>(&'a self, end: &mut CallEnd<'a>) {
        end.wire = self.wire;
        // With a head, the time before it is known; the upload is asked, under its lock, only without one.
        if end.admitted_at.is_some() && end.time_to_head.is_none() {
            end.upload_wait = self.upload_wait();
        }
        end.status = self.status;
        end.grpc_code = self.grpc_code;
        end.response_bytes = self.bytes_sent;
        // An error or a panic of the service itself is closer to the cause than what its head said.
        if end.cause.is_none() {
            end.cause = self.failure_detail().map(FailureDetail::cause);
        }
    }
}
