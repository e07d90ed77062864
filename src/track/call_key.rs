//! The key of the duration series, which bounds what peers can put into labels.

use std::hash::{Hash, Hasher};

use super::{
    config::TrackConfig,
    labels::{CallLabels, ErrorLabel},
    long_lived::LongLived,
    request_labels::RequestLabels,
};
use crate::{call::GrpcCode, util::family::SeriesKey};

/// The metric that a duration belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricKind {
    Http,
    /// Server-sent events.
    Stream,
    Grpc,
    /// Upgrades and tunnels, of which there is no duration.
    Tunnel,
}

impl MetricKind {
    fn new(labels: &CallLabels<'_>) -> Self {
        match (labels.request.is_grpc, labels.long_lived) {
            // A gRPC stream may be long-lived too, but its head does not tell.
            (true, _) => MetricKind::Grpc,
            (false, LongLived::Events) => MetricKind::Stream,
            (false, LongLived::Tunnel) => MetricKind::Tunnel,
            (false, LongLived::No) => MetricKind::Http,
        }
    }
}

/// The labels of a duration series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesLabels {
    pub(super) request: RequestLabels,
    pub(super) target: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) grpc_code: Option<GrpcCode>,
    pub(super) error: ErrorLabel,
}

impl SeriesLabels {
    /// Leaves out what is not a label, and what peers choose freely: on a server the scheme, the version, and the method
    /// of requests that have no route.
    fn new(config: &TrackConfig, call: &CallLabels<'_>) -> Self {
        let request = call.request;
        let is_http_server = !request.is_client() && !request.is_grpc;
        let is_unrouted = is_http_server && is_unrouted(call);
        // What the callers of a server choose makes no series.
        let has_own = request.is_client() && !request.is_grpc && !config.is_classic();
        SeriesLabels {
            request: RequestLabels {
                // 0 is `_OTHER`. Whoever scans for paths chooses the methods as well.
                method: if is_unrouted { 0 } else { request.method },
                version: if has_own { request.version } else { 0 },
                https: if has_own {
                    request.https
                } else {
                    config.options.https
                },
                ..request
            },
            target: call.target.filter(|_| !is_unrouted),
            // A gRPC response is nearly always a 200: the code says what became of the call.
            status: call.status.filter(|_| call.grpc_code.is_none()),
            grpc_code: call.grpc_code,
            error: match config.is_classic() {
                // Classic names have a counter of errors instead.
                true => ErrorLabel::None,
                false => call.error,
            },
        }
    }

    /// Returns the name of the gRPC code, or else the status.
    pub(super) fn status_text(&self) -> Option<String> {
        match self.grpc_code {
            Some(code) => Some(code.as_str().to_owned()),
            None => self.status.map(|status| status.to_string()),
        }
    }

    /// Packs the labels into one word: from the low end 3 bits for the kind and the failure flag of [`CallKey`], the
    /// scheme (1), version (4), method (4), gRPC code (6), error (18), status (10), target (17), and a bit that is always
    /// set. The side is not part of it: each side has a family of its own.
    #[inline]
    fn pack(&self) -> u64 {
        let error = match self.error {
            ErrorLabel::None => 0,
            ErrorLabel::Status => 1,
            ErrorLabel::Named(id) => u64::from(id) + 2,
        };
        let request = self.request;
        // The codes are 0 to 16, so 31 is none.
        let code = self.grpc_code.map_or(31, |code| u64::from(code.as_u8()));
        let target = self.target.map_or(0, |id| u64::from(id) + 1);
        // Always set, or a call without any label would have the key of an overflow series.
        1 << 63
            | target << 46
            | u64::from(self.status.unwrap_or_default()) << 36
            | error << 18
            | code << 12
            | u64::from(request.method) << 8
            | u64::from(request.version) << 4
            | u64::from(request.https) << 3
    }
}

/// Returns whether the server has no such route, or the route has no such method.
fn is_unrouted(call: &CallLabels<'_>) -> bool {
    match call.status {
        Some(404) => call.target.is_none(),
        Some(405) => true,
        _ => false,
    }
}

/// The key of the durations of calls, and of everything else that is measured with them.
#[derive(Clone, Copy, Debug, Eq)]
pub(super) struct CallKey {
    pub(super) kind: MetricKind,
    /// Failures such as 5xx have reserved series, so that they stay visible.
    pub(super) is_failure: bool,
    /// `None` for the overflow series.
    pub(super) labels: Option<SeriesLabels>,
    /// All of the above in one word: comparing and hashing the fields would take longer than the rest of the lookup.
    packed: u64,
}

impl CallKey {
    pub(super) fn new(config: &TrackConfig, call: &CallLabels<'_>, is_failure: bool) -> Self {
        let labels = SeriesLabels::new(config, call);
        CallKey::from_parts(MetricKind::new(call), is_failure, Some(labels))
    }

    #[inline]
    pub(super) fn from_parts(
        kind: MetricKind,
        is_failure: bool,
        labels: Option<SeriesLabels>,
    ) -> Self {
        let packed = labels.as_ref().map_or(0, SeriesLabels::pack);
        CallKey {
            kind,
            is_failure,
            labels,
            packed: packed | u64::from(is_failure) << 2 | kind as u64,
        }
    }
}

impl PartialEq for CallKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.packed == other.packed
    }
}

impl Hash for CallKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.packed);
    }
}

impl SeriesKey for CallKey {
    // Four kinds, each for failures and for the rest.
    const OVERFLOW_KEYS: usize = 8;

    fn overflow_key(&self) -> Self {
        CallKey::from_parts(self.kind, self.is_failure, None)
    }

    fn has_reserve(&self) -> bool {
        self.is_failure
    }
}
