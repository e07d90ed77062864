use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;

use crate::{
    protocol::{WireFormat, rejection_response_in},
    util::text::truncated,
};

/// The maximum length of a key, in bytes: callers may choose it.
const MAX_KEY_LEN: usize = 128;

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

    /// Returns the text in memory that clones share.
    fn into_shared(self) -> Arc<str> {
        match self.0 {
            LabelRepr::Static(text) => text.into(),
            LabelRepr::Shared(text) => text,
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
///
/// Its text is for logs: it has the guard, the key, the kind, the reason, the last error and the retry-after, as far as they
/// are known. Callers over the wire see none of it but the kind and the retry-after, unless they are
/// [let to](Self::with_details_for_caller); send [`to_response`](Self::to_response), or in a tonic handler the status that it converts to, instead of the text.
#[derive(Clone, Debug)]
pub struct Rejection {
    kind: RejectionKind,
    has_details_for_caller: bool,
    guard: Label,
    // Smaller than a label: a rejection travels in results.
    key: Option<Arc<str>>,
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
    /// assert_eq!(rejection.to_string(), r#"rejected by "queue": full; retry after 2 s"#);
    /// ```
    pub fn new(kind: RejectionKind, guard: impl Into<Label>) -> Self {
        Rejection {
            kind,
            has_details_for_caller: false,
            guard: guard.into(),
            key: None,
            reason: None,
            retry_after: None,
            last_error: None,
        }
    }

    /// Creates the rejection of an open circuit in one step, since that happens often.
    #[inline]
    pub(crate) fn circuit_open(
        guard: Label,
        key: Option<Label>,
        reason: Option<&'static str>,
        retry_after: Option<Duration>,
        last_error: Option<Label>,
    ) -> Self {
        Rejection {
            kind: RejectionKind::CircuitOpen,
            has_details_for_caller: false,
            guard,
            key: key.map(Label::into_shared),
            reason: reason.map(Label::from),
            retry_after,
            last_error,
        }
    }

    /// Creates a rejection of a call while load is shed: 503, `UNAVAILABLE`.
    ///
    /// ```
    /// use tower_keep::Rejection;
    ///
    /// let rejection = Rejection::overloaded("shed");
    /// assert_eq!(rejection.to_string(), r#"rejected by "shed": overloaded"#);
    /// ```
    pub fn overloaded(guard: impl Into<Label>) -> Self {
        Rejection::new(RejectionKind::Overloaded, guard)
    }

    /// Creates a rejection of a call beyond a rate limit: 429, `RESOURCE_EXHAUSTED`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::Rejection;
    ///
    /// let rejection = Rejection::rate_limited("quota").with_retry_after(Duration::from_secs(3));
    /// assert_eq!(rejection.retry_after(), Some(Duration::from_secs(3)));
    /// ```
    pub fn rate_limited(guard: impl Into<Label>) -> Self {
        Rejection::new(RejectionKind::RateLimited, guard)
    }

    /// Creates a rejection of a call beyond a limit of concurrent calls, by a bulkhead or a full queue: 503,
    /// `RESOURCE_EXHAUSTED`.
    ///
    /// ```
    /// use tower_keep::{Rejection, protocol::WireFormat};
    ///
    /// let rejection = Rejection::full("reports");
    /// assert_eq!(rejection.to_string(), r#"rejected by "reports": full"#);
    /// assert_eq!(rejection.to_response(WireFormat::Plain).status(), 503);
    /// ```
    pub fn full(guard: impl Into<Label>) -> Self {
        Rejection::new(RejectionKind::Full, guard)
    }

    /// Sets the key by which the guard rejects: a host, a tenant. Truncated to 128 bytes. Callers over the wire see it only
    /// if [details](Self::with_details_for_caller) are shown to them.
    ///
    /// ```
    /// use tower_keep::Rejection;
    ///
    /// let rejection = Rejection::rate_limited("quota").with_key("tenant 7");
    /// assert_eq!(rejection.key(), Some("tenant 7"));
    /// assert_eq!(rejection.to_string(), r#"rejected by "quota" for tenant 7: rate_limited"#);
    /// ```
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Label>) -> Self {
        let key = key.into();
        let is_short = key.as_str().len() <= MAX_KEY_LEN;
        self.key = Some(match is_short {
            true => key.into_shared(),
            false => truncated(key.as_str(), MAX_KEY_LEN).into(),
        });
        self
    }

    /// Sets the reason, for logs. Callers over the wire see it only if [details](Self::with_details_for_caller) are shown to
    /// them.
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

    /// Lets callers over the wire see the guard, the key and the reason, for callers that are your own. Never the last error,
    /// which may hold anything. Default: they see the kind and the retry-after, unless
    /// [`Observe::rejection_details`](crate::Observe::rejection_details) shows the details of the whole service.
    ///
    /// A problem body gets the members `kind`, `guard`, `key`, `reason` and `retry_after_ms`. A gRPC status gets a
    /// `google.rpc.ErrorInfo` (the reason is the kind in upper case, the domain is `tower-keep`, guard, key and reason are
    /// metadata) and a `google.rpc.RetryInfo`. Each text is truncated to 128 bytes.
    ///
    /// ```
    /// use tower_keep::{Rejection, protocol::WireFormat};
    ///
    /// let rejection = Rejection::rate_limited("quota").with_key("tenant 7");
    /// let response = rejection.with_details_for_caller().to_response(WireFormat::Plain);
    /// let body = std::str::from_utf8(response.body())?;
    /// assert!(body.contains(r#""kind":"rate_limited","guard":"quota","key":"tenant 7""#));
    /// # Ok::<_, std::str::Utf8Error>(())
    /// ```
    #[must_use]
    pub fn with_details_for_caller(mut self) -> Self {
        self.has_details_for_caller = true;
        self
    }

    /// Returns whether callers over the wire see the [details](Self::with_details_for_caller). A rejection in the extensions
    /// of a response says what has been sent.
    pub fn has_details_for_caller(&self) -> bool {
        self.has_details_for_caller
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

    /// Returns the key by which the guard rejects, such as that of a [`KeyedBreaker`](crate::breaker::KeyedBreaker); `None` if
    /// it has no keys.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
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
        write!(f, "rejected by {:?}", self.guard)?;
        if let Some(key) = &self.key {
            write!(f, " for {key}")?;
        }
        write!(f, ": {}", self.kind.as_str())?;
        match (&self.reason, &self.last_error) {
            (Some(reason), Some(error)) => write!(f, " ({reason}; last error: {error})")?,
            (Some(reason), None) => write!(f, " ({reason})")?,
            (None, Some(error)) => write!(f, " (last error: {error})")?,
            (None, None) => {}
        }
        if let Some(wait) = self.retry_after {
            // Rounded up: a call a moment early would be rejected again.
            let tenths = wait.as_millis().div_ceil(100);
            match (tenths / 10, tenths % 10) {
                (seconds, 0) => write!(f, "; retry after {seconds} s")?,
                (seconds, tenths) => write!(f, "; retry after {seconds}.{tenths} s")?,
            }
        }
        Ok(())
    }
}

impl Error for Rejection {}

#[cfg(test)]
#[path = "rejection_tests.rs"]
mod tests;
