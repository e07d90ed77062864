//! Quoted text: where it ends, and when it says which fault it is.

/// A pair of marks. Some open with one and close with either of two.
pub(super) struct QuotePair {
    pub(super) open: char,
    close: [char; 2],
    /// Also an apostrophe: opens behind a blank or a bracket only, and closes where a word may end.
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

/// Index of the double quote.
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

/// The longest name that is kept, in bytes.
const MAX_IDENTIFIER: usize = 64;

/// Words in front of a name that programs choose, not its users: a fault of another column is another fault. Of fields
/// only those that are missing: which ones are unknown, whoever calls decides.
const IDENTIFIER_PREFIXES: [&str; 5] =
    ["constraint", "relation", "column", "table", "missing field"];

/// Returns whether a quoted text says which fault it is, by what stands before and behind it. Nothing is kept that may be
/// data: names with digits in them (tenants, keys, dates), and any words but those that tonic describes a code with.
pub(super) fn identifies_fault(before: &str, quoted: &str, after: &str) -> bool {
    let named = before.strip_suffix(' ').is_some_and(|before| {
        IDENTIFIER_PREFIXES
            .iter()
            .any(|word| ends_with_word(before, word))
    });
    let code = before
        .strip_suffix(": ")
        .is_some_and(|before| ends_with_word(before, "code"))
        && after.starts_with(", message: ");
    quoted.len() <= MAX_IDENTIFIER
        && (named && is_identifier(quoted) || code && is_plain_words(quoted))
}

/// Returns whether a text ends with these words, in letters of any case.
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

/// As the codes of gRPC are described: `The service is currently unavailable`.
fn is_plain_words(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b' ')
}
