//! The `baggage` header of W3C Baggage: named values that the application sends along with a
//! request.
//!
//! It is user data. Never forward it to third parties by default, and never make a metric label of
//! it without a list of allowed keys.

#![forbid(unsafe_code)]

use std::{borrow::Cow, fmt, mem, str};

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{
    AsciiSet, CONTROLS, PercentEncode, percent_decode_str, utf8_percent_encode,
};

use super::traceparent::{HeaderError, HeaderErrorKind};

/// Checked baggage: members in the order they came, duplicates and properties included.
///
/// It is kept as a header value and decoded when read, so a clone is a reference count. Baggage
/// that came in a single well-formed header is that header's own value: keeping it and sending it
/// on copies nothing, but keeps the buffer alive that the server read it into. `Debug` shows how
/// many members there are, never their content.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use tower_keep::context::Baggage;
///
/// let headers = HeaderMap::from_iter([(
///     Baggage::HEADER,
///     HeaderValue::from_static("userId=Am%C3%A9lie;ttl=1, broken, isProduction=false"),
/// )]);
/// let baggage = Baggage::from_headers(&headers).unwrap();
/// assert_eq!(baggage.get("userId").as_deref(), Some("Amélie"));
/// assert_eq!((baggage.len(), baggage.dropped()), (2, 1));
/// ```
#[derive(Clone)]
pub struct Baggage {
    // Invariant: ASCII; empty, or checked members with a comma between each two.
    header: HeaderValue,
    dropped: usize,
}

impl Baggage {
    /// The header's name.
    pub const HEADER: HeaderName = HeaderName::from_static("baggage");
    /// Most members: what the grammar of the specification allows (`list-member 0*179(..)`); at
    /// least 64 are required.
    pub const MAX_MEMBERS: usize = 180;
    /// Most bytes of the whole list, commas included: the least that the specification requires to
    /// be sent on.
    pub const MAX_BYTES: usize = 8192;

    /// The request's baggage, repeated headers joined in order; `None` if there is nothing to keep
    /// and nothing to tell.
    ///
    /// A member that breaks the grammar, and one that no longer fits
    /// [`MAX_MEMBERS`](Self::MAX_MEMBERS) or [`MAX_BYTES`](Self::MAX_BYTES), is dropped whole and
    /// [counted](Self::dropped); the others stay. Empty members are skipped. Allocates only if
    /// something must be joined or left out.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(Self::HEADER).iter();
        let first = values.next()?;
        if values.next().is_none() && is_well_formed(first.as_bytes()) {
            return Some(Self {
                header: first.clone(),
                dropped: 0,
            });
        }
        let mut list = ListBuilder::default();
        for value in headers.get_all(Self::HEADER) {
            list.parse_header(value.as_bytes());
        }
        let something = list.members > 0 || list.dropped > 0;
        something.then(|| Self {
            dropped: list.dropped,
            header: list.into_header_value(),
        })
    }

    /// How many members were dropped when the headers were read.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The decoded value of the first member called `key` (keys are case-sensitive).
    pub fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        self.iter()
            .find(|member| member.key() == key)
            .map(|member| member.value())
    }

    /// The members in order, duplicates included.
    pub fn iter(&self) -> impl Iterator<Item = BaggageMember<'_>> {
        let text = self.header.to_str().expect("checked when it was made");
        let members = text
            .split(',')
            .map(str::trim_ascii)
            .filter(|text| !text.is_empty());
        members.map(|text| BaggageMember { text })
    }

    /// How many members there are, duplicates included, at most [`MAX_MEMBERS`](Self::MAX_MEMBERS).
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Sets `key` to `value`, percent-encoded as needed.
    ///
    /// The first member of that key is replaced where it stands, its properties included, and its
    /// duplicates are removed; a new key goes to the end.
    ///
    /// # Errors
    /// A key that is no HTTP token, or baggage that would no longer fit its bounds. Nothing changes
    /// then.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), HeaderError> {
        if !is_token(key) {
            return Err(error(HeaderErrorKind::Key));
        }
        // Encoding only adds bytes: do not start on what cannot fit.
        if value.len() > Self::MAX_BYTES {
            return Err(error(HeaderErrorKind::Length));
        }
        let (fresh, mut placed) = (format!("{key}={}", encode(value)), false);
        let mut list = ListBuilder::default();
        for member in self.iter() {
            if member.key() != key {
                list.try_push(member.text)?;
            } else if !mem::replace(&mut placed, true) {
                list.try_push(&fresh)?;
            }
        }
        if !placed {
            list.try_push(&fresh)?;
        }
        self.header = list.into_header_value();
        Ok(())
    }

    /// Removes every member called `key`; `false` if there was none.
    pub fn remove(&mut self, key: &str) -> bool {
        if self.iter().all(|member| member.key() != key) {
            return false;
        }
        let mut list = ListBuilder::default();
        for member in self.iter().filter(|member| member.key() != key) {
            list.push(member.text);
        }
        self.header = list.into_header_value();
        true
    }

    /// The header to send, or `None` if it would be empty.
    pub fn to_header_value(&self) -> Option<HeaderValue> {
        (!self.is_empty()).then(|| self.header.clone())
    }
}

impl Default for Baggage {
    fn default() -> Self {
        Self {
            header: HeaderValue::from_static(""),
            dropped: 0,
        }
    }
}

/// Same members in the same order, properties and percent-encoding included; white space between
/// members and the number of dropped ones do not count.
impl PartialEq for Baggage {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Baggage {}

impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (members, dropped) = (self.len(), self.dropped);
        write!(f, "Baggage {{ members: {members}, dropped: {dropped} }}")
    }
}

/// One member of [`Baggage`], decoded when asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BaggageMember<'a> {
    text: &'a str,
}

impl<'a> BaggageMember<'a> {
    /// The name, as it came.
    pub fn key(&self) -> &'a str {
        split_pair(self.head()).0
    }

    /// The value, percent-decoded. Octets that are not UTF-8 become U+FFFD, a `%` without two hex
    /// digits stays.
    pub fn value(&self) -> Cow<'a, str> {
        split_pair(self.head()).1.map_or(Cow::Borrowed(""), decode)
    }

    /// The properties in order: names, and percent-decoded values of those that have one.
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, Option<Cow<'a, str>>)> + use<'a> {
        let properties = self.text.split(';').skip(1).map(split_pair);
        properties.map(|(key, value)| (key, value.map(decode)))
    }

    fn head(&self) -> &'a str {
        self.text.split(';').next().unwrap_or_default()
    }
}

/// A list under construction that stays within the bounds.
#[derive(Default)]
struct ListBuilder {
    text: String,
    members: usize,
    dropped: usize,
}

impl ListBuilder {
    fn parse_header(&mut self, header: &[u8]) {
        let members = header.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for member in members.filter(|member| !member.is_empty()) {
            let kept = parse_member(member).is_some_and(|text| self.push(text));
            self.dropped += usize::from(!kept);
        }
    }

    fn try_push(&mut self, member: &str) -> Result<(), HeaderError> {
        let fits = self.push(member);
        fits.then_some(()).ok_or(error(HeaderErrorKind::Length))
    }

    /// Adds a member that is known to be good; `false` if it does not fit.
    fn push(&mut self, member: &str) -> bool {
        let comma = if self.members > 0 { "," } else { "" };
        let bytes = self.text.len() + comma.len() + member.len();
        if self.members == Baggage::MAX_MEMBERS || bytes > Baggage::MAX_BYTES {
            return false;
        }
        self.text.extend([comma, member]);
        self.members += 1;
        true
    }

    fn into_header_value(self) -> HeaderValue {
        HeaderValue::try_from(self.text).expect("checked members fit a header")
    }
}

/// Whether a header can be sent on as it came.
fn is_well_formed(header: &[u8]) -> bool {
    let commas = header.iter().filter(|byte| **byte == b',').count();
    header.len() <= Baggage::MAX_BYTES
        && commas < Baggage::MAX_MEMBERS
        && header
            .split(|byte| *byte == b',')
            .all(|member| parse_member(member).is_some())
}

/// The member as text, if it is `key=value` with any number of `;key` and `;key=value`.
fn parse_member(member: &[u8]) -> Option<&str> {
    let text = str::from_utf8(member).ok()?;
    let mut parts = text.split(';').map(split_pair);
    let (key, value) = parts.next()?;
    let good = is_token(key)
        && value.is_some_and(is_value)
        && parts.all(|(key, value)| is_token(key) && value.is_none_or(is_value));
    good.then_some(text)
}

/// Key and value without the white space round them.
fn split_pair(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((key, value)) => (key.trim_ascii(), Some(value.trim_ascii())),
        None => (text.trim_ascii(), None),
    }
}

/// RFC 7230 §3.2.6.
fn is_token(key: &str) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !key.is_empty() && key.bytes().all(tchar)
}

fn is_value(value: &str) -> bool {
    value.bytes().all(is_baggage_octet)
}

/// The specification's `baggage-octet`.
const fn is_baggage_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// What must be percent-encoded: every ASCII character but `baggage-octet`, and `%` itself.
const PERCENT_ENCODED: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b',')
    .add(b';')
    .add(b'\\')
    .add(b'%');

fn encode(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, &PERCENT_ENCODED)
}

/// Octets that are not UTF-8 become U+FFFD, a `%` without two hex digits stays.
fn decode(value: &str) -> Cow<'_, str> {
    percent_decode_str(value).decode_utf8_lossy()
}

const fn error(reason: HeaderErrorKind) -> HeaderError {
    HeaderError::new("baggage", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Option<Baggage> {
        let value = |bytes: &&[u8]| (Baggage::HEADER, HeaderValue::from_bytes(bytes).unwrap());
        Baggage::from_headers(&values.iter().map(value).collect())
    }

    fn one(value: &str) -> Baggage {
        read(&[value.as_bytes()]).unwrap()
    }

    fn printed(baggage: &Baggage) -> String {
        let header = baggage.to_header_value().unwrap();
        header.to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn check(baggage: &Baggage, sent: &str, dropped: usize) {
        assert_eq!(
            (printed(baggage).as_str(), baggage.dropped()),
            (sent, dropped)
        );
    }

    #[test]
    fn a_malformed_member_is_dropped_whole_and_the_others_stay() {
        let values: [&[u8]; 2] = [
            b"a=1,b,=c,d=\"x\",,e=1;;f,g=\xff",
            b"a=2;ok=1, h =  3,i=a b",
        ];
        let baggage = read(&values).unwrap();
        check(&baggage, "a=1,a=2;ok=1,h =  3", 6);
        assert_eq!(baggage.get("a").as_deref(), Some("1"));
        assert_eq!(format!("{baggage:?}"), "Baggage { members: 3, dropped: 6 }");
    }

    #[test]
    fn repeated_headers_are_joined_in_order() {
        check(&read(&[b"a=1", b"b=2"]).unwrap(), "a=1,b=2", 0);
    }

    #[test]
    fn bounds_hold_to_the_member_and_to_the_byte() {
        let sized = |size: usize| format!("a={}", "0".repeat(size - 2));
        let numbered = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!("k{n}=v")).collect();
            members.join(",")
        };
        let check = |values: &[&str], sent: &str, dropped| {
            let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
            check(&read(&values).unwrap(), sent, dropped);
        };
        check(&[&sized(8192)], &sized(8192), 0);
        check(&[&sized(8193), "b=1"], "b=1", 1);
        check(&[&sized(8188), "b=1"], &format!("{},b=1", sized(8188)), 0);
        check(&[&sized(8189), "b=1"], &sized(8189), 1);
        check(&[&numbered(180)], &numbered(180), 0);
        check(&[&numbered(181)], &numbered(180), 1);
        check(&[&numbered(180), "b=1"], &numbered(180), 1);
        assert!(one(&(sized(8193) + ",b=1")).dropped() == 1);
    }

    #[test]
    fn single_header_in_good_form_is_kept_as_it_came() {
        let text = "a = 1 , b=2;c";
        let headers = HeaderMap::from_iter([(Baggage::HEADER, HeaderValue::from_static(text))]);
        let sent = Baggage::from_headers(&headers).unwrap().to_header_value();
        let sent = sent.unwrap();
        assert_eq!(sent, text);
        assert_eq!(sent.as_bytes().as_ptr(), text.as_ptr(), "no copy");
        let long = format!("a = {} , b=2", "x".repeat(200));
        assert_eq!(printed(&one(&long)), long);
        assert_eq!(
            printed(&read(&[text.as_bytes(), b"d=3"]).unwrap()),
            "a = 1,b=2;c,d=3"
        );
    }

    #[test]
    fn properties_are_told_and_decoded() {
        let baggage = one("k=v;a;b = %2C,other=1");
        let members: Vec<_> = baggage.iter().collect();
        let properties: Vec<_> = members[0].properties().collect();
        assert_eq!(properties, [("a", None), ("b", Some(",".into()))]);
        assert_eq!(members[1].properties().count(), 0);
    }

    #[test]
    fn baggage_of_the_same_members_in_the_same_order_is_equal() {
        assert_eq!(one("a=1;p,b=2"), one("a=1;p , b=2"));
        for other in ["b=2,a=1;p", "a=1,b=2", "a=1;p"] {
            assert_ne!(one("a=1;p,b=2"), one(other), "{other}");
        }
    }

    #[test]
    fn keys_are_tokens_and_values_have_no_separators() {
        let token = "!#$%&'*+-.^_`|~09azAZ";
        assert_eq!(one(&format!("{token}=1")).get(token).as_deref(), Some("1"));
        for bad in ["a b=1", "=1", "a=\"", "a=1;b c", "a=1;b=\\", "(=1"] {
            let baggage = one(&format!("good=1,{bad}"));
            assert_eq!((baggage.len(), baggage.dropped()), (1, 1), "{bad}");
        }
        assert!(Baggage::default().is_empty() && !one("a=1").is_empty());
    }

    #[test]
    fn nothing_to_keep_is_no_baggage_and_nothing_but_rubbish_is_counted() {
        assert!(read(&[]).is_none() && read(&[b"", b" , "]).is_none());
        let rubbish = one("a");
        assert_eq!((rubbish.len(), rubbish.dropped()), (0, 1));
        assert!(rubbish.to_header_value().is_none());
    }

    #[test]
    fn what_does_not_decode_is_replaced_or_left_alone() {
        for (raw, value) in [
            ("%FF%c3%A9", "\u{fffd}é"),
            ("1%", "1%"),
            ("%4%zz%%34", "%4%zz%4"),
        ] {
            let baggage = one(&format!("k={raw}"));
            assert_eq!(baggage.get("k").as_deref(), Some(value), "{raw}");
        }
    }

    #[test]
    fn insert_encodes_replaces_in_place_and_removes_duplicates() {
        let mut baggage = one("a=1;p,b=2,a=3");
        baggage.insert("a", "50% é\"\\,;=").unwrap();
        baggage.insert("c", "").unwrap();
        assert_eq!(printed(&baggage), "a=50%25%20%C3%A9%22%5C%2C%3B=,b=2,c=");
        assert_eq!(baggage.get("a").as_deref(), Some("50% é\"\\,;="));
        assert!(baggage.remove("b") && !baggage.remove("b") && baggage.len() == 2);
    }

    #[test]
    fn what_would_not_fit_is_refused_and_changes_nothing() {
        let mut baggage = one("a=1");
        assert_eq!(baggage.insert("b c", "1"), Err(error(HeaderErrorKind::Key)));
        for value in ["é".repeat(1500), "0".repeat(8193)] {
            assert_eq!(
                baggage.insert("b", &value),
                Err(error(HeaderErrorKind::Length))
            );
        }
        assert_eq!(printed(&baggage), "a=1");
    }
}
