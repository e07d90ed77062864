//! The `traceparent` header of W3C Trace Context, levels 1 and 2: which trace a call belongs to,
//! which span made it, and whether that span was recorded.
//!
//! Reading is strict, as the specification asks, and never allocates. Writing is always version
//! `00`.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    HeaderError, HeaderErrorKind, SpanId, TraceFlags, TraceId,
    hex::{decode_hex, encode_hex, pad_ascii},
};

/// Length in bytes of a version `00` header, and the least that a later version may have.
const HEADER_LEN: usize = 55;

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
    /// The trace, which is the same for every span of it.
    pub trace_id: TraceId,
    /// The span that made the call; every participant sends its own.
    pub parent_id: SpanId,
    /// The flags that this span recommends.
    pub flags: TraceFlags,
}

impl Traceparent {
    /// The header's name.
    pub const HEADER: HeaderName = HeaderName::from_static("traceparent");

    /// Starts a trace with new IDs and the [random](TraceFlags::RANDOM) flag.
    ///
    /// The first span of a trace, for a job that no request has started:
    ///
    /// ```
    /// use tower_keep::context::Traceparent;
    ///
    /// let root = Traceparent::new_root(true);
    /// assert!(root.flags.is_sampled() && root.flags.is_random());
    /// ```
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

    /// Reads a request's trace context; `Ok(None)` if it has none. Never allocates.
    ///
    /// White space around the value does not belong to it (RFC 9110 §5.5).
    ///
    /// A request without the header has no trace, which is no error:
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use tower_keep::context::Traceparent;
    ///
    /// let mut headers = HeaderMap::new();
    /// assert_eq!(Traceparent::from_headers(&headers), Ok(None));
    /// headers.insert(Traceparent::HEADER, HeaderValue::from_static("00-not-a-trace"));
    /// assert!(Traceparent::from_headers(&headers).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// More than one header, or one that [`parse`](Self::parse) rejects. Start a new trace then, and do not read
    /// `tracestate`.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, HeaderError> {
        let mut values = headers.get_all(Self::HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        // Of two parents none is known to be the right one.
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
    /// A later version is read as far as it is known:
    ///
    /// ```
    /// use tower_keep::context::Traceparent;
    ///
    /// let later = b"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
    /// assert!(Traceparent::parse(later)?.flags.is_sampled());
    /// # Ok::<(), tower_keep::context::HeaderError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first rule that the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, HeaderError> {
        use HeaderErrorKind::*;
        let (head, more) = value
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(error(Length))?;
        match (decode_hex(&head[..2]), more.first()) {
            (None | Some([0xff]), _) => return Err(error(Version)),
            // Version `00` ends with the flags. Later ones may go on, behind a dash.
            (Some([0]), Some(_)) => return Err(error(Length)),
            (_, Some(next)) if *next != b'-' => return Err(error(Separator)),
            _ => {}
        }
        if [head[2], head[35], head[52]] != *b"---" {
            return Err(error(Separator));
        }
        let trace_id = decode_hex(&head[3..35]).ok_or(error(Hex))?;
        let parent_id = decode_hex(&head[36..52]).ok_or(error(Hex))?;
        let [flags] = decode_hex(&head[53..]).ok_or(error(Hex))?;
        Ok(Self {
            trace_id: TraceId::from_bytes(trace_id).ok_or(error(ZeroId))?,
            parent_id: SpanId::from_bytes(parent_id).ok_or(error(ZeroId))?,
            flags: TraceFlags::from_bits(flags),
        })
    }

    /// Formats the header to send, in version `00`. One allocation, the value's own.
    pub fn to_header_value(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.to_ascii()).expect("hex digits and dashes fit a header")
    }

    fn to_ascii(self) -> [u8; HEADER_LEN] {
        let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
        encode_hex(&self.trace_id.to_bytes(), &mut out[3..35]);
        encode_hex(&self.parent_id.to_bytes(), &mut out[36..52]);
        encode_hex(&[self.flags.bits()], &mut out[53..]);
        out
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad_ascii(f, &self.to_ascii())
    }
}

const fn error(kind: HeaderErrorKind) -> HeaderError {
    HeaderError::new("traceparent", kind)
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
    fn traceparent_error_names_the_broken_rule() {
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
    fn later_version_is_read_as_far_as_known_and_sent_as_version_00() {
        for tail in ["", "-", "-what-the-future-will-be-like"] {
            let read = parse(&format!("cc-T-P-fd{tail}")).unwrap();
            assert_eq!(read.to_header_value(), GOOD);
        }
    }

    #[test]
    fn child_keeps_trace_and_flags_and_gets_its_own_span() {
        let parent = Traceparent::new_root(true);
        let child = parent.child();
        assert_eq!((child.trace_id, child.flags.bits()), (parent.trace_id, 3));
        assert_ne!(child.parent_id, parent.parent_id);
    }

    #[test]
    fn trace_flags_are_the_two_known_ones() {
        for bits in 0..=u8::MAX {
            let flags = TraceFlags::from_bits(bits);
            assert_eq!(flags.is_sampled(), bits & 1 == 1);
            assert_eq!(flags.is_random(), bits & 2 == 2);
            assert_eq!(flags.bits(), bits % 4);
        }
    }

    #[test]
    fn hex_digits_of_an_id_are_its_text() {
        let id = TraceId::generate();
        assert_eq!(super::super::hex_str(&id.to_hex()), id.to_string());
    }

    #[test]
    fn random_source_stuck_at_zero_gives_a_valid_id() {
        assert_eq!(SpanId::random(&mut || 0).to_string(), "0000000000000001");
        let trace = TraceId::random(&mut || 0);
        assert_eq!(format!("{trace:?}"), format!("TraceId({:032x})", 1));
    }

    #[test]
    fn traceparent_headers_may_be_absent_but_not_repeated() {
        assert_eq!(Traceparent::from_headers(&headers(&[])), Ok(None));
        let error = Traceparent::from_headers(&headers(&[GOOD, GOOD])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "malformed traceparent: came more than once"
        );
    }

    #[test]
    fn traceparent_ignores_white_space_around_the_value() {
        let spaced = "\t 00-12345678901234567890123456789012-1234567890123456-01 \t";
        let read = Traceparent::from_headers(&headers(&[spaced])).unwrap();
        assert_eq!(read.map(|read| read.to_string()).as_deref(), Some(GOOD));
    }
}
