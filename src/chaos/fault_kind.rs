use std::fmt;

/// A kind of fault that [`chaos`](super) injects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// A response that comes later.
    Latency,
    /// A failure without a response, as with a connection that is lost.
    Error,
    /// A response in the service's place, with the configured status.
    Response,
    /// A call to which nothing comes.
    Hang,
    /// A panic of the call.
    Panic,
    /// A body of a response that breaks off.
    BodyCut,
    /// A body of a response that comes slowly.
    BodySlow,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [FaultKind; 7] = [
        FaultKind::Latency,
        FaultKind::Error,
        FaultKind::Response,
        FaultKind::Hang,
        FaultKind::Panic,
        FaultKind::BodyCut,
        FaultKind::BodySlow,
    ];

    /// Returns the kind in lower case, words joined by `_`.
    pub const fn as_str(self) -> &'static str {
        match self {
            FaultKind::Latency => "latency",
            FaultKind::Error => "error",
            FaultKind::Response => "response",
            FaultKind::Hang => "hang",
            FaultKind::Panic => "panic",
            FaultKind::BodyCut => "body_cut",
            FaultKind::BodySlow => "body_slow",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
