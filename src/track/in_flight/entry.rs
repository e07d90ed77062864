use http::uri::PathAndQuery;
use tokio::time::Instant;

use super::CallKind;
use crate::{
    call::Label,
    context::Context,
    track::{request_labels::RequestLabels, route_slot::RouteCell},
};

/// A call in the table. Made on the path of every call: it has references and small numbers, and no text of its own.
#[derive(Clone, Debug)]
pub(crate) struct InFlightEntry {
    pub(crate) started_at: Instant,
    pub(crate) context: Option<Context>,
    pub(crate) subject: CallSubject,
}

/// The owner and the target of a call.
#[derive(Clone, Debug)]
pub(crate) enum CallSubject {
    /// The call of a tracker.
    Tracked {
        /// The number of the tracker, which knows the texts: see [`CallSource`](super::CallSource).
        source: u32,
        request: RequestLabels,
        target: CallTarget,
    },
    Operation {
        name: Label,
        kind: Label,
    },
}

impl CallSubject {
    pub(super) fn kind(&self) -> CallKind {
        match self {
            CallSubject::Tracked { request, .. } => CallKind::from_side(request.side),
            CallSubject::Operation { .. } => CallKind::Operation,
        }
    }
}

/// The target of a call in the table, as far as it is known when the call begins.
#[derive(Clone, Debug)]
pub(crate) enum CallTarget {
    /// The ID of a target of the tracker.
    Known(u16),
    /// A route that an inner router sets.
    Pending(RouteCell),
    /// A gRPC method that the caller may have made up. Boxed for its size.
    Unverified(Box<PathAndQuery>),
    Unknown,
}
