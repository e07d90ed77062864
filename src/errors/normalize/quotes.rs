//! Quoted text: where it ends, and whether it identifies the fault.

/// A pair of quotation marks. Some have two closing marks.
pub(super) struct QuotePair {
    pub(super) open: char,
    close: [char; 2],
    /// True for marks that are also apostrophes: they open only after whitespace or a bracket, and close only at the end of
    /// a word.
    pub(super) is_apostrophe: bool,
}

const fn quote_pair(open: char, close: [char; 2]) -> QuotePair {
    QuotePair {
        open,
        close,
        is_apostrophe: matches!(open, '\'' | '‘'),
    }
}

pub(super) const QUOTE_COUNT: usize = 7;

/// The index of the double quote in [`QUOTES`].
pub(super) const DOUBLE_QUOTE: usize = 0;

pub(super) const QUOTES: [QuotePair; QUOTE_COUNT] = [
    quote_pair('"', ['"', '"']),
    quote_pair('`', ['`', '`']),
    quote_pair('\'', ['\'', '\'']),
    quote_pair('“', ['”', '”']),
    quote_pair('„', ['“', '”']),
    quote_pair('«', ['»', '»']),
    quote_pair('‘', ['’', '’']),
];

impl QuotePair {
    pub(super) fn is_closed_by(&self, mark: char) -> bool {
        self.close.contains(&mark)
    }
}

/// The longest quoted text that is kept, in bytes.
const MAX_IDENTIFIER: usize = 64;

/// Words before an identifier that is part of the program: an error about another column is another fault. Of fields only
/// missing ones, because callers choose the names of unknown ones.
const IDENTIFIER_PREFIXES: [&str; 5] =
    ["constraint", "relation", "column", "table", "missing field"];

/// The text between tonic's description of a gRPC code and the message of the status.
const AFTER_CODE: &str = ", message:";

/// Returns whether a quoted text identifies the fault, by the text before and after it: if so, the bytes after it that say so.
///
/// Text that may be data is never kept: names with digits (tenants, keys, dates), and words other than tonic's description
/// of a gRPC code.
pub(super) fn identifies_fault(before: &str, quoted: &str, after: &str) -> Option<usize> {
    let named = before.strip_suffix(' ').is_some_and(|before| {
        IDENTIFIER_PREFIXES
            .iter()
            .any(|word| ends_with_word(before, word))
    });
    let code = before
        .strip_suffix(": ")
        .is_some_and(|before| ends_with_word(before, "code"))
        && after.starts_with(AFTER_CODE);
    // Short in either case: longer text is rather data.
    if quoted.len() > MAX_IDENTIFIER {
        None
    } else if named && is_identifier(quoted) {
        Some(0)
    } else {
        (code && is_plain_words(quoted)).then_some(AFTER_CODE.len())
    }
}

/// Returns whether a text ends with the given words, ignoring ASCII case.
pub(super) fn ends_with_word(text: &str, word: &str) -> bool {
    let start = text.len().checked_sub(word.len());
    let Some((before, end)) = start.and_then(|start| text.split_at_checked(start)) else {
        return false;
    };
    end.eq_ignore_ascii_case(word) && !before.ends_with(|last: char| last.is_alphanumeric())
}

fn is_identifier(text: &str) -> bool {
    let is_word = |word: &str| {
        word.bytes().all(|byte| byte.is_ascii_alphabetic()) && !super::patterns::is_hex(word)
    };
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.split('_').all(is_word)
}

/// Returns whether a text is made of words only, as descriptions of gRPC codes are: `The service is currently unavailable`.
fn is_plain_words(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b' ')
}
