use http::StatusCode;
use tracing::Span;

use super::{
    access_log::LogFields, byte_counter::ByteCounter, in_flight::WatchedCall,
    long_lived::LongLived, request_labels::RequestLabels, settings_word::SettingsWord,
    target::Target,
};
use crate::{
    call::{GRPC_STATUS, Outcome},
    guard::Head,
    protocol::WireFormat,
    util::{family::InFlightGauge, headers::find_header},
};

/// The state of a call that [`Track`](super::Track) stores.
#[derive(Debug)]
pub struct TrackPermit {
    pub(super) request: RequestLabels,
    /// The settings with which the call began.
    pub(super) settings: SettingsWord,
    pub(super) target: Target,
    /// The gRPC method, if the request claims to be gRPC. The response decides whether it is.
    pub(super) grpc_method: Option<Target>,
    pub(super) in_flight: InFlightGauge,
    /// The place of the call in the table of the process.
    pub(super) watched: WatchedCall,
    /// `None` without a subscriber that is interested. Boxed, since permits are moved along with their calls.
    pub(super) span: Option<Box<Span>>,
    pub(super) log_fields: Option<Box<LogFields>>,
    pub(super) request_bytes: Option<ByteCounter>,
    pub(super) server_timing: bool,
    pub(super) response_time: bool,
    pub(super) is_connect: bool,
    pub(super) long_lived: LongLived,
    /// The head of the response shows that the server implements the gRPC method.
    pub(super) method_exists: bool,
}

impl TrackPermit {
    /// Returns the permit of a call that this tracker does not report.
    #[cold]
    pub(super) fn untracked(request: RequestLabels) -> Self {
        TrackPermit {
            request,
            settings: SettingsWord::default(),
            target: Target::Untracked,
            grpc_method: None,
            in_flight: InFlightGauge::default(),
            watched: WatchedCall::default(),
            span: None,
            log_fields: None,
            request_bytes: None,
            server_timing: false,
            response_time: false,
            is_connect: false,
            long_lived: LongLived::No,
            method_exists: false,
        }
    }

    pub(super) fn is_untracked(&self) -> bool {
        matches!(self.target, Target::Untracked)
    }

    /// Updates what the head of the response reveals.
    pub(super) fn read_head(&mut self, head: &Head<'_>) {
        self.request.is_grpc = head.wire.is_grpc();
        // All gRPC responses have the same content type, streams or not.
        self.long_lived = match self.request.is_grpc {
            true => LongLived::No,
            false => LongLived::from_head(self.is_connect, head),
        };
        // A response to an unknown method has its code in the head, or is not gRPC at all.
        self.method_exists = self.request.is_grpc
            && head.status == StatusCode::OK
            && WireFormat::from_headers(head.headers).is_grpc()
            && find_header(head.headers, &GRPC_STATUS).is_none();
        // A rejection has not come over a connection, so its version means nothing.
        if self.request.is_client() && head.outcome != Outcome::Rejected {
            self.request.set_version(head.version);
        }
    }

    /// Returns the target that the request is known to have from its start.
    pub(super) fn initial_target(&self) -> &Target {
        self.grpc_method.as_ref().unwrap_or(&self.target)
    }

    /// Returns the target of the completed call: the method only if the call really was gRPC.
    pub(super) fn final_target(&self) -> &Target {
        match &self.grpc_method {
            Some(method) if self.request.is_grpc => method,
            _ => &self.target,
        }
    }
}
