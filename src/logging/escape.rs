//! Texts in a line: escaped, so that none can forge a line, and never longer than there is room.

use std::fmt::Write;

use crate::util::text::ELLIPSIS;

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Inside the quotes of a JSON string.
    Json,
    /// Inside quotes, as Rust writes it.
    Quoted,
    /// Without quotes: only what could forge a line.
    Bare,
}

/// What ends a line, steers a terminal, or turns the order of what follows.
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
        let is_quoting = (byte == b'"') | (byte == b'\\');
        // Whether the rest of Unicode is harmless takes a closer look.
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

/// Appends the text in at most `room` bytes. What does not fit is cut off and leaves a mark.
pub(super) fn push_escaped(out: &mut String, text: &str, room: usize, escape: Escape) {
    // All of it is looked at: that goes many bytes at a time, where stopping at the first goes one by one.
    let is_plain = || (text.bytes()).fold(true, |plain, byte| plain & escape.is_plain(byte));
    if text.len() <= room && is_plain() {
        return out.push_str(text);
    }
    let most = out.len() + room;
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
    fn what_could_forge_a_line_is_escaped() {
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
    fn what_is_too_long_is_cut_between_characters_and_marked() {
        for escape in [Escape::Json, Escape::Quoted, Escape::Bare] {
            assert_eq!(pushed("abcdef", 6, escape), "abcdef");
            assert_eq!(pushed("abcdefg", 6, escape), "abc…");
            assert_eq!(pushed("äöü", 5, escape), "ä…");
            assert_eq!(pushed("ab\ncd", 6, escape), "ab\\ncd");
            assert_eq!(pushed("ab\ncde", 6, escape), "ab…");
        }
    }
}
