use http::HeaderValue;

use super::{Baggage, HeaderError, HeaderErrorKind, baggage::error, baggage_member::parse_member};

/// A list under construction that stays within the bounds.
#[derive(Default)]
pub(super) struct ListBuilder {
    text: String,
    pub(super) members: usize,
    pub(super) dropped: usize,
}

impl ListBuilder {
    /// Adds the valid members of a header, and counts the others.
    pub(super) fn parse_header(&mut self, header: &[u8]) {
        let members = header.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for member in members.filter(|member| !member.is_empty()) {
            let is_added = parse_member(member).is_some_and(|text| self.push(text));
            self.dropped += usize::from(!is_added);
        }
    }

    /// Adds a valid member.
    pub(super) fn try_push(&mut self, member: &str) -> Result<(), HeaderError> {
        let fits = self.push(member);
        fits.then_some(()).ok_or(error(HeaderErrorKind::Length))
    }

    /// Adds a valid member. Returns `false` if it does not fit.
    pub(super) fn push(&mut self, member: &str) -> bool {
        let comma = if self.members > 0 { "," } else { "" };
        let bytes = self.text.len() + comma.len() + member.len();
        if self.members == Baggage::MAX_MEMBERS || bytes > Baggage::MAX_BYTES {
            return false;
        }
        self.text.extend([comma, member]);
        self.members += 1;
        true
    }

    pub(super) fn into_header_value(self) -> HeaderValue {
        HeaderValue::try_from(self.text).expect("checked members fit a header")
    }
}
