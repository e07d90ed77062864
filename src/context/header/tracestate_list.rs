use http::HeaderValue;

use super::{HeaderError, HeaderErrorKind, Tracestate, tracestate::error};

/// Members with more bytes than this are the first to be dropped.
const LARGE_MEMBER_LEN: usize = 128;

/// The members of a list that is being checked. On the stack, so that sending a header on costs no allocation.
#[derive(Default)]
pub(super) struct MemberList<'a> {
    slots: [(&'a str, &'a str); Tracestate::MAX_MEMBERS],
    len: usize,
}

impl<'a> MemberList<'a> {
    pub(super) fn as_slice(&self) -> &[(&'a str, &'a str)] {
        &self.slots[..self.len]
    }

    pub(super) fn parse_header(&mut self, header: &'a HeaderValue) -> Result<(), HeaderError> {
        let text = header.to_str().map_err(|_| error(HeaderErrorKind::Value))?;
        for member in text
            .split(',')
            .map(str::trim_ascii)
            .filter(|member| !member.is_empty())
        {
            let (key, value) = member
                .split_once('=')
                .ok_or(error(HeaderErrorKind::Separator))?;
            self.push(key, value)?;
        }
        Ok(())
    }

    /// Adds a member that came with a header.
    pub(super) fn push(&mut self, key: &'a str, value: &'a str) -> Result<(), HeaderError> {
        if !is_key(key) {
            return Err(error(HeaderErrorKind::Key));
        }
        if !is_value(value) {
            return Err(error(HeaderErrorKind::Value));
        }
        // The leftmost is the most recent. Only the system that wrote the other one loses a member.
        if self.as_slice().iter().any(|(found, _)| *found == key) {
            return Ok(());
        }
        if self.len == Tracestate::MAX_MEMBERS {
            return Err(error(HeaderErrorKind::TooManyMembers));
        }
        self.push_unchecked((key, value));
        Ok(())
    }

    /// Adds a valid member, unless the list is full.
    pub(super) fn push_unchecked(&mut self, member: (&'a str, &'a str)) {
        if let Some(slot) = self.slots.get_mut(self.len) {
            *slot = member;
            self.len += 1;
        }
    }

    /// Returns the length of the header in bytes.
    pub(super) fn header_len(&self) -> usize {
        self.as_slice()
            .iter()
            .map(|member| member_len(member) + 1)
            .sum::<usize>()
            // There is one comma less than members.
            .saturating_sub(1)
    }

    /// Drops members until the list fits: large ones first, then any, from the right. Never drops the first `keep_first`,
    /// at most one, which always fits.
    pub(super) fn shrink_to_fit(mut self, keep_first: usize) -> Self {
        // Ends: the largest member has 513 bytes, and so fits alone.
        while self.header_len() > Tracestate::MAX_BYTES {
            let large = self.as_slice()[keep_first..]
                .iter()
                .rposition(|member| member_len(member) > LARGE_MEMBER_LEN);
            let dropped = large.map_or(self.len - 1, |at| at + keep_first);
            self.slots.copy_within(dropped + 1..self.len, dropped);
            self.len -= 1;
        }
        self
    }

    pub(super) fn to_header_value(&self) -> HeaderValue {
        let mut text = String::with_capacity(self.header_len());
        for (key, value) in self.as_slice() {
            if !text.is_empty() {
                text.push(',');
            }
            text.extend([key, "=", value]);
        }
        HeaderValue::try_from(text).expect("printable ASCII fits a header")
    }
}

fn member_len((key, value): &(&str, &str)) -> usize {
    key.len() + 1 + value.len()
}

fn is_key(key: &str) -> bool {
    let starts = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let continues = |byte: &u8| starts(byte) || b"_-*/@".contains(byte);
    key.len() <= 256
        && key.as_bytes().first().is_some_and(starts)
        && key.as_bytes().iter().all(continues)
}

fn is_value(value: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(allowed)
}
