use std::time::Duration;

use tokio::time::Instant;

use super::failure_detail::FailureDetail;
use crate::protocol::{grpc_framing::FrameScanner, upload::Upload};

/// State that most exchanges do not have. Boxed, since calls are moved.
#[derive(Debug, Default)]
pub(super) struct ExchangeExtra {
    /// The time that the caller waits, if its request tells.
    pub(super) time_limit: Option<Duration>,
    /// The request's body and the start of the call, if the body can be watched.
    pub(super) upload: Option<(Upload, Instant)>,
    /// Finds the status in the body of a gRPC-Web response.
    pub(super) frames: Option<FrameScanner>,
    pub(super) failure_detail: Option<FailureDetail>,
}

impl ExchangeExtra {
    #[cold]
    pub(super) fn with_time_limit(limit: Duration) -> Box<Self> {
        Box::new(ExchangeExtra {
            time_limit: Some(limit),
            ..ExchangeExtra::default()
        })
    }

    /// Returns whether the request broke off, or was malformed.
    pub(super) fn is_request_broken(&self) -> bool {
        let upload = self.upload.as_ref();
        // Two locks, one after the other, both short: only failures come here.
        upload.is_some_and(|(upload, _)| upload.is_broken() || upload.is_malformed())
    }

    /// Returns whether a timeout is the caller's fault: its body broke off, or was waited for.
    pub(super) fn blames_caller_for_timeout(&self) -> bool {
        self.upload
            .as_ref()
            .is_some_and(|(upload, began)| upload.blames_caller_for_timeout(*began, Instant::now()))
    }
}
