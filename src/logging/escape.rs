//! Escaping of texts, so that none can forge a line or exceed its room.

use std::fmt::Write;

use crate::util::text::ELLIPSIS;

/// The smallest room that a text is written into, in bytes.
pub(super) const MIN_ROOM: usize = 8;

/// The way a text is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Inside the quotes of a JSON string.
    Json,
    /// Inside quotes, as a Rust string.
    Quoted,
    /// Without quotes: only characters that could forge a line.
    Bare,
}

/// Returns whether a character can break a line, control a terminal, or change the direction of text.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

impl Escape {
    fn is_plain(self, byte: u8) -> bool {
        // Without branches, for the loop that is vectorized.
        let is_quoting = (byte == b'"') | (byte == b'\\');
        // Other characters than ASCII are checked one by one.
        (b' '..0x7f).contains(&byte) & (!is_quoting | (self == Escape::Bare))
    }

    fn push_char(self, out: &mut String, c: char) {
        match (self, c) {
            (Escape::Json | Escape::Quoted, '"' | '\\') => out.extend(['\\', c]),
            (_, '\n') => out.push_str("\\n"),
            (_, '\r') => out.push_str("\\r"),
            (_, '\t') => out.push_str("\\t"),
            (Escape::Json, c) if needs_escape(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            (_, c) if needs_escape(c) => out.extend(c.escape_unicode()),
            (_, c) => out.push(c),
        }
    }
}

/// Appends a name and its value in at most `room` bytes. Returns `false` and appends nothing if there is no room.
///
/// `write_value` gets the room that is left after the name, and may exceed it.
pub(super) fn push_pair(
    out: &mut String,
    room: usize,
    write_name: impl FnOnce(&mut String),
    write_value: impl FnOnce(&mut String, usize),
) -> bool {
    let (start, end) = (out.len(), out.len() + room);
    write_name(out);
    let left = end.saturating_sub(out.len());
    write_value(out, left);
    let fits = out.len() <= end && left >= MIN_ROOM;
    if !fits {
        out.truncate(start);
    }
    fits
}

/// Appends the escaped text in at most `room` bytes. A truncated text ends in `…`.
pub(super) fn push_escaped(out: &mut String, text: &str, room: usize, escape: Escape) {
    // Reads all bytes without an early exit, so that the loop is vectorized.
    let is_plain = || (text.bytes()).fold(true, |plain, byte| plain & escape.is_plain(byte));
    if text.len() <= room && is_plain() {
        return out.push_str(text);
    }
    let most = out.len() + room;
    // The last place after which the ellipsis still fits.
    let mut cut = out.len();
    for c in text.chars() {
        escape.push_char(out, c);
        if out.len() > most {
            out.truncate(cut);
            return out.push(ELLIPSIS);
        }
        if out.len() + ELLIPSIS.len_utf8() <= most {
            cut = out.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(text: &str, room: usize, escape: Escape) -> String {
        let mut out = String::from("|");
        push_escaped(&mut out, text, room, escape);
        out.split_off(1)
    }

    #[test]
    fn escape_covers_characters_that_could_forge_a_line() {
        let text = "a\"b\\c\n\r\t\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}é";
        assert_eq!(
            pushed(text, 99, Escape::Json),
            "a\\\"b\\\\c\\n\\r\\t\\u001b[2J\\u007f\\u0085\\u2028\\u202eé"
        );
        assert_eq!(
            pushed(text, 99, Escape::Quoted),
            "a\\\"b\\\\c\\n\\r\\t\\u{1b}[2J\\u{7f}\\u{85}\\u{2028}\\u{202e}é"
        );
        assert_eq!(
            pushed(text, 99, Escape::Bare),
            "a\"b\\c\\n\\r\\t\\u{1b}[2J\\u{7f}\\u{85}\\u{2028}\\u{202e}é"
        );
    }

    #[test]
    fn escape_truncates_between_characters_with_ellipsis() {
        for escape in [Escape::Json, Escape::Quoted, Escape::Bare] {
            assert_eq!(pushed("abcdef", 6, escape), "abcdef");
            assert_eq!(pushed("abcdefg", 6, escape), "abc…");
            assert_eq!(pushed("äöü", 5, escape), "ä…");
            assert_eq!(pushed("ab\ncd", 6, escape), "ab\\ncd");
            assert_eq!(pushed("ab\ncde", 6, escape), "ab…");
        }
    }
}
