use std::time::Duration;

use http::response;

use super::{HttpCall, Verb, code_of, fault::Fault};
use crate::{
    call::{End, Evidence, Judged, Outcome, Small},
    protocol::{Notes, Side, Wire, upload::Upload},
};

impl Notes for HttpCall {
    #[inline]
    fn waited(&self) -> Duration {
        self.upload()
            .map_or(Duration::ZERO, |(upload, _)| upload.waited())
    }

    #[inline]
    fn wire(&self) -> Wire {
        self.wire
    }

    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        self.rare.as_deref()?.time_limit
    }

    #[inline]
    fn judged(&self) -> Judged {
        self.judged
    }

    fn begin_again(&mut self) {
        self.judged = Judged::SUCCESS;
        (self.status, self.code) = (None, None);
        if let Some(rare) = &mut self.rare {
            (rare.frames, rare.fault) = (None, None);
        }
        (self.sent, self.promised, self.declared) = (0, Small::NONE, false);
        self.wire = self.asked;
        self.is_certain = false;
        self.waiting = false;
    }

    #[inline]
    fn has_upload(&self) -> bool {
        HttpCall::upload(self).is_some()
    }

    fn upload(&self) -> Option<Upload> {
        HttpCall::upload(self).map(|watched| watched.0.clone())
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
        // An answer to HEAD has none.
        self.sent = if self.method == Verb::Head { 0 } else { bytes };
    }

    #[inline]
    fn judge_clean_end(&mut self) {
        if self.awaits_code() {
            self.judge_end_without_trailers();
        } else if self.declared && self.promised.get() != Some(self.sent) {
            self.judge_wrong_length();
        }
    }

    /// Bad news survives a drop; a body of which every promised byte was taken is complete. Of a good answer, a client's
    /// reader that was not waiting for more has what it wanted. A server's has gone, since hyper drops a body only then.
    ///
    /// A time limit around the call drops it as well, and says how that is judged: of a body only if its reader waited.
    /// Whatever else took the time, the peer was not asked for more.
    fn dropped(&self, given_up: Option<Judged>) -> Judged {
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
        if let Some(judged) = given_up.filter(|_| self.waiting && !complete) {
            return judged;
        }
        if complete || (self.side == Side::Client && !self.waiting) {
            Judged::SUCCESS
        } else {
            Judged::new(Outcome::Cancelled, Evidence::Healthy)
        }
    }

    fn panicked(&mut self) -> Judged {
        self.judge_panic();
        self.judged
    }

    #[inline]
    fn fill<'a>(&'a self, end: &mut End<'a>) {
        end.wire = self.wire;
        if end.began.is_some() && end.to_head.is_none() {
            end.waited = self.waited();
        }
        end.status = self.status;
        end.grpc_code = self.code;
        end.response_bytes = self.sent;
        if end.cause.is_none() {
            end.cause = self.fault().map(Fault::cause);
        }
    }
}
