//! The `traceparent` header of W3C Trace Context, levels 1 and 2: which trace a call belongs to,
//! which span made it, and whether that span was recorded.
//!
//! Reading is strict, as the specification asks, and never allocates. Writing is always version
//! `00`.

#![forbid(unsafe_code)]

use std::{error::Error, fmt, num::NonZero, str};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::random::{bits64, bits128};

/// Length in bytes of a version `00` header, and the least that a later version may have.
const HEADER_LEN: usize = 55;

/// Declares a hex ID that is never zero; the two of them differ in width only.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $bytes:literal, $digits:literal, $bits:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(NonZero<$int>);

        impl $name {
            /// A new ID from the generator of this thread. No clock reading, no allocation, no
            /// system call but one per thread, for the seed.
            ///
            /// That generator is not cryptographic: an ID is a label, not a secret, and whoever
            /// sees a few can compute their neighbours.
            pub fn generate() -> Self {
                Self::from_bytes($bits().to_be_bytes()).unwrap_or(Self(NonZero::<$int>::MIN))
            }

            /// A new ID from `next`, which is expected to return 64 evenly distributed bits.
            ///
            /// All zeros, which the specification forbids, become 1.
            pub fn random(next: &mut impl FnMut() -> u64) -> Self {
                let mut bytes = [0; $bytes];
                for word in bytes.chunks_exact_mut(8) {
                    word.copy_from_slice(&next().to_be_bytes());
                }
                Self::from_bytes(bytes).unwrap_or(Self(NonZero::<$int>::MIN))
            }

            #[doc = concat!("Reads exactly ", $digits, " lower-case hex digits, not all of them zero.")]
            pub fn from_hex(digits: &[u8]) -> Option<Self> {
                Self::from_bytes(decode(digits)?)
            }

            #[doc = concat!("From ", $bytes, " bytes, most significant first; `None` if all are zero.")]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Option<Self> {
                match NonZero::new(<$int>::from_be_bytes(bytes)) {
                    Some(id) => Some(Self(id)),
                    None => None,
                }
            }

            #[doc = concat!("The ", $bytes, " bytes, most significant first.")]
            pub const fn to_bytes(self) -> [u8; $bytes] {
                self.0.get().to_be_bytes()
            }

            #[doc = concat!("The ", $digits, " lower-case hex digits as ASCII, without allocating.")]
            pub fn to_hex(self) -> [u8; $digits] {
                let mut digits = [0; $digits];
                encode(&self.to_bytes(), &mut digits);
                digits
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                pad_ascii(f, &self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

hex_id! {
    /// The ID of a whole trace: 128 bits, never zero, printed as 32 lower-case hex digits (Trace
    /// Context, `trace-id`).
    TraceId, u128, 16, 32, bits128
}

hex_id! {
    /// The ID of one span: 64 bits, never zero, printed as 16 lower-case hex digits (Trace Context,
    /// `parent-id`).
    SpanId, u64, 8, 16, bits64
}

/// What the caller recommends for a trace (Trace Context, `trace-flags`); default: nothing set.
///
/// Holds the two bits that levels 1 and 2 define. Bits reserved for the future are masked off on
/// the way in, because they must be zero on the way out. A recommendation from an untrusted caller
/// may be abuse.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// Bit 0: the caller may have recorded the trace.
    pub const SAMPLED: Self = Self(1);
    /// Bit 1, level 2: at least the low 56 bits of the trace ID are evenly random.
    pub const RANDOM: Self = Self(2);

    /// The flags among `bits`; reserved bits are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// The flags as they are printed, 0 to 3.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the caller may have recorded the trace.
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Whether at least the low 56 bits of the trace ID are evenly random.
    pub const fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// The same flags with the recording decision replaced. The specification allows this only
    /// along with a new [`parent_id`](Traceparent::parent_id); see [`Traceparent::child`].
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self(self.0 & !Self::SAMPLED.0 | sampled as u8)
    }
}

/// A `traceparent` header: 32 bytes, `Copy`.
///
/// ```
/// use tower_keep::context::Traceparent;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let incoming = Traceparent::parse(text.as_bytes())?;
/// assert!(incoming.flags.is_sampled());
/// assert_eq!(incoming.to_string(), text);
///
/// let outgoing = incoming.child();
/// assert_eq!(outgoing.trace_id, incoming.trace_id);
/// # Ok::<(), tower_keep::context::HeaderError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Traceparent {
    /// The trace. It stays the same along the whole way.
    pub trace_id: TraceId,
    /// The span that made the call; every participant puts its own here.
    pub parent_id: SpanId,
    /// What that span recommends.
    pub flags: TraceFlags,
}

impl Traceparent {
    /// The header's name.
    pub const HEADER: HeaderName = HeaderName::from_static("traceparent");

    /// Starts a trace with new IDs and the [random](TraceFlags::RANDOM) flag.
    pub fn new_root(sampled: bool) -> Self {
        Self {
            trace_id: TraceId::generate(),
            parent_id: SpanId::generate(),
            flags: TraceFlags::RANDOM.with_sampled(sampled),
        }
    }

    /// Continues the trace from a new span: same trace, same flags, new parent ID.
    pub fn child(self) -> Self {
        Self {
            parent_id: SpanId::generate(),
            ..self
        }
    }

    /// The request's trace context; `Ok(None)` if it has none. Never allocates.
    ///
    /// White space round the value is no part of it (RFC 9110 §5.5).
    ///
    /// # Errors
    /// More than one header, or one that [`parse_filter`](Self::parse) refuses. Start a new trace then,
    /// and do not read `tracestate`.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, HeaderError> {
        let mut values = headers.get_all(Self::HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(error(HeaderErrorKind::Repeated));
        }
        Self::parse(value.as_bytes().trim_ascii()).map(Some)
    }

    /// Reads one header value, strictly: lower-case hex, no all-zero ID, version `00` of exactly 55
    /// bytes.
    ///
    /// A later version is read as far as version `00` goes, if its flags are followed by the end or
    /// by `-`; version `ff` is forbidden.
    ///
    /// # Errors
    /// The first rule that the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, HeaderError> {
        use HeaderErrorKind::*;
        let (head, more) = value
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(error(Length))?;
        match (decode(&head[..2]), more.first()) {
            (None | Some([0xff]), _) => return Err(error(Version)),
            (Some([0]), Some(_)) => return Err(error(Length)),
            (_, Some(next)) if *next != b'-' => return Err(error(Separator)),
            _ => {}
        }
        if [head[2], head[35], head[52]] != *b"---" {
            return Err(error(Separator));
        }
        let trace_id = decode(&head[3..35]).ok_or(error(Hex))?;
        let parent_id = decode(&head[36..52]).ok_or(error(Hex))?;
        let [flags] = decode(&head[53..]).ok_or(error(Hex))?;
        Ok(Self {
            trace_id: TraceId::from_bytes(trace_id).ok_or(error(ZeroId))?,
            parent_id: SpanId::from_bytes(parent_id).ok_or(error(ZeroId))?,
            flags: TraceFlags::from_bits(flags),
        })
    }

    /// The header to send, in version `00`. One allocation, the value's own.
    pub fn to_header_value(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.to_ascii()).expect("hex digits and dashes fit a header")
    }

    fn to_ascii(self) -> [u8; HEADER_LEN] {
        let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
        encode(&self.trace_id.to_bytes(), &mut out[3..35]);
        encode(&self.parent_id.to_bytes(), &mut out[36..52]);
        encode(&[self.flags.bits()], &mut out[53..]);
        out
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad_ascii(f, &self.to_ascii())
    }
}

/// A header that breaks its specification, or an entry that would make it do so.
///
/// Names the header and the rule. Never holds the offending bytes, so it is safe to log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct HeaderError {
    header: &'static str,
    kind: HeaderErrorKind,
}

impl HeaderError {
    pub(super) const fn new(header: &'static str, reason: HeaderErrorKind) -> Self {
        Self {
            header,
            kind: reason,
        }
    }

    /// The header's name, in lower case.
    pub const fn header(&self) -> &'static str {
        self.header
    }

    /// The rule it breaks.
    pub const fn kind(&self) -> HeaderErrorKind {
        self.kind
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}: {}", self.header, self.kind.as_str())
    }
}

impl Error for HeaderError {}

/// The rule that a [`HeaderError`] header breaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HeaderErrorKind {
    /// The header came more than once, and may come only once.
    Repeated,
    /// The whole value is too short or too long.
    Length,
    /// The version is not two hex digits, or is the forbidden `ff`.
    Version,
    /// Something other than a lower-case hex digit stands where one must.
    Hex,
    /// A `-` or `=` is missing where one must stand.
    Separator,
    /// An ID is all zeros.
    ZeroId,
    /// There are more list members than allowed.
    TooManyMembers,
    /// A key is empty, too long or has a character that is not allowed.
    Key,
    /// A value is empty where it must not be, too long or has a character that is not allowed.
    Value,
}

impl HeaderErrorKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Repeated => "came more than once",
            Self::Length => "length out of bounds",
            Self::Version => "version missing or forbidden",
            Self::Hex => "not lower-case hex",
            Self::Separator => "separator missing",
            Self::ZeroId => "an ID is all zeros",
            Self::TooManyMembers => "too many members",
            Self::Key => "a key is empty, too long or has a forbidden character",
            Self::Value => "a value is empty, too long or has a forbidden character",
        }
    }
}

const fn error(reason: HeaderErrorKind) -> HeaderError {
    HeaderError::new("traceparent", reason)
}

/// `N` bytes from exactly `2 * N` lower-case hex digits.
fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(high)? << 4 | nibble(low)?;
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn encode(bytes: &[u8], digits: &mut [u8]) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(digits.as_chunks_mut::<2>().0) {
        *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    }
}

/// Digits as text, without a formatter.
pub(crate) fn hex_str(digits: &[u8]) -> &str {
    str::from_utf8(digits).unwrap_or_default()
}

fn pad_ascii(f: &mut fmt::Formatter<'_>, ascii: &[u8]) -> fmt::Result {
    f.pad(str::from_utf8(ascii).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use HeaderErrorKind::*;

    const GOOD: &str = "00-12345678901234567890123456789012-1234567890123456-01";

    /// Reads `text` with a good trace ID for `T` and a good parent ID for `P`.
    fn parse(text: &str) -> Result<Traceparent, HeaderErrorKind> {
        let text = text.replace('T', &GOOD[3..35]).replace('P', &GOOD[36..52]);
        Traceparent::parse(text.as_bytes()).map_err(|error| error.kind())
    }

    fn headers(values: &[&'static str]) -> HeaderMap {
        let value = |text: &&'static str| HeaderValue::from_static(text);
        values
            .iter()
            .map(|text| (Traceparent::HEADER, value(text)))
            .collect()
    }

    #[test]
    fn each_broken_rule_is_named() {
        let table = [
            ("", Length),
            ("00-T-P-1", Length),
            ("00-T-P-01.", Length),
            ("00-T-P-01-more", Length),
            ("cc-T-P-01.more", Separator),
            ("00-T.P-01", Separator),
            ("ff-T-P-01", Version),
            ("CC-T-P-01", Version),
            ("00-T-123456789012345A-01", Hex),
            ("00-T-P-.0", Hex),
            ("00-00000000000000000000000000000000-P-01", ZeroId),
            ("00-T-0000000000000000-01", ZeroId),
        ];
        for (text, reason) in table {
            assert_eq!(parse(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_known_and_sent_on_as_version_00() {
        for tail in ["", "-", "-what-the-future-will-be-like"] {
            let read = parse(&format!("cc-T-P-fd{tail}")).unwrap();
            assert_eq!(read.to_header_value(), GOOD);
        }
    }

    #[test]
    fn a_child_keeps_trace_and_flags_and_gets_its_own_span() {
        let parent = Traceparent::new_root(true);
        let child = parent.child();
        assert_eq!((child.trace_id, child.flags.bits()), (parent.trace_id, 3));
        assert_ne!(child.parent_id, parent.parent_id);
    }

    #[test]
    fn flags_are_the_two_that_are_known() {
        for bits in 0..=u8::MAX {
            let flags = TraceFlags::from_bits(bits);
            assert_eq!(flags.is_sampled(), bits & 1 == 1);
            assert_eq!(flags.is_random(), bits & 2 == 2);
            assert_eq!(flags.bits(), bits % 4);
        }
    }

    #[test]
    fn digits_of_an_id_are_its_text() {
        let id = TraceId::generate();
        assert_eq!(hex_str(&id.to_hex()), id.to_string());
    }

    #[test]
    fn a_source_stuck_at_zero_still_gives_a_valid_id() {
        assert_eq!(SpanId::random(&mut || 0).to_string(), "0000000000000001");
        let trace = TraceId::random(&mut || 0);
        assert_eq!(format!("{trace:?}"), format!("TraceId({:032x})", 1));
    }

    #[test]
    fn no_header_is_no_error_and_two_headers_are() {
        assert_eq!(Traceparent::from_headers(&headers(&[])), Ok(None));
        let error = Traceparent::from_headers(&headers(&[GOOD, GOOD])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "malformed traceparent: came more than once"
        );
    }

    #[test]
    fn white_space_round_the_value_is_no_part_of_it() {
        let spaced = "\t 00-12345678901234567890123456789012-1234567890123456-01 \t";
        let read = Traceparent::from_headers(&headers(&[spaced])).unwrap();
        assert_eq!(read.map(|read| read.to_string()).as_deref(), Some(GOOD));
    }
}
