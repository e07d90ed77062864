//! What is known of one call that went wrong.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Debug};
use std::sync::Arc;

use super::text::{bounded_arc, bounded_box, bounded_cow, kind_from_debug, panic_message, written};
use crate::call::chain;

/// The longest kind, service, route or location, in bytes.
pub const MAX_NAME: usize = 256;

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 2048;

/// How many causes a record keeps.
pub const MAX_CAUSES: usize = 8;

/// The longest text of one cause, in bytes.
pub const MAX_CAUSE: usize = 512;

/// The longest request, correlation or trace ID, in bytes.
pub const MAX_ID: usize = 128;

const UNKNOWN_KIND: &str = "error";

/// The name of a type that tells nothing.
const WRAPPER: &str = "Error";

/// What is known of one call that went wrong: the input of an [`ErrorTracker`](super::ErrorTracker).
///
/// Every text is cut to its limit as it comes in, and then ends in `…`. Nothing else is changed: texts may
/// hold whatever came over the wire, control characters and markup included, so escape them where they are
/// shown.
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
    chain: Vec<Box<str>>,
    outcome: &'static str,
    service: Option<Arc<str>>,
    route: Option<Arc<str>>,
    request_id: Option<Box<str>>,
    correlation_id: Option<Box<str>>,
    trace_id: Option<Box<str>>,
    location: Option<Box<str>>,
}

impl ErrorRecord {
    /// A failure of this kind.
    ///
    /// The kind divides groups before anything else does: a type name or a code, of which there are few. An
    /// empty one becomes `error`.
    #[must_use]
    pub fn new(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::assemble(kind.into(), bounded_box(message.into(), MAX_MESSAGE))
    }

    /// A failure described by an error and its sources.
    ///
    /// A source that says the same as its parent is left out. Without a kind, the name at the beginning of
    /// the error's `Debug` text is taken if it looks like the name of a type, else `error`. Where the type
    /// is known, say `Some(short_type_name(std::any::type_name::<E>()).into())`.
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
        let kind = kind.unwrap_or_else(|| error_type(error));
        let mut record = Self::assemble(kind, said(error, MAX_MESSAGE));
        let mut parent = record.message.clone();
        for source in chain(error).skip(1) {
            // Read as far as the message was, so that a long text equals itself.
            let text = said(source, MAX_MESSAGE);
            if text != parent {
                record = record.with_cause(text.clone());
                parent = text;
            }
            if record.chain.len() == MAX_CAUSES {
                break;
            }
        }
        record
    }

    /// A panic, from the payload that `catch_unwind` or a join error holds: kind `panic`, outcome `panicked`.
    #[must_use]
    pub fn from_panic(payload: &(dyn Any + Send)) -> Self {
        Self::new("panic", panic_message(payload)).with_outcome("panicked")
    }

    fn assemble(kind: Cow<'static, str>, message: Box<str>) -> Self {
        let kind = if kind.is_empty() {
            UNKNOWN_KIND.into()
        } else {
            kind
        };
        Self {
            kind: bounded_cow(kind, MAX_NAME),
            message,
            chain: Vec::new(),
            outcome: "failure",
            service: None,
            route: None,
            request_id: None,
            correlation_id: None,
            trace_id: None,
            location: None,
        }
    }

    /// Adds a cause below those there are. Those beyond [`MAX_CAUSES`] are dropped.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        if self.chain.len() < MAX_CAUSES {
            self.chain.push(bounded_box(cause.into(), MAX_CAUSE));
        }
        self
    }

    /// How the call ended. Default: `failure`.
    #[must_use]
    pub fn with_outcome(mut self, outcome: &'static str) -> Self {
        self.outcome = outcome;
        self
    }

    /// The service that answered, or was called.
    #[must_use]
    pub fn with_service(mut self, service: impl Into<Arc<str>>) -> Self {
        self.service = Some(bounded_arc(service.into(), MAX_NAME));
        self
    }

    /// The route *template*, such as `/orders/{id}`. Divides groups, so never the raw path.
    #[must_use]
    pub fn with_route(mut self, route: impl Into<Arc<str>>) -> Self {
        self.route = Some(bounded_arc(route.into(), MAX_NAME));
        self
    }

    /// The ID of this one request.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(bounded_box(id.into(), MAX_ID));
        self
    }

    /// The ID that all calls made for one user action share.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(bounded_box(id.into(), MAX_ID));
        self
    }

    /// The W3C trace ID.
    #[must_use]
    pub fn with_trace_id(mut self, id: impl Into<String>) -> Self {
        self.trace_id = Some(bounded_box(id.into(), MAX_ID));
        self
    }

    /// Where it happened, such as the `file:line:column` of a panic.
    #[must_use]
    pub fn with_location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(bounded_box(location.into(), MAX_NAME));
        self
    }

    /// The kind of error.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The message as it was, its variable parts included.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The messages of the causes, the nearest first.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = &str> {
        self.chain.iter().map(|cause| &**cause)
    }

    /// How the call ended.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        self.outcome
    }

    /// The service that answered, or was called.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The route template.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// The ID of this one request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The ID that all calls made for one user action share.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// The W3C trace ID.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// Where it happened.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }
}

/// Lets the bounded writer take the `Debug` text, too.
struct ByDebug<'a>(&'a dyn Error);

impl fmt::Display for ByDebug<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(self.0, f)
    }
}

/// The kind of an error: low in cardinality, the same in metrics, logs and error groups.
///
/// An `io::Error` goes by its `ErrorKind`; every other error by its type, as far as `Debug` shows it. One that is
/// called just `Error`, such as axum's round whatever a body failed with, goes by the first source with a name.
pub(crate) fn error_type(error: &(dyn Error + 'static)) -> Cow<'static, str> {
    chain(error)
        .map(own_type)
        .find(|kind| kind != WRAPPER)
        .unwrap_or(WRAPPER.into())
}

fn own_type(error: &(dyn Error + 'static)) -> Cow<'static, str> {
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return format!("io::{:?}", error.kind()).into();
    }
    // Foreign code, which may panic.
    let debug = crate::call::quietly(|| written(ByDebug(error), MAX_NAME));
    debug
        .as_deref()
        .and_then(kind_from_debug)
        .map_or(UNKNOWN_KIND.into(), |name| name.to_owned().into())
}

/// What an error says; foreign code, which may panic.
fn said(error: &(dyn Error + 'static), max: usize) -> Box<str> {
    crate::call::quietly(|| written(error, max)).unwrap_or_else(|| "an error that panics".into())
}
