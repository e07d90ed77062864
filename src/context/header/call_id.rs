//! Request and correlation IDs, which tie together what is logged about a call, in one process or in many.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;

use super::{InvalidCallId, TraceId};

/// A request or correlation ID that is safe to log, to send and to echo: 1 to 128 characters of
/// `A-Z a-z 0-9 . _ ~ + / = : @ -`.
///
/// The bounds follow OWASP's Logging Cheat Sheet: input from another trust zone is checked, and no white space, quote,
/// comma, control character or excessive length gets into a log line. (`=` and `:` are allowed, since Base64 and AWS
/// trace IDs need them.) Do not use it as a metric label.
///
/// It is a header value underneath, so a clone is a reference count and sending it formats nothing. An accepted ID keeps
/// the buffer alive that the server read it into.
///
/// ```
/// use http::HeaderValue;
/// use tower_keep::context::{CallId, IdFormat};
///
/// let incoming = HeaderValue::from_static("checkout-7f3a");
/// let id = CallId::parse(&incoming).unwrap_or_else(|| IdFormat::default().generate());
/// assert_eq!(id.as_str(), "checkout-7f3a");
///
/// let forged = HeaderValue::from_static("x level=info msg=\"all is well\"");
/// assert!(CallId::parse(&forged).is_none());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallId(HeaderValue);

impl CallId {
    /// Most characters: twice a SHA-256 in hex, which still fits a log line.
    pub const MAX_LEN: usize = 128;

    /// Accepts the value as an ID; `None` if its length or a character is not allowed. Copies nothing.
    ///
    /// Replace a rejected value and keep it out of the logs. Do not truncate it: a truncated ID would match nothing
    /// elsewhere.
    ///
    /// A value that could forge a log line is no ID:
    ///
    /// ```
    /// use http::HeaderValue;
    /// use tower_keep::context::CallId;
    ///
    /// assert!(CallId::parse(&HeaderValue::from_static("order-4711")).is_some());
    /// assert!(CallId::parse(&HeaderValue::from_static("a b")).is_none());
    /// ```
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        is_valid_id(value.as_bytes()).then(|| Self(value.clone()))
    }

    /// Returns the ID as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("an ID is ASCII")
    }

    /// Returns the ID as a header value, to be cloned into a header map.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }

    /// Wraps text that is known to be valid. One allocation, and none for its clones.
    pub(super) fn from_valid(text: impl AsRef<[u8]> + Send + 'static) -> Self {
        debug_assert!(is_valid_id(text.as_ref()));
        // Takes over the text as it is; clones of the value share it.
        let shared = Bytes::from_owner(text);
        Self(HeaderValue::from_maybe_shared(shared).expect("an ID fits a header"))
    }
}

impl TryFrom<&str> for CallId {
    type Error = InvalidCallId;

    fn try_from(text: &str) -> Result<Self, InvalidCallId> {
        if is_valid_id(text.as_bytes()) {
            Ok(Self::from_valid(text.to_owned()))
        } else {
            Err(InvalidCallId)
        }
    }
}

/// Uses the 32 hex digits of a trace ID, so that one ID serves for both.
impl From<TraceId> for CallId {
    fn from(trace: TraceId) -> Self {
        Self::from_valid(trace.to_hex())
    }
}

impl AsRef<str> for CallId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallId").field(&self.as_str()).finish()
    }
}

fn is_valid_id(text: &[u8]) -> bool {
    (1..=CallId::MAX_LEN).contains(&text.len())
        && text.iter().all(|byte| ALLOWED_BYTES[usize::from(*byte)])
}

/// Tells which bytes an ID may have. A table, since this runs on every request.
const ALLOWED_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=:@-";
    let mut at = 0;
    // Constants cannot have a `for`.
    while at < alphabet.len() {
        table[alphabet[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        let id = CallId::parse(&HeaderValue::from_str(text).unwrap());
        id.is_some_and(|id| id.as_str() == text && AsRef::<str>::as_ref(&id) == text)
    }

    #[test]
    fn call_id_accepts_common_formats() {
        for text in [
            "7",
            "Root=1-67891233-abcdef012345678912345678",
            "a+b/c==",
            "01J9:x@y~z._-",
            &"x".repeat(128),
        ] {
            assert!(accepts(text), "{text}");
        }
    }

    #[test]
    fn call_id_rejects_what_could_forge_or_flood_a_log_line() {
        for text in [
            "",
            " x",
            "a b",
            "a\tb",
            "a,b",
            "a\"b",
            "a%0ab",
            "a\\b",
            "<a>",
            &"x".repeat(129),
        ] {
            assert!(!accepts(text), "{text}");
        }
        assert!(CallId::parse(&HeaderValue::from_bytes(b"a\xe9").unwrap()).is_none());
    }

    #[test]
    fn call_id_error_says_what_is_allowed() {
        let expected = "an ID is 1 to 128 characters of A-Z a-z 0-9 . _ ~ + / = : @ -";
        assert_eq!(CallId::try_from("a b").unwrap_err().to_string(), expected);
        assert_eq!(
            format!("{:?}", CallId::try_from("a-b").unwrap()),
            "CallId(\"a-b\")"
        );
    }
}
