use crate::protocol::Side;

/// The kind of a call in flight: served, sent, or an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A call that this process serves.
    Server,
    /// A call that this process makes.
    Client,
    /// A run of an [`operation`](crate::operation()).
    Operation,
}

impl CallKind {
    /// Returns the kind in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            CallKind::Server => "server",
            CallKind::Client => "client",
            CallKind::Operation => "operation",
        }
    }

    pub(super) const fn from_side(side: Side) -> Self {
        match side {
            Side::Server => CallKind::Server,
            Side::Client => CallKind::Client,
        }
    }
}
