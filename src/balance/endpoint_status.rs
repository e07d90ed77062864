use std::fmt;

/// The place of an endpoint in its balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointStatus {
    /// Gets calls.
    InRotation,
    /// Gets none, since too many of its calls have failed.
    Ejected,
    /// Ejected, and gets a few calls to find out whether it has recovered.
    Probing,
}

impl EndpointStatus {
    /// Returns the name in lower case, words joined by `_`, for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndpointStatus::InRotation => "in_rotation",
            EndpointStatus::Ejected => "ejected",
            EndpointStatus::Probing => "probing",
        }
    }
}

impl fmt::Display for EndpointStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
