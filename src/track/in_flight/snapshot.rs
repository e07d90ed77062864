use std::time::{Duration, SystemTime};

use super::CallKind;
use crate::{
    call::{Label, Outcome},
    context::Context,
};

/// A call in flight, or one that was slow, as it was when somebody asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallSnapshot {
    /// The number of the call in this process, which no other call has.
    pub id: u64,
    /// The kind: a call that is served or sent, or a run of an operation.
    pub kind: CallKind,
    /// The name of the tracker; the kind of an operation.
    pub service: Label,
    /// The HTTP method, `_OTHER` unless HTTP defines it. `None` for gRPC and operations.
    pub method: Option<&'static str>,
    /// The route of a served call, the server of a client's call, the gRPC method, or the name of the operation. `None` while it
    /// is not known.
    pub route: Option<Box<str>>,
    /// The path of a gRPC call whose method no call has verified, in at most 256 bytes. Never that of another call, which may
    /// contain personal data.
    pub path: Option<Box<str>>,
    /// The time at which the call began.
    pub started_at: SystemTime,
    /// The time since it began; of a slow call, to its end.
    pub elapsed: Duration,
    /// The context of the call, with its IDs. `None` outside of [`Correlate`](crate::context::Correlate) and any other context.
    pub context: Option<Context>,
    /// The HTTP status of a slow call that has one.
    pub status: Option<u16>,
    /// The outcome of a slow call; `None` in flight.
    pub outcome: Option<Outcome>,
}

/// The texts of a call.
#[derive(Clone, Debug)]
pub(crate) struct CallText {
    pub(crate) service: Label,
    pub(crate) method: Option<&'static str>,
    pub(crate) route: Option<Box<str>>,
    pub(crate) path: Option<Box<str>>,
}
