//! Texts without credentials: a collector is not the place for them.

use crate::{ops::redact::redacted, util::credentials::REDACTED};

pub(super) use crate::util::credentials::{REDACTED as REDACTED_VALUE, looks_like_credential};

/// Returns a text without the credentials in it. One that has none stays as it is, with its lines.
pub(super) fn safe_text(text: String) -> String {
    let safe = redacted(&text);
    match safe.contains(REDACTED) {
        true => safe,
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_credential_stays_as_it_is() {
        for (text, safe) in [
            ("one  line\n\tand another", "one  line\n\tand another"),
            ("password=1\nx", "password=REDACTED x"),
            ("GET http://ann:1@db/x", "GET http://REDACTED@db/x"),
        ] {
            assert_eq!(safe_text(text.to_owned()), safe);
        }
    }
}
