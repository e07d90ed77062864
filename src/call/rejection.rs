use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;

use crate::protocol::{WireFormat, rejection_response_in};

/// The name of a guard or service. A literal is not allocated, and other names are shared.
#[derive(Clone)]
pub struct Label(LabelRepr);

#[derive(Clone)]
enum LabelRepr {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Label {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            LabelRepr::Static(name) => name,
            LabelRepr::Shared(name) => name,
        }
    }
}

// Compared by text, however it is stored.
impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for Label {}
impl std::hash::Hash for Label {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<&'static str> for Label {
    fn from(name: &'static str) -> Self {
        Label(LabelRepr::Static(name))
    }
}
impl From<String> for Label {
    fn from(name: String) -> Self {
        Label(LabelRepr::Shared(name.into()))
    }
}
impl From<Arc<str>> for Label {
    fn from(name: Arc<str>) -> Self {
        Label(LabelRepr::Shared(name))
    }
}
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The kind of a rejection, which decides the status of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// A circuit breaker is open. 503, `UNAVAILABLE`.
    CircuitOpen,
    /// Too many calls in a time. 429, `RESOURCE_EXHAUSTED`.
    RateLimited,
    /// Too many calls at once. 503, `RESOURCE_EXHAUSTED`.
    Full,
    /// Load is being shed, or the service is being drained. 503, `UNAVAILABLE`.
    Overloaded,
    /// The time to do the work in is used up. 504, `DEADLINE_EXCEEDED`.
    DeadlineExceeded,
}

impl RejectionKind {
    /// All kinds, in the order of the enum.
    pub(crate) const ALL: [RejectionKind; 5] = [
        RejectionKind::CircuitOpen,
        RejectionKind::RateLimited,
        RejectionKind::Full,
        RejectionKind::Overloaded,
        RejectionKind::DeadlineExceeded,
    ];

    /// Returns the name in lower case, words joined by `_`, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            RejectionKind::CircuitOpen => "circuit_open",
            RejectionKind::RateLimited => "rate_limited",
            RejectionKind::Full => "full",
            RejectionKind::Overloaded => "overloaded",
            RejectionKind::DeadlineExceeded => "deadline_exceeded",
        }
    }

    /// Returns the message for the caller, which does not name the guard.
    pub(crate) const fn client_message(self) -> &'static str {
        match self {
            RejectionKind::CircuitOpen => "a dependency is unavailable",
            RejectionKind::RateLimited => "too many requests",
            RejectionKind::Full => "too many requests in flight",
            RejectionKind::Overloaded => "the service is overloaded",
            RejectionKind::DeadlineExceeded => "no time is left for the request",
        }
    }
}

/// The error of a call that a guard of this process rejected.
///
/// It says nothing about the peer: breakers do not count it; retries do not repeat it unless configured, and get back what the
/// attempt cost. [`Rejection::find`] finds it anywhere in a source chain; a rejection that left as a response is in the
/// extensions of that response.
#[derive(Clone, Debug)]
pub struct Rejection {
    kind: RejectionKind,
    guard: Label,
    reason: Option<Label>,
    retry_after: Option<Duration>,
    last_error: Option<Label>,
}

impl Rejection {
    /// Creates a rejection of the given kind by the guard of that name.
    ///
    /// The guard of a full queue names itself and says when to come again:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{Rejection, RejectionKind};
    ///
    /// let rejection = Rejection::new(RejectionKind::Full, "queue").with_retry_after(Duration::from_secs(2));
    /// assert_eq!(rejection.to_string(), r#"rejected by "queue": full"#);
    /// ```
    pub fn new(kind: RejectionKind, guard: impl Into<Label>) -> Self {
        Rejection {
            kind,
            guard: guard.into(),
            reason: None,
            retry_after: None,
            last_error: None,
        }
    }

    /// Creates the rejection of an open circuit in one step, since that happens often.
    #[inline]
    pub(crate) fn circuit_open(
        guard: Label,
        reason: Option<&'static str>,
        retry_after: Option<Duration>,
        last_error: Option<Label>,
    ) -> Self {
        Rejection {
            kind: RejectionKind::CircuitOpen,
            guard,
            reason: reason.map(Label::from),
            retry_after,
            last_error,
        }
    }

    /// Creates a rejection of a call while load is shed: 503, `UNAVAILABLE`.
    pub fn overloaded(guard: impl Into<Label>) -> Self {
        Rejection::new(RejectionKind::Overloaded, guard)
    }

    /// Creates a rejection of a call beyond a rate limit: 429, `RESOURCE_EXHAUSTED`.
    pub fn rate_limited(guard: impl Into<Label>) -> Self {
        Rejection::new(RejectionKind::RateLimited, guard)
    }

    /// Sets the reason, for logs. Callers over the wire do not see it.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Label>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets how long the caller should wait before retrying. Sent as `Retry-After`, rounded up to whole seconds.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets the error for which the guard rejects. Callers over the wire do not see it.
    #[must_use]
    pub fn with_last_error(mut self, error: impl Into<Label>) -> Self {
        self.last_error = Some(error.into());
        self
    }

    /// Returns the error for which the guard rejects, if known.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_ref().map(Label::as_str)
    }

    /// Returns the kind.
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// Returns the name of the guard.
    pub fn guard(&self) -> &str {
        self.guard.as_str()
    }

    /// Returns the reason, if known.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_ref().map(Label::as_str)
    }

    /// Returns how long the caller should wait before retrying, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Finds a rejection in the source chain of an error, which is followed for 16 errors.
    ///
    /// ```
    /// use tower_keep::Rejection;
    ///
    /// let error: Box<dyn std::error::Error + Send + Sync> = Box::new(Rejection::overloaded("shed"));
    /// assert_eq!(Rejection::find(&*error).unwrap().guard(), "shed");
    /// ```
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Rejection> {
        super::find(error)
    }

    /// Returns the response of a guarded server, for a proxy or handler that finds a rejection in an error.
    ///
    /// A problem body, or a trailers-only gRPC response: see [`WireFormat::from_request`]. The rejection stays in the extensions,
    /// for guards further out.
    ///
    /// ```
    /// use tower_keep::{Rejection, protocol::WireFormat};
    ///
    /// let response = Rejection::rate_limited("login").to_response(WireFormat::Plain);
    /// assert_eq!(response.status(), 429);
    /// ```
    pub fn to_response(&self, wire: WireFormat) -> Response<Bytes> {
        rejection_response_in(wire, self.clone())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rejected by {:?}: {}", self.guard, self.kind.as_str())?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl Error for Rejection {}
