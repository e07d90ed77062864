//! The texts of checks: bounded, one line, without credentials.

use std::{error::Error, sync::Arc};

use crate::{
    ops::redact::redacted,
    util::{
        hook::catch_hook,
        text::{truncate, truncated, write_error_chain},
    },
};

/// The maximum length of a text, in bytes: a line of a terminal or two, and a snapshot holds one for each component.
pub(super) const MAX_TEXT: usize = 256;
/// The part of a text that is looked at, in bytes. Longer than what is kept, since redacting shortens it.
const MAX_READ: usize = 2_048;

/// Returns the texts of an error and its sources, safe to show. One that panics while it is formatted has none.
pub(super) fn error_text(error: &(dyn Error + 'static)) -> Arc<str> {
    let mut text = String::new();
    match catch_hook(|| write_error_chain(&mut text, MAX_READ, error)) {
        Some(()) if !text.is_empty() => safe_text(&text),
        _ => "an error without a text".into(),
    }
}

/// Returns a text in one line, without credentials, of at most [`MAX_TEXT`] bytes.
pub(super) fn safe_text(text: &str) -> Arc<str> {
    truncated(&redacted(truncate(text, MAX_READ)), MAX_TEXT).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fmt, io};

    #[test]
    fn credentials_are_redacted() {
        for (text, expected) in [
            (
                "cannot reach postgres://app:hunter2@db:5432/orders: refused",
                "cannot reach postgres://REDACTED@db:5432/orders: refused",
            ),
            ("redis://:p@ss@cache/0", "redis://REDACTED@cache/0"),
            ("http://ledger/users/a@b.c", "http://ledger/users/a@b.c"),
            (
                "http://ledger:8080/users/a@b.c",
                "http://ledger:8080/users/a@b.c",
            ),
            (
                "GET https://api/x?user=7&api_key=abc&n=1 failed",
                "GET https://api/x?user=7&api_key=REDACTED&n=1 failed",
            ),
            (
                "host=db user=app password=hunter2 port=5432",
                "host=db user=app password=REDACTED port=5432",
            ),
            (
                "Server=db;Password=hunter2;Port=1",
                "Server=db;Password=REDACTED;Port=1",
            ),
            (
                "Authorization: Bearer abc.def rejected",
                "Authorization: Bearer REDACTED rejected",
            ),
            ("sent Bearer abc.def", "sent Bearer REDACTED"),
            ("basic aGk6aGk=", "basic REDACTED"),
            ("password: hunter2", "password: REDACTED"),
            ("DB_PASSWORD= hunter2", "DB_PASSWORD= REDACTED"),
            ("duplicate key: orders", "duplicate key: orders"),
            ("redis://:p/ss@cache/0", "redis://REDACTED@cache/0"),
            ("amqp://app:p?s@broker", "amqp://REDACTED@broker"),
            ("http://[::1]:80/a@b", "http://REDACTED@b"),
            (
                r#"{"user":"app","token":"abc"}"#,
                r#"{"user":"app","token":REDACTED"#,
            ),
            (r#"{"password": "hunter2"}"#, r#"{"password": REDACTED"#),
            ("token= is empty", "token= REDACTED empty"),
        ] {
            assert_eq!(&*safe_text(text), expected, "{text}");
        }
    }

    #[test]
    fn text_is_one_line_of_bounded_length() {
        assert_eq!(
            &*safe_text(" first\nsecond\t\u{1b}[31m \r\n"),
            "first second [31m"
        );
        let long = safe_text(&"ä".repeat(5_000));
        assert!(
            (250..=MAX_TEXT).contains(&long.len()) && long.ends_with('…'),
            "{long}"
        );
        assert_eq!(safe_text(&"a".repeat(MAX_TEXT)).len(), MAX_TEXT);
    }

    #[test]
    fn error_has_the_text_of_its_sources() {
        let error = io::Error::other(io::Error::other("refused"));
        assert_eq!(&*error_text(&error), "refused");
    }

    #[test]
    fn error_that_panics_or_is_silent_has_a_text() {
        #[derive(Debug)]
        struct Odd(bool);
        impl fmt::Display for Odd {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                assert!(!self.0, "odd");
                Ok(())
            }
        }
        impl Error for Odd {}
        assert_eq!(&*error_text(&Odd(true)), "an error without a text");
        assert_eq!(&*error_text(&Odd(false)), "an error without a text");
    }
}
