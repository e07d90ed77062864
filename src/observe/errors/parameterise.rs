//! Messages with their variable parts taken out, so that one fault stays one group.

#[cfg(test)]
mod tests;

use super::shapes;
use super::text::head;

/// How much of a message [`parameterise`] reads, in bytes.
pub const READ_LIMIT: usize = 1024;

/// The longest text [`parameterise`] returns, in bytes.
///
/// It is shorter than [`READ_LIMIT`] so that a long message is cut at the same place whatever its variable
/// parts were.
pub const RESULT_LIMIT: usize = 512;

/// Words longer than this are data, whatever they look like.
const LONGEST_WORD: usize = 64;

/// Stands for the text that was cut off.
const CUT: char = '…';

/// Replaces the variable parts of a message by placeholders.
///
/// | placeholder | what it stands for |
/// |---|---|
/// | `<str>` | text in `"double"` or `'single'` quotes or `` `backticks` ``; the apostrophe of "can't" is none |
/// | `<num>` | whole and decimal numbers, versions, with their sign; a unit stays: `30ms` is `<num>ms` |
/// | `<hex>` | `0x…`, and eight or more hex digits with both a letter and a decimal digit among them |
/// | `<uuid>` | a UUID with its hyphens |
/// | `<id>` | words from 20 letters with digits in two places (ULIDs, nanoids, keys), and any word over 64 |
/// | `<ip>` | an IPv4 address with or without a port, an IPv6 address |
/// | `<date>` | an ISO 8601 date, date and time, or time of day down to the second |
/// | `<email>` | an e-mail address |
/// | `<path>` | path, query and fragment of a URL |
///
/// Of a URL the scheme and the host stay, because they say *which* peer failed; a user name and password
/// are dropped. Numbers inside a host are replaced like any others. Line numbers in `src/main.rs:12:5` are
/// numbers. Words that mix letters and digits, such as `utf8`, `E0308` or `4xx`, stay as they are. Blanks
/// and control characters become one space.
///
/// What it does not do is tell a number that means something from one that does not: `status 503` and
/// `status 500` are one text. Put such a code into the kind of the record.
///
/// Reads at most [`READ_LIMIT`] bytes, in time that grows with their number only, and returns at most
/// [`RESULT_LIMIT`] bytes, ending in `…` if something was cut off. Applied to its own result it changes
/// nothing.
///
/// ```
/// use tower_keep::errors::parameterise;
///
/// assert_eq!(parameterise("order 4711 not found after 30ms"), "order <num> not found after <num>ms");
/// assert_eq!(parameterise("can't open 'a.txt'"), "can't open <str>");
/// assert_eq!(parameterise("http://joe:pw@stock:80/items/7?k=v: no"), "http://stock:<num><path>: no");
/// ```
#[must_use]
pub fn parameterise(message: &str) -> String {
    let text = head(message, READ_LIMIT);
    let scan = Scan {
        text,
        cut: text.len() < message.len(),
        at: 0,
        out: String::with_capacity(text.len().min(RESULT_LIMIT)),
        no_email_before: 0,
        unclosed: [false; 3],
        authority_end: None,
    };
    scan.run()
}

/// One pass over a text.
///
/// What stands *before* the current place is always judged by the result so far, never by the text: so a
/// second pass over the result sees the very same, and finds nothing new.
struct Scan<'a> {
    text: &'a str,
    /// The message goes on behind `text`.
    cut: bool,
    at: usize,
    out: String,
    /// Before this offset no e-mail address begins. Keeps the search linear on `a.a.a.a…`.
    no_email_before: usize,
    /// Quotes known to have no closing one ahead. Keeps the search linear on `'a 'a 'a…`.
    unclosed: [bool; 3],
    /// Where the authority of the URL ends that is being read.
    authority_end: Option<usize>,
}

/// What was read, and what is to be written for it: a placeholder, then text that is kept.
struct Token<'a> {
    end: usize,
    placeholder: &'static str,
    kept: &'a str,
}

impl<'a> Token<'a> {
    fn keep(end: usize, kept: &'a str) -> Self {
        Self {
            end,
            placeholder: "",
            kept,
        }
    }

    fn replace(end: usize, placeholder: &'static str) -> Self {
        Self {
            end,
            placeholder,
            kept: "",
        }
    }
}

impl<'a> Scan<'a> {
    fn run(mut self) -> String {
        while let Some(token) = self.token() {
            let room = RESULT_LIMIT - CUT.len_utf8() - self.out.len();
            if token.placeholder.len() + token.kept.len() > room {
                self.cut = true;
                break;
            }
            self.out.push_str(token.placeholder);
            self.out.push_str(token.kept);
            self.at = token.end;
        }
        self.out.truncate(self.out.trim_end().len());
        if self.cut {
            self.out.push(CUT);
        }
        self.out
    }

    fn token(&mut self) -> Option<Token<'a>> {
        let at = self.at;
        let next = self.text[at..].chars().next()?;
        Some(match next {
            blank if is_blank(blank) => self.blank(),
            '"' => self.quoted(0, '"'),
            '`' => self.quoted(1, '`'),
            '\'' => self.quoted(2, '\''),
            '+' | '-' => self.signed(),
            ':' => self.colon(),
            '/' | '?' | '#' if self.authority_end == Some(at) => self.url_path(),
            _ if next.is_ascii_alphanumeric() => self.word(at),
            _ => self.literal(at + next.len_utf8()),
        })
    }

    fn literal(&self, end: usize) -> Token<'a> {
        Token::keep(end, &self.text[self.at..end])
    }

    fn before(&self) -> Option<char> {
        self.out.chars().next_back()
    }

    fn blank(&self) -> Token<'a> {
        let rest = &self.text[self.at..];
        let end = self.text.len() - rest.trim_start_matches(is_blank).len();
        Token::keep(end, if self.out.is_empty() { "" } else { " " })
    }

    fn word(&mut self, at: usize) -> Token<'a> {
        let text = self.text;
        let end = shapes::word_end(text, at);
        let word = &text[at..end];
        // The unit that an earlier pass kept: nothing may begin with it.
        if self.out.ends_with("<num>") && shapes::is_unit(word) {
            return Token::keep(end, word);
        }
        if let Some(end) = self.email(at) {
            return Token::replace(end, "<email>");
        }
        if let Some(end) = shapes::uuid(text, at) {
            return Token::replace(end, "<uuid>");
        }
        if let Some(end) = shapes::date(text, at) {
            return Token::replace(end, "<date>");
        }
        if let Some(end) = shapes::ipv4(text, at).or_else(|| shapes::ipv6(text, at)) {
            return Token::replace(end, "<ip>");
        }
        if shapes::is_hex(word) {
            return Token::replace(end, "<hex>");
        }
        let has_letters = word.bytes().any(|byte| byte.is_ascii_alphabetic());
        if has_letters && (word.len() > LONGEST_WORD || shapes::is_id(word)) {
            return Token::replace(end, "<id>");
        }
        match shapes::number(text, at) {
            Some((digits, end)) => Token {
                end,
                placeholder: "<num>",
                kept: &text[digits..end],
            },
            None => Token::keep(end, word),
        }
    }

    /// A plus or minus belongs to the number behind it unless it stands between two things.
    fn signed(&mut self) -> Token<'a> {
        let between = |before: char| {
            before.is_alphanumeric()
                || matches!(before, '>' | ')' | ']' | '}' | '+' | '-' | '_' | '/')
        };
        let after = self.at + 1;
        let digit = self
            .text
            .as_bytes()
            .get(after)
            .is_some_and(u8::is_ascii_digit);
        if digit && !self.before().is_some_and(between) {
            let token = self.word(after);
            if token.placeholder == "<num>" {
                return token;
            }
        }
        self.literal(after)
    }

    fn email(&mut self, at: usize) -> Option<usize> {
        if at < self.no_email_before {
            return None;
        }
        let is_local = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
        };
        let local_end = shapes::run(self.text, at, is_local);
        let has_sign = self.text.as_bytes().get(local_end) == Some(&b'@');
        let end = has_sign
            .then(|| shapes::domain(self.text, local_end + 1))
            .flatten();
        if end.is_none() {
            self.no_email_before = local_end;
        }
        end
    }

    fn quoted(&mut self, kind: usize, quote: char) -> Token<'a> {
        let open = self.at;
        let single = quote == '\'';
        let opens = !self.is_escaped(open) && (!single || self.may_open_single());
        if !opens {
            return self.literal(open + 1);
        }
        let closes =
            |at: usize| !self.is_escaped(at) && (!single || shapes::ends(self.text, at + 1));
        let ahead = if self.unclosed[kind] {
            ""
        } else {
            &self.text[open + 1..]
        };
        let close = ahead
            .match_indices(quote)
            .map(|(offset, _)| open + 1 + offset)
            .find(|at| closes(*at));
        match close {
            Some(close) => Token::replace(close + 1, "<str>"),
            // The closing quote may lie behind the cut; data that differs from call to call must not get
            // through.
            None if self.cut && !single => Token::replace(self.text.len(), "<str>"),
            None => {
                self.unclosed[kind] = true;
                self.literal(open + 1)
            }
        }
    }

    fn may_open_single(&self) -> bool {
        let before = self
            .before()
            .is_none_or(|before| before == ' ' || "([{<=:,;/|+-".contains(before));
        let after = self.text[self.at + 1..].chars().next();
        before && after.is_some_and(|after| !is_blank(after))
    }

    fn is_escaped(&self, at: usize) -> bool {
        self.text.as_bytes()[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count()
            % 2
            == 1
    }

    fn colon(&mut self) -> Token<'a> {
        let at = self.at;
        let before = self.before();
        let after_name = before.is_some_and(|before| before.is_ascii_alphanumeric());
        let rest = &self.text[at..];
        if after_name && rest.starts_with("://") {
            return self.url_authority(at + "://".len());
        }
        let may_begin = rest.starts_with("::") && !after_name && !matches!(before, Some('>' | ':'));
        if may_begin && let Some(end) = shapes::ipv6(self.text, at) {
            return Token::replace(end, "<ip>");
        }
        self.literal(at + 1)
    }

    /// Keeps `://`, skips the user name and password, and remembers where the host must end. The host is
    /// read like any text.
    fn url_authority(&mut self, from: usize) -> Token<'a> {
        let ends_authority = |next: char| is_blank(next) || "/?#\"'`<>(){}\\…".contains(next);
        let rest = &self.text[from..];
        let authority = &rest[..rest.find(ends_authority).unwrap_or(rest.len())];
        self.authority_end = Some(from + authority.len());
        let host = authority.rfind('@').map_or(0, |sign| sign + 1);
        Token::keep(from + host, "://")
    }

    fn url_path(&self) -> Token<'a> {
        let ends_path = |next: char| is_blank(next) || "\"'`<>)]}|\\…".contains(next);
        let rest = &self.text[self.at..];
        let run = &rest[..rest.find(ends_path).unwrap_or(rest.len())];
        match run.trim_end_matches(['.', ',', ':', ';', '!', '?']).len() {
            0 => self.literal(self.at + 1),
            length => Token::replace(self.at + length, "<path>"),
        }
    }
}

fn is_blank(next: char) -> bool {
    next.is_whitespace() || next.is_control()
}
