//! Request and correlation IDs: labels that tie together what is written about one call, in one
//! process or in many.

#![forbid(unsafe_code)]

use std::{error::Error, fmt, time::SystemTime};

use bytes::Bytes;
use http::HeaderValue;

use super::{random::bits128, traceparent::TraceId};

/// A request or correlation ID that is safe to log, to send and to echo: 1 to 128 characters of
/// `A-Z a-z 0-9 . _ ~ + / = : @ -`.
///
/// The bounds follow OWASP's Logging Cheat Sheet: what comes from another trust zone is checked, and
/// no white space, quote, comma, control character or sheer length gets into a log line. (`=` and
/// `:` do, since Base64 and AWS trace IDs need them.) Do not make a metric label of it.
///
/// It is a header value underneath, so a clone is a reference count and sending it formats nothing. An accepted ID keeps the buffer alive that the server read it into.
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
    /// Most characters: twice a SHA-256 in hex, and no flood in a log line.
    pub const MAX_LEN: usize = 128;

    /// The value as an ID, or `None` if a character or the length is not allowed. Copies nothing.
    ///
    /// Replace what is refused and keep it out of the logs; a truncated ID would match nothing
    /// elsewhere.
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        is_valid_id(value.as_bytes()).then(|| Self(value.clone()))
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("checked when it was made")
    }

    /// The ID as the header to send; clone it into a header map.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }

    /// Wraps text of our own making. One allocation, and none for its clones.
    fn from_valid(text: impl AsRef<[u8]> + Send + 'static) -> Self {
        debug_assert!(is_valid_id(text.as_ref()));
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

/// The trace ID's 32 hex digits, for those who want one ID for both.
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
        f.debug_tuple("Id").field(&self.as_str()).finish()
    }
}

/// How new IDs are made.
///
/// Both kinds draw on a generator of the current thread, which is seeded by the operating system, fast
/// and **not cryptographic**: it holds 128 bits, and whoever sees a few IDs can compute the next. An ID is a label, not a secret: never use it as a token, a password or
/// proof that a call came from where it says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum IdFormat {
    /// 128 random bits as 32 lower-case hex digits, without reading a clock. The default.
    #[default]
    Random128,
    /// A UUID version 7 (RFC 9562 §5.7): a millisecond of Unix time, then 74 random bits, 36
    /// characters. IDs sort by time to the millisecond, at the price of reading the system clock; a
    /// clock before 1970 counts as 1970.
    UuidV7,
}

impl IdFormat {
    /// A new ID; one allocation, the header value's own.
    pub fn generate(self) -> CallId {
        match self {
            Self::Random128 => CallId::from(TraceId::generate()),
            Self::UuidV7 => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let millis = since.map_or(0, |since| since.as_millis());
                uuid_v7(u64::try_from(millis).unwrap_or(u64::MAX), bits128())
            }
        }
    }
}

/// The low 80 bits of `random` go in; version and variant take six of them.
fn uuid_v7(millis: u64, random: u128) -> CallId {
    let [.., a, b, c, d, e, f, g, h, i, j] = random.to_be_bytes();
    let bytes = [a, b, c, d, e, f, g, h, i, j];
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    let mut text = [0; 36];
    uuid.hyphenated().encode_lower(&mut text);
    CallId::from_valid(text)
}

/// Text that is no [`CallId`]; says what would be, and does not hold the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct InvalidCallId;

impl fmt::Display for InvalidCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an ID is 1 to {} characters of A-Z a-z 0-9 . _ ~ + / = : @ -",
            CallId::MAX_LEN
        )
    }
}

impl Error for InvalidCallId {}

fn is_valid_id(text: &[u8]) -> bool {
    (1..=CallId::MAX_LEN).contains(&text.len())
        && text.iter().all(|byte| ALLOWED_BYTES[usize::from(*byte)])
}

/// Which bytes an ID may have; one load each, since this runs on every request.
const ALLOWED_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=:@-";
    let mut at = 0;
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
    fn ids_of_the_usual_makes_are_accepted() {
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
    fn what_could_forge_or_flood_a_log_line_is_refused() {
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
    fn the_error_says_what_is_allowed() {
        let said = "an ID is 1 to 128 characters of A-Z a-z 0-9 . _ ~ + / = : @ -";
        assert_eq!(CallId::try_from("a b").unwrap_err().to_string(), said);
        assert_eq!(
            format!("{:?}", CallId::try_from("a-b").unwrap()),
            "Id(\"a-b\")"
        );
    }

    #[test]
    fn a_random_id_is_32_lower_case_hex_digits() {
        let (one, two) = (
            IdFormat::default().generate(),
            IdFormat::Random128.generate(),
        );
        assert!(TraceId::from_hex(one.as_str().as_bytes()).is_some());
        assert_ne!(one, two);
    }

    #[test]
    fn a_uuid_carries_time_version_and_variant() {
        let id = uuid_v7(0x017f_22e2_79b0, 0x0cc3_18c4_dc0c_0c07_398f);
        // RFC 9562, appendix A.6.
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        let (one, two) = (IdFormat::UuidV7.generate(), IdFormat::UuidV7.generate());
        assert!(one != two && one.as_str().len() == 36 && one.as_str().as_bytes()[14] == b'7');
    }
}
