//! The `tracestate` header of W3C Trace Context, levels 1 and 2: data of the tracing systems that a trace passes.
//!
//! Read it only after a valid `traceparent`, drop it when a trace is restarted, and do not change it while `traceparent` is
//! sent on unchanged.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{HeaderError, HeaderErrorKind, tracestate_list::MemberList};

/// A checked `tracestate`: up to 32 members of key and opaque value, the most recent leftmost.
///
/// It is stored as a header value and split when it is read, so a clone is a reference count. The state of a single header
/// of at most [`MAX_BYTES`](Self::MAX_BYTES) without redundant white space shares that header's value: storing it and
/// sending it on copies nothing, but keeps the buffer alive that the server read it into.
///
/// ```
/// use tower_keep::context::Tracestate;
///
/// let mut state = Tracestate::default();
/// state.insert("rojo", "00f067aa0ba902b7")?;
/// state.insert("congo", "t61rcWkgMzE")?;
/// assert_eq!(state.to_header_value().unwrap(), "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
/// # Ok::<(), tower_keep::context::HeaderError>(())
/// ```
#[derive(Clone)]
pub struct Tracestate {
    // Invariant: ASCII, and every member is either white space or a checked `key=value`.
    header: HeaderValue,
}

impl Tracestate {
    /// The header's name.
    pub const HEADER: HeaderName = HeaderName::from_static("tracestate");
    /// Most members, empty ones not counted (Trace Context §3.3.1).
    pub const MAX_MEMBERS: usize = 32;
    /// Most bytes that are sent on, commas included: four members of the largest size, four times the 512 that the
    /// specification asks for, a quarter of what servers commonly allow for all headers.
    ///
    /// A longer list loses whole members: first those over 128 bytes, then any, each time the rightmost.
    pub const MAX_BYTES: usize = 2048;

    /// Reads a request's trace state, repeated headers joined in order; `Ok(None)` if it has no member.
    ///
    /// Of members with the same key the leftmost is kept, as the specification allows since 2022. Empty members and white
    /// space around members are left out, which some receivers do not understand. Allocates only if something has to be
    /// left out, or if there is more than one header.
    ///
    /// Two headers, of which the first has the more recent members:
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use tower_keep::context::Tracestate;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.append(Tracestate::HEADER, HeaderValue::from_static("congo=t61"));
    /// headers.append(Tracestate::HEADER, HeaderValue::from_static("rojo=00f"));
    /// let state = Tracestate::from_headers(&headers)?.expect("two members");
    /// assert_eq!((state.len(), state.get("rojo")), (2, Some("00f")));
    /// # Ok::<(), tower_keep::context::HeaderError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// More than 32 members, a key other than `[a-z0-9][a-z0-9_\-*/@]{0,255}` (the level 2 grammar, which contains the
    /// `tenant@system` keys of level 1) or a value other than 1 to 256 printable ASCII characters without `,` and `=`. Drop
    /// the whole state then, and keep `traceparent`.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, HeaderError> {
        let mut members = MemberList::default();
        for value in headers.get_all(Self::HEADER) {
            members.parse_header(value)?;
        }
        // Only white space and commas, if anything.
        if members.as_slice().is_empty() {
            return Ok(None);
        }
        let mut values = headers.get_all(Self::HEADER).iter();
        let header = match (values.next(), values.next()) {
            // As long as its members and the commas between them, so there is nothing to leave out.
            (Some(only), None)
                if only.len() == members.header_len() && only.len() <= Self::MAX_BYTES =>
            {
                only.clone()
            }
            _ => members.shrink_to_fit(0).to_header_value(),
        };
        Ok(Some(Self { header }))
    }

    /// Returns the value of `key`, leading spaces included.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find_map(|(found, value)| (found == key).then_some(value))
    }

    /// Returns keys and values, leftmost first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = self.header.to_str().expect("tracestate is ASCII");
        text.split(',')
            .filter_map(|member| member.trim_ascii().split_once('='))
    }

    /// Returns the number of members, at most [`MAX_MEMBERS`](Self::MAX_MEMBERS).
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Sets `key` and moves it to the left, as the specification asks of a modified member.
    ///
    /// Drops the rightmost of 32 members, and what no longer fits [`MAX_BYTES`](Self::MAX_BYTES); never the member just
    /// set. Change `traceparent` as well: a state must not be modified under an unchanged parent.
    ///
    /// # Errors
    ///
    /// A key or value that the grammar forbids (see [`from_headers`](Self::from_headers)), a value that ends in a space
    /// included. Nothing changes then.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), HeaderError> {
        let mut members = MemberList::default();
        members.push(key, value)?;
        let others = self.iter().filter(|(found, _)| *found != key);
        // The rightmost is the oldest, and goes if the list is full.
        for (key, value) in others.take(Self::MAX_MEMBERS - 1) {
            members.push(key, value)?;
        }
        self.header = members.shrink_to_fit(1).to_header_value();
        Ok(())
    }

    /// Removes `key`. Returns `false` if it was absent. Remove only keys of your own system: removing another's breaks its
    /// correlation.
    pub fn remove(&mut self, key: &str) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        let mut members = MemberList::default();
        for member in self.iter().filter(|(found, _)| *found != key) {
            // Checked when it came, and there is one less than before.
            members.push_unchecked(member);
        }
        self.header = members.to_header_value();
        true
    }

    /// Returns the header to send; `None` if it would be empty.
    pub fn to_header_value(&self) -> Option<HeaderValue> {
        (!self.is_empty()).then(|| self.header.clone())
    }
}

impl Default for Tracestate {
    fn default() -> Self {
        Self {
            header: HeaderValue::from_static(""),
        }
    }
}

/// Compares the members in order; white space between them does not count.
impl PartialEq for Tracestate {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Tracestate {}

impl fmt::Debug for Tracestate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

pub(super) const fn error(kind: HeaderErrorKind) -> HeaderError {
    HeaderError::new("tracestate", kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use HeaderErrorKind::*;

    fn read(values: &[&str]) -> Result<Option<Tracestate>, HeaderErrorKind> {
        let value = |text: &&str| {
            (
                Tracestate::HEADER,
                HeaderValue::from_bytes(text.as_bytes()).unwrap(),
            )
        };
        Tracestate::from_headers(&values.iter().map(value).collect()).map_err(|e| e.kind())
    }

    fn printed(values: &[&str]) -> String {
        let header = read(values).unwrap().unwrap().to_header_value().unwrap();
        header.to_str().unwrap().to_owned()
    }

    fn numbered(count: usize) -> String {
        let members: Vec<_> = (1..=count).map(|n| format!("bar{n:02}={n:02}")).collect();
        members.join(",")
    }

    /// Members of 108 bytes, commas not counted: 18 of them fit.
    fn small(count: usize) -> Vec<String> {
        (0..count)
            .map(|n| format!("small{n:02}={}", "2".repeat(100)))
            .collect()
    }

    #[test]
    fn tracestate_joins_repeated_headers_and_skips_empty_members() {
        assert_eq!(
            printed(&["foo=1 \t , \t bar=2", "", " ,\t", "rojo= 1,,congo=2 "]),
            "foo=1,bar=2,rojo= 1,congo=2"
        );
        assert_eq!(read(&["", " , "]), Ok(None));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn tracestate_is_sent_without_what_some_receivers_reject() {
        assert_eq!(printed(&["foo=1 ,, bar=2"]), "foo=1,bar=2");
        let commas = ",".repeat(40) + "foo=1";
        assert_eq!(printed(&[&commas]), "foo=1");
        assert_eq!(printed(&["foo=1,bar= 2"]), "foo=1,bar= 2");
    }

    #[test]
    fn tracestate_of_a_single_normal_header_is_not_copied() {
        for (text, kept) in [("foo=1,bar=2", true), ("foo=1, bar=2", false)] {
            let value = HeaderValue::from_static(text);
            let headers = HeaderMap::from_iter([(Tracestate::HEADER, value)]);
            let state = Tracestate::from_headers(&headers).unwrap().unwrap();
            let sent = state.to_header_value().unwrap();
            assert_eq!(sent.as_bytes().as_ptr() == text.as_ptr(), kept, "{text}");
        }
    }

    #[test]
    fn tracestates_of_the_same_members_in_order_are_equal() {
        let state = |text: &str| read(&[text]).unwrap().unwrap();
        assert_eq!(state("foo=1,bar=2"), state("foo=1 , bar=2"));
        assert_ne!(state("foo=1,bar=2"), state("bar=2,foo=1"));
        assert_ne!(state("foo=1"), state("foo=2"));
        assert_eq!(format!("{:?}", state("foo=1")), r#"{"foo": "1"}"#);
    }

    #[test]
    fn tracestate_keeps_the_leftmost_member_of_each_key() {
        assert_eq!(printed(&["foo=1,foo=2"]), "foo=1");
        assert_eq!(printed(&["a=1,foo=1", "b=2,foo=2,a=3"]), "a=1,foo=1,b=2");
        let mut state = read(&["foo=1,bar=1,foo=2"]).unwrap().unwrap();
        state.insert("bar", "2").unwrap();
        assert_eq!(state.to_header_value().unwrap(), "bar=2,foo=1");
    }

    #[test]
    fn tracestate_error_names_the_broken_rule() {
        let long_key = format!("{}=1", "z".repeat(257));
        let long_value = format!("z={}", "1".repeat(257));
        let table = [
            ("foo =1", Key),
            ("FOO=1", Key),
            ("foo.bar=1", Key),
            ("@foo=1,bar=2", Key),
            ("=1", Key),
            (&*long_key, Key),
            ("foo=bar=baz", Value),
            ("foo=,bar=3", Value),
            ("foo=  ", Value),
            ("foo=a\tb", Value),
            (&long_value, Value),
            ("foo", Separator),
            (&numbered(33), TooManyMembers),
        ];
        for (text, reason) in table {
            assert_eq!(read(&[text]), Err(reason), "{text}");
        }
        assert_eq!(read(&["a=é"]), Err(Value));
    }

    #[test]
    fn tracestate_too_long_drops_large_members_first_then_the_rightmost() {
        let large = |key: &str| format!("{key}={}", "1".repeat(256));
        let small = small(21).join(",");
        let kept = &small[..18 * 109 - 1];
        let all = format!("{},{kept},{},last=3", large("a"), large("b"));
        assert_eq!(printed(&[&all]), format!("{kept},last=3"));
        assert_eq!(printed(&[&small]), kept);
    }

    #[test]
    fn tracestate_insert_moves_the_member_left_and_drops_the_rightmost() {
        let mut state = read(&[&numbered(32)]).unwrap().unwrap();
        state.insert("bar32", "new").unwrap();
        assert_eq!(
            (state.len(), state.iter().next()),
            (32, Some(("bar32", "new")))
        );
        state.insert("mine", &"x".repeat(256)).unwrap();
        assert_eq!((state.len(), state.get("bar31")), (32, None));
    }

    #[test]
    fn tracestate_insert_of_an_invalid_member_changes_nothing() {
        let mut state = read(&["foo=1"]).unwrap().unwrap();
        let error = state.insert("foo", "ends in a space ").unwrap_err();
        assert_eq!((error.header(), error.kind()), ("tracestate", Value));
        assert_eq!(state.get("foo"), Some("1"));
    }

    #[test]
    fn tracestate_insert_never_drops_the_new_member() {
        let mut state = read(&[&small(18).join(",")]).unwrap().unwrap();
        state.insert("mine", &"x".repeat(256)).unwrap();
        assert_eq!(
            (state.get("mine").map(str::len), state.len()),
            (Some(256), 17)
        );
    }

    /// A member of so many bytes.
    fn sized(number: usize, size: usize) -> String {
        format!("k{number:02}={}", "v".repeat(size - 4))
    }

    #[test]
    fn tracestate_bound_is_exact_to_the_byte() {
        let most: Vec<_> = (0..15).map(|n| sized(n, 128)).collect();
        let joined = |last: usize| printed(&[&most.join(","), &sized(15, last)]);
        assert_eq!(joined(113).len(), Tracestate::MAX_BYTES);
        assert_eq!(joined(114), most.join(","));
    }

    #[test]
    fn tracestate_members_over_128_bytes_are_dropped_first() {
        let others: Vec<_> = (0..15).map(|n| sized(n, 128)).collect();
        assert_eq!(
            printed(&[&sized(99, 129), &others.join(",")]),
            others.join(",")
        );
        let all = [&others[..7], &[sized(99, 140)], &others[7..13]].concat();
        let mut state = read(&[&all.join(",")]).unwrap().unwrap();
        state.insert("mine", &"v".repeat(245)).unwrap();
        assert_eq!((state.len(), state.get("k99")), (14, None));
    }

    #[test]
    fn tracestate_without_members_has_no_header() {
        let mut state = read(&["foo=1,bar=2"]).unwrap().unwrap();
        assert!(state.remove("foo") && !state.remove("foo") && state.remove("bar"));
        assert!(state.is_empty() && state.to_header_value().is_none());
    }
}
