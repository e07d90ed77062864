//! Bounded texts.

use std::{
    borrow::Cow,
    error::Error,
    fmt::{self, Write},
    sync::Arc,
};

use super::error_chain::sources;

/// The end of a truncated text.
pub(crate) const ELLIPSIS: char = '…';

/// The longest character, in bytes of UTF-8.
pub(crate) const MAX_CHAR_BYTES: usize = 4;

/// Returns the beginning of a text, at most `max` bytes of whole characters.
pub(crate) fn truncate(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    // Three steps at most; 0 is a boundary.
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns the text, or its beginning with an ellipsis, at most `max` bytes.
pub(crate) fn truncated(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let kept = truncate(text, max.saturating_sub(ELLIPSIS.len_utf8()));
    Cow::Owned(format!("{kept}{ELLIPSIS}"))
}

/// Truncates a text into a box, because a short `String` may own a large buffer.
pub(crate) fn truncated_box(text: String, max: usize) -> Box<str> {
    if text.len() <= max {
        text.into_boxed_str()
    } else {
        truncated(&text, max).into_owned().into_boxed_str()
    }
}

pub(crate) fn truncated_arc(text: Arc<str>, max: usize) -> Arc<str> {
    if text.len() <= max {
        text
    } else {
        truncated(&text, max).into()
    }
}

pub(crate) fn truncated_cow(text: Cow<'static, str>, max: usize) -> Cow<'static, str> {
    match text {
        Cow::Borrowed(text) => truncated(text, max),
        Cow::Owned(text) => Cow::Owned(truncated_box(text, max).into_string()),
    }
}

/// Returns the `Display` text of a value, truncated. Stops the value as soon as it is too long.
pub(crate) fn display_bounded(value: impl fmt::Display, max: usize) -> Box<str> {
    let mut text = String::new();
    write_bounded(&mut text, max, format_args!("{value}"));
    truncated_box(text, max)
}

/// Formats a value as one line without control characters, of at most so many bytes: a name that comes from a peer must not break
/// a line of the log.
pub(crate) fn clean_text(value: impl fmt::Display, max: usize) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    display_bounded(value, max).chars().map(clean).collect()
}

/// Appends a formatted value until `out` is longer than `max`. A `Display` may be endless.
pub(crate) fn write_bounded(out: &mut String, max: usize, value: fmt::Arguments<'_>) {
    struct BoundedWriter<'a>(&'a mut String, usize);
    impl Write for BoundedWriter<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            let BoundedWriter(out, max) = self;
            // Accepts one more character than fits, by which the caller recognizes that the text is truncated.
            let room = (*max + MAX_CHAR_BYTES).saturating_sub(out.len());
            out.push_str(truncate(part, room));
            if out.len() > *max {
                Err(fmt::Error)
            } else {
                Ok(())
            }
        }
    }
    // An error means that the buffer is full or that the value failed. What was written before is kept.
    let _ = BoundedWriter(out, max).write_fmt(value);
}

/// Appends an error with its sources: `cannot load the order: connection reset`.
pub(crate) fn write_error_chain(out: &mut String, max: usize, error: &(dyn Error + 'static)) {
    // `from` is where the text of the parent begins.
    let (begin, mut from) = (out.len(), out.len());
    for error in sources(error) {
        let start = out.len();
        let sep = if start == begin { "" } else { ": " };
        write_bounded(out, max, format_args!("{sep}{error}"));
        // The parent may already end with the text of its source.
        let said = start + sep.len();
        match out.get(said..) {
            Some(own) if start > begin && out[from..start].ends_with(own) => out.truncate(start),
            _ => from = said,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_value_is_stopped() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("ä ")?;
                }
            }
        }
        let mut out = String::new();
        write_bounded(&mut out, 100, format_args!("{Endless}"));
        assert!((101..=104).contains(&out.len()), "{}", out.len());
        let text = display_bounded(Endless, 100);
        assert!(text.len() <= 100 && text.ends_with(ELLIPSIS), "{text}");
    }

    #[test]
    fn error_is_written_with_its_sources_each_of_them_once() {
        #[derive(Debug)]
        struct Says(&'static str, Option<Box<Says>>);
        impl fmt::Display for Says {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Says {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(self.1.as_deref()?)
            }
        }
        let reset = Says("reset", None);
        let quoted = Says("sending: reset", Some(reset.into()));
        let error = Says("cannot load", Some(quoted.into()));
        let mut out = String::from("error=");
        write_error_chain(&mut out, 99, &error);
        assert_eq!(out, "error=cannot load: sending: reset");
    }
}
