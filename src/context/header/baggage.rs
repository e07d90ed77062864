//! The `baggage` header of W3C Baggage: named values that the application sends along with a request.
//!
//! Baggage is user data. Never send it to third parties by default, and never use it as a metric label without a list of
//! allowed keys.

use std::{borrow::Cow, fmt, mem};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    BaggageMember, HeaderError, HeaderErrorKind,
    baggage_list::ListBuilder,
    baggage_member::{encode, is_token, parse_member},
};

/// Checked baggage: members in their order, duplicates and properties included.
///
/// It is stored as a header value and decoded when it is read, so a clone is a reference count. Baggage of a single
/// well-formed header shares that header's value: storing it and sending it on copies nothing, but keeps the buffer alive
/// that the server read it into. `Debug` shows the number of members, never their content.
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
    /// Most members: as many as the grammar of the specification allows (`list-member 0*179(..)`); at
    /// least 64 are required.
    pub const MAX_MEMBERS: usize = 180;
    /// Most bytes of the list, commas included: the minimum that the specification requires to be sent on.
    pub const MAX_BYTES: usize = 8192;

    /// Reads a request's baggage, repeated headers joined in order; `None` if there is no member, valid or dropped.
    ///
    /// A member that breaks the grammar, and one that no longer fits
    /// [`MAX_MEMBERS`](Self::MAX_MEMBERS) or [`MAX_BYTES`](Self::MAX_BYTES), is dropped whole and
    /// [counted](Self::dropped); the others stay. Empty members are skipped. Allocates only if
    /// something must be joined or left out.
    ///
    /// A member that breaks the grammar is dropped, and the others stay:
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use tower_keep::context::Baggage;
    ///
    /// let headers = HeaderMap::from_iter([(Baggage::HEADER, HeaderValue::from_static("tenant=acme, broken"))]);
    /// let baggage = Baggage::from_headers(&headers).expect("a member");
    /// assert_eq!((baggage.get("tenant").as_deref(), baggage.dropped()), (Some("acme"), 1));
    /// ```
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(Self::HEADER).iter();
        let first = values.next()?;
        // The usual case: one header, which is sent on as it came.
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
        let has_members = list.members > 0 || list.dropped > 0;
        has_members.then(|| Self {
            dropped: list.dropped,
            header: list.into_header_value(),
        })
    }

    /// Returns the number of members that were dropped when the headers were read.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Returns the decoded value of the first member with this key (keys are case-sensitive).
    pub fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        self.iter()
            .find(|member| member.key() == key)
            .map(|member| member.value())
    }

    /// Returns the members in order, duplicates included.
    pub fn iter(&self) -> impl Iterator<Item = BaggageMember<'_>> {
        let text = self.header.to_str().expect("baggage is ASCII");
        // No member contains a comma: it would be percent-encoded.
        let members = text
            .split(',')
            .map(str::trim_ascii)
            .filter(|text| !text.is_empty());
        members.map(|text| BaggageMember { text })
    }

    /// Returns the number of members, duplicates included, at most [`MAX_MEMBERS`](Self::MAX_MEMBERS).
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Sets `key` to `value`, percent-encoded as needed.
    ///
    /// The first member with this key is replaced in place, its properties included, and duplicates are removed; a new key
    /// goes to the end.
    ///
    /// # Errors
    ///
    /// A key that is not an HTTP token, or baggage that would exceed its bounds. Nothing changes then.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), HeaderError> {
        if !is_token(key) {
            return Err(error(HeaderErrorKind::Key));
        }
        // Encoding only adds bytes, so a value that is too long now cannot fit.
        if value.len() > Self::MAX_BYTES {
            return Err(error(HeaderErrorKind::Length));
        }
        let (new, mut is_placed) = (format!("{key}={}", encode(value)), false);
        // A new list, so that nothing has changed if a member does not fit.
        let mut list = ListBuilder::default();
        for member in self.iter() {
            if member.key() != key {
                list.try_push(member.text)?;
            // Later members with this key are left out.
            } else if !mem::replace(&mut is_placed, true) {
                list.try_push(&new)?;
            }
        }
        if !is_placed {
            list.try_push(&new)?;
        }
        self.header = list.into_header_value();
        Ok(())
    }

    /// Removes every member with this key. Returns `false` if there was none.
    pub fn remove(&mut self, key: &str) -> bool {
        if self.iter().all(|member| member.key() != key) {
            return false;
        }
        let mut list = ListBuilder::default();
        for member in self.iter().filter(|member| member.key() != key) {
            // Fits, since the list gets shorter.
            list.push(member.text);
        }
        self.header = list.into_header_value();
        true
    }

    /// Returns the header to send; `None` if it would be empty.
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

/// Compares the members in order, with properties and percent-encoding, but without white space between members and the
/// number of dropped ones.
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

/// Returns whether a header can be sent on as it came.
fn is_well_formed(header: &[u8]) -> bool {
    let commas = header.iter().filter(|byte| **byte == b',').count();
    header.len() <= Baggage::MAX_BYTES
        // There is one more member than commas.
        && commas < Baggage::MAX_MEMBERS
        && header
            .split(|byte| *byte == b',')
            .all(|member| parse_member(member).is_some())
}

pub(super) const fn error(kind: HeaderErrorKind) -> HeaderError {
    HeaderError::new("baggage", kind)
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
    fn baggage_drops_a_malformed_member_whole_and_keeps_the_others() {
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
    fn baggage_joins_repeated_headers_in_order() {
        check(&read(&[b"a=1", b"b=2"]).unwrap(), "a=1,b=2", 0);
    }

    #[test]
    fn baggage_bounds_are_exact_to_the_member_and_the_byte() {
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
    fn baggage_of_a_single_well_formed_header_is_not_copied() {
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
    fn baggage_properties_are_decoded() {
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
    fn baggage_keys_are_tokens_and_values_have_no_separators() {
        let token = "!#$%&'*+-.^_`|~09azAZ";
        assert_eq!(one(&format!("{token}=1")).get(token).as_deref(), Some("1"));
        for bad in ["a b=1", "=1", "a=\"", "a=1;b c", "a=1;b=\\", "(=1"] {
            let baggage = one(&format!("good=1,{bad}"));
            assert_eq!((baggage.len(), baggage.dropped()), (1, 1), "{bad}");
        }
        assert!(Baggage::default().is_empty() && !one("a=1").is_empty());
    }

    #[test]
    fn baggage_is_absent_without_members_and_counts_invalid_ones() {
        assert!(read(&[]).is_none() && read(&[b"", b" , "]).is_none());
        let rubbish = one("a");
        assert_eq!((rubbish.len(), rubbish.dropped()), (0, 1));
        assert!(rubbish.to_header_value().is_none());
    }

    #[test]
    fn baggage_value_that_does_not_decode_is_replaced_or_unchanged() {
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
    fn baggage_insert_encodes_replaces_in_place_and_removes_duplicates() {
        let mut baggage = one("a=1;p,b=2,a=3");
        baggage.insert("a", "50% é\"\\,;=").unwrap();
        baggage.insert("c", "").unwrap();
        assert_eq!(printed(&baggage), "a=50%25%20%C3%A9%22%5C%2C%3B=,b=2,c=");
        assert_eq!(baggage.get("a").as_deref(), Some("50% é\"\\,;="));
        assert!(baggage.remove("b") && !baggage.remove("b") && baggage.len() == 2);
    }

    #[test]
    fn baggage_insert_that_exceeds_the_bounds_changes_nothing() {
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
