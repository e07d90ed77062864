//! Redaction of headers in the access log.

use http::HeaderName;

/// A request header that the access log carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedHeader {
    pub(super) name: HeaderName,
    /// The values are redacted.
    pub(super) redact: bool,
}
