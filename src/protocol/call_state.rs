use std::time::Duration;

use http::response;

use super::{WireFormat, upload::Upload};
use crate::call::{CallClock, CallEnd, Classification};

/// The state of a call, as its protocol keeps it.
pub trait CallState {
    /// Returns the time limit that came with the request, if any.
    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// Returns the time spent waiting for the caller's request so far.
    #[doc(hidden)]
    #[inline]
    fn upload_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the wire format of the call.
    #[inline]
    fn wire(&self) -> WireFormat {
        WireFormat::Plain
    }

    /// Returns whether the request's body is watched.
    #[doc(hidden)]
    #[inline]
    fn has_upload(&self) -> bool {
        false
    }

    /// Creates the clock of the call.
    #[doc(hidden)]
    #[inline]
    fn clock(&self) -> CallClock {
        CallClock::default()
            .with_wire(self.wire())
            .with_upload(self.has_upload())
    }

    /// Returns the progress of the request's body, if it can be watched.
    #[doc(hidden)]
    #[inline]
    fn upload(&self) -> Option<Upload> {
        None
    }

    /// Returns the classification so far.
    #[doc(hidden)]
    fn classification(&self) -> Classification;

    /// Resets the state for another response to the same request.
    #[doc(hidden)]
    fn reset(&mut self);

    /// Returns whether the peer reports a timeout, and nothing else is known about the reason.
    #[doc(hidden)]
    #[inline]
    fn is_unexplained_timeout(&self) -> bool {
        false
    }

    /// Clears the peer of a timeout at its caller's own deadline.
    #[doc(hidden)]
    #[inline]
    fn excuse_timeout(&mut self) {}

    /// Handles the end of a body without trailers, or with trailers that carry no status.
    #[doc(hidden)]
    #[inline]
    fn on_body_end(&mut self) {}

    /// Records a response in the service's place.
    #[doc(hidden)]
    #[inline]
    fn set_local_response(&mut self, head: &response::Parts, bytes: u64) {
        let _ = (head, bytes);
    }

    #[doc(hidden)]
    #[inline]
    fn classify_drop(&self, given_up: Option<Classification>) -> Classification {
        given_up.unwrap_or(Classification::CANCELLED)
    }

    #[doc(hidden)]
    #[inline]
    fn on_panic(&mut self) -> Classification {
        Classification::PANICKED
    }

    /// Fills in the end of the call.
    fn write_end<'a>(&'a self, end: &mut CallEnd<'a>);
}

/// The state of a call to a plain service is its classification alone.
impl CallState for Classification {
    #[inline]
    fn classification(&self) -> Classification {
        *self
    }

    #[inline]
    fn reset(&mut self) {
        *self = Classification::SUCCESS;
    }

    #[inline]
    fn write_end<'a>(&'a self, _: &mut CallEnd<'a>) {}
}
