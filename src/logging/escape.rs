//! Escaping of texts, so that none can forge a line or exceed its room.

use std::fmt::Write;

use crate::util::text::ELLIPSIS;

/// The smallest room that a text is written into, in bytes.
pub(super) const MIN_ROOM: usize = 8;

/// The number of bytes that are checked at once.
const WORD: usize = 8;

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
    /// Returns whether a text is written as it is. One with other characters than ASCII is looked at one by one.
    #[inline]
    pub(super) fn is_plain(self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let (words, rest) = bytes.as_chunks::<WORD>();
        let is_plain = |word: &[u8; WORD]| self.is_plain_word(u64::from_ne_bytes(*word));
        // The last word overlaps the one before, since most texts are short and a loop over single bytes takes longer.
        let is_last_plain = match bytes.last_chunk::<WORD>() {
            _ if rest.is_empty() => true,
            Some(last) => is_plain(last),
            None => {
                let mut word = [b' '; WORD];
                word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                is_plain(&word)
            }
        };
        is_last_plain && words.iter().all(is_plain)
    }

    /// Returns whether eight bytes are written as they are: printable ASCII that is neither quote nor backslash.
    ///
    /// A bit may be wrongly set by the carry of a byte below, but only if that byte sets its own.
    #[inline]
    fn is_plain_word(self, word: u64) -> bool {
        const ONES: u64 = u64::from_ne_bytes([1; WORD]);
        const HIGH: u64 = ONES << 7;
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let is_control = word.wrapping_sub(ONES * b' ' as u64) & !word;
        let is_delete_or_above = word.wrapping_add(ONES) | word;
        let mut found = is_control | is_delete_or_above;
        if self != Escape::Bare {
            found |= is_zero(word ^ (ONES * b'"' as u64)) | is_zero(word ^ (ONES * b'\\' as u64));
        }
        found & HIGH == 0
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
#[inline]
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
#[inline]
pub(super) fn push_escaped(out: &mut String, text: &str, room: usize, escape: Escape) {
    if text.len() <= room && escape.is_plain(text) {
        return out.push_str(text);
    }
    push_escaped_chars(out, text, room, escape);
}

fn push_escaped_chars(out: &mut String, text: &str, room: usize, escape: Escape) {
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
    fn escape_looks_at_every_byte_of_a_text() {
        let escaped = |c: char, escape| match (c, escape) {
            ('"' | '\\', Escape::Bare) => false,
            (c, _) => c == '"' || c == '\\' || c.is_control(),
        };
        for escape in [Escape::Json, Escape::Quoted, Escape::Bare] {
            for c in '\0'..='\u{ff}' {
                for len in 0..20 {
                    for at in 0..=len {
                        let (before, after) = ("~".repeat(at), " ".repeat(len - at));
                        let text = pushed(&format!("{before}{c}{after}"), 99, escape);
                        let kept = text == format!("{before}{c}{after}");
                        assert_eq!(kept, !escaped(c, escape), "{c:?} in {text:?}");
                        assert!(text.starts_with(&before) && text.ends_with(&after));
                    }
                }
            }
        }
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
