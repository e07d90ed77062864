//! The description of a failed call.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use super::describe::{UNKNOWN_KIND, cause_text, kind_of, message_of};
use super::fingerprint::{Fingerprint, FingerprintInput};
use super::normalize::normalize_message;
use crate::call::{panic_message, sources};
use crate::util::text::{truncated_arc, truncated_box, truncated_cow};

/// The longest kind, service, route or location, in bytes.
pub(super) const MAX_NAME: usize = 256;

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 2048;

/// The number of causes that a record keeps.
const MAX_CAUSES: usize = 8;

/// The longest text of one cause, in bytes.
const MAX_CAUSE: usize = 512;

/// The longest request, correlation or trace ID, in bytes.
const MAX_ID: usize = 128;

/// The description of a failed call: the input of an [`ErrorTracker`](super::ErrorTracker).
///
/// Every text is truncated to a limit, and then ends in `…`: names at 256 bytes, the message at 2,048, causes at 512, IDs
/// at 128. Nothing else is changed: texts may contain whatever a peer sent, control characters and markup included, so
/// escape them where they are displayed.
///
/// ```
/// use tower_keep::errors::ErrorRecord;
///
/// let record = ErrorRecord::new("Timeout", "no answer from stock after 2s")
///     .with_outcome("timed_out")
///     .with_route("/orders/{id}")
///     .with_correlation_id("8f14e45f");
/// assert_eq!(record.kind(), "Timeout");
/// assert_eq!(record.route(), Some("/orders/{id}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorRecord {
    kind: Cow<'static, str>,
    message: Box<str>,
    causes: Vec<Box<str>>,
    outcome: &'static str,
    service: Option<Arc<str>>,
    route: Option<Arc<str>>,
    request_id: Option<Box<str>>,
    correlation_id: Option<Box<str>>,
    trace_id: Option<Box<str>>,
    location: Option<Box<str>>,
}

impl ErrorRecord {
    /// Creates a record of a failure.
    ///
    /// The kind is a type name or a code of low cardinality: errors of different kinds are never in the same group. An empty
    /// kind becomes `error`.
    ///
    /// An error of the application's own, with the kind that it is grouped by:
    ///
    /// ```
    /// use tower_keep::errors::ErrorRecord;
    ///
    /// let record = ErrorRecord::new("OutOfStock", "no item 7 is left");
    /// assert_eq!((record.kind(), record.message()), ("OutOfStock", "no item 7 is left"));
    /// ```
    #[must_use]
    pub fn new(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::from_parts(kind.into(), truncated_box(message.into(), MAX_MESSAGE))
    }

    /// Creates a record from an error and its sources.
    ///
    /// A source with the same message as its parent is left out. Without a kind, that of a `tonic::Status` is its code, of
    /// an `io::Error` its `ErrorKind`, of an elapsed timeout `timeout`, and of every other error the type name at the
    /// beginning of its `Debug` text, or `error` if there is none. If you know the type, pass its name.
    ///
    /// The kind is the name of the type:
    ///
    /// ```
    /// use tower_keep::errors::ErrorRecord;
    ///
    /// let error = "7x".parse::<u32>().unwrap_err();
    /// let record = ErrorRecord::from_error(None, &error);
    /// assert_eq!((record.kind(), record.message()), ("ParseIntError", "invalid digit found in string"));
    /// ```
    #[must_use]
    pub fn from_error(kind: Option<Cow<'static, str>>, error: &(dyn Error + 'static)) -> Self {
        let kind = kind.unwrap_or_else(|| kind_of(error));
        let mut record = Self::from_parts(kind, message_of(error, MAX_MESSAGE));
        let mut parent = cause_text(error, MAX_MESSAGE);
        for source in sources(error).skip(1) {
            // With the limit of the message, so that the same long text compares equal.
            let text = cause_text(source, MAX_MESSAGE);
            if text != parent {
                record = record.with_cause(text.clone());
                parent = text;
            }
            // The chain of sources may be endless.
            if record.causes.len() == MAX_CAUSES {
                break;
            }
        }
        record
    }

    /// Creates a record from the panic payload of `catch_unwind` or of a `JoinError`: kind `panic`, outcome `panicked`.
    ///
    /// A panic that a worker has caught:
    ///
    /// ```
    /// use tower_keep::errors::ErrorRecord;
    ///
    /// let payload = std::panic::catch_unwind(|| panic!("out of {}", "luck")).unwrap_err();
    /// let record = ErrorRecord::from_panic(&*payload);
    /// assert_eq!((record.kind(), record.message()), ("panic", "out of luck"));
    /// ```
    #[must_use]
    pub fn from_panic(payload: &(dyn Any + Send)) -> Self {
        Self::new("panic", panic_message(payload)).with_outcome("panicked")
    }

    fn from_parts(kind: Cow<'static, str>, message: Box<str>) -> Self {
        // The kind is a label of metrics, in which an empty text is no label.
        let kind = if kind.is_empty() {
            UNKNOWN_KIND.into()
        } else {
            kind
        };
        Self {
            kind: truncated_cow(kind, MAX_NAME),
            message,
            causes: Vec::new(),
            outcome: "failure",
            service: None,
            route: None,
            request_id: None,
            correlation_id: None,
            trace_id: None,
            location: None,
        }
    }

    /// Adds a cause of the last one. Causes beyond the eighth are dropped.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        if self.causes.len() < MAX_CAUSES {
            self.causes.push(truncated_box(cause.into(), MAX_CAUSE));
        }
        self
    }

    /// Sets the outcome of the call. Default: `failure`.
    #[must_use]
    pub fn with_outcome(mut self, outcome: &'static str) -> Self {
        self.outcome = outcome;
        self
    }

    /// Sets the name of the service that responded or was called.
    #[must_use]
    pub fn with_service(mut self, service: impl Into<Arc<str>>) -> Self {
        self.service = Some(truncated_arc(service.into(), MAX_NAME));
        self
    }

    /// Sets the route *template*, such as `/orders/{id}`. Each route has groups of its own, so never pass the raw path.
    #[must_use]
    pub fn with_route(mut self, route: impl Into<Arc<str>>) -> Self {
        self.route = Some(truncated_arc(route.into(), MAX_NAME));
        self
    }

    /// Sets the ID of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(truncated_box(id.into(), MAX_ID));
        self
    }

    /// Sets the ID shared by all calls of a user action.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(truncated_box(id.into(), MAX_ID));
        self
    }

    /// Sets the W3C trace ID.
    #[must_use]
    pub fn with_trace_id(mut self, id: impl Into<String>) -> Self {
        self.trace_id = Some(truncated_box(id.into(), MAX_ID));
        self
    }

    /// Sets the place in the code, such as the `file:line:column` of a panic. Each location has groups of its own.
    #[must_use]
    pub fn with_location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(truncated_box(location.into(), MAX_NAME));
        self
    }

    /// Returns the fingerprint of its group.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint_with(
            &normalize_message(&self.message),
            self.normalized_root_cause().as_deref(),
        )
    }

    /// Returns the normalized text of the last cause.
    pub(super) fn normalized_root_cause(&self) -> Option<String> {
        self.causes.last().map(|cause| normalize_message(cause))
    }

    /// Returns the fingerprint for texts that are already normalized.
    pub(super) fn fingerprint_with(&self, message: &str, cause: Option<&str>) -> Fingerprint {
        Fingerprint::compute(FingerprintInput {
            kind: &self.kind,
            route: self.route(),
            message,
            cause,
            location: self.location().map(portable_location),
        })
    }

    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the message, not normalized.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the messages of the causes, the direct cause first.
    pub fn causes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.causes.iter().map(|cause| &**cause)
    }

    /// Returns the outcome of the call.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        self.outcome
    }

    /// Returns the name of the service that responded or was called.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// Returns the route template.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// Returns the ID of the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the ID shared by all calls of a user action.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// Returns the W3C trace ID.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// Returns the place in the code.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }
}

/// Removes the part of a location that differs between machines: the directory of cargo's sources, and the commit of the
/// Rust release.
pub(super) fn portable_location(location: &str) -> &str {
    let behind = |parent: &str| {
        let (_, rest) = location.split_once(parent)?;
        // The first directory behind it is what differs: an index, a hash or a commit.
        Some(rest.split_once(['/', '\\'])?.1)
    };
    let parents = [
        "/registry/src/",
        "\\registry\\src\\",
        "/git/checkouts/",
        "\\git\\checkouts\\",
        "/rustc/",
    ];
    parents.into_iter().find_map(behind).unwrap_or(location)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
