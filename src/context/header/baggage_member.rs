use std::{borrow::Cow, str};

use percent_encoding::{
    AsciiSet, CONTROLS, PercentEncode, percent_decode_str, utf8_percent_encode,
};

/// A member of [`Baggage`](super::Baggage), decoded when it is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BaggageMember<'a> {
    pub(super) text: &'a str,
}

impl<'a> BaggageMember<'a> {
    /// Returns the name as it came.
    pub fn key(&self) -> &'a str {
        split_pair(self.key_and_value()).0
    }

    /// Returns the percent-decoded value. Octets that are not UTF-8 become U+FFFD, a `%` without two hex
    /// digits stays.
    pub fn value(&self) -> Cow<'a, str> {
        split_pair(self.key_and_value())
            .1
            .map_or(Cow::Borrowed(""), decode)
    }

    /// Returns the properties in order: names, and percent-decoded values of those that have one.
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, Option<Cow<'a, str>>)> + use<'a> {
        let properties = self.text.split(';').skip(1).map(split_pair);
        properties.map(|(key, value)| (key, value.map(decode)))
    }

    fn key_and_value(&self) -> &'a str {
        self.text.split(';').next().unwrap_or_default()
    }
}

/// Returns the member as text, if it is `key=value` with any number of `;key` and `;key=value`.
pub(super) fn parse_member(member: &[u8]) -> Option<&str> {
    let text = str::from_utf8(member).ok()?;
    let mut parts = text.split(';').map(split_pair);
    // The first part is the member itself, all others are properties.
    let (key, value) = parts.next()?;
    let is_valid = is_token(key)
        && value.is_some_and(is_value)
        && parts.all(|(key, value)| is_token(key) && value.is_none_or(is_value));
    is_valid.then_some(text)
}

/// Returns key and value without the white space around them.
fn split_pair(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((key, value)) => (key.trim_ascii(), Some(value.trim_ascii())),
        None => (text.trim_ascii(), None),
    }
}

/// Returns whether the key is a token of RFC 7230 §3.2.6.
pub(super) fn is_token(key: &str) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !key.is_empty() && key.bytes().all(tchar)
}

fn is_value(value: &str) -> bool {
    value.bytes().all(is_baggage_octet)
}

/// Returns whether the specification calls the byte a `baggage-octet`.
const fn is_baggage_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// The bytes to percent-encode: every ASCII character but `baggage-octet`, and `%` itself.
const PERCENT_ENCODED: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b',')
    .add(b';')
    .add(b'\\')
    .add(b'%');

pub(super) fn encode(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, &PERCENT_ENCODED)
}

/// Decodes a value. Octets that are not UTF-8 become U+FFFD, a `%` without two hex digits stays.
fn decode(value: &str) -> Cow<'_, str> {
    percent_decode_str(value).decode_utf8_lossy()
}
