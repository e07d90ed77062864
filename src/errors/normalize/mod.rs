//! Messages with their variable parts taken out, so that one fault stays one group.

#[cfg(test)]
mod message_pairs;
#[cfg(test)]
mod tests;

use super::quotes::{
    DOUBLE_QUOTE, QUOTE_COUNT, QUOTES, QuotePair, ends_with_word, identifies_fault,
};
use super::{paths, patterns};
use crate::util::text::truncate;

/// How much of a message [`normalize_message`] reads, in bytes.
pub const MAX_READ: usize = 1024;

/// The longest text [`normalize_message`] returns, in bytes.
///
/// It is shorter than [`MAX_READ`] so that a long message is cut at the same place whatever its variable
/// parts were.
pub const MAX_NORMALIZED: usize = 512;

/// Words longer than this are data, whatever they look like.
const MAX_WORD: usize = 64;

/// Stands for the text that was cut off.
const CUT: char = '…';

/// Replaces the variable parts of a message by placeholders.
///
/// | placeholder | what it stands for |
/// |---|---|
/// | `<str>` | text in `"double"`, `'single'` or `“typographic”` quotes or `` `backticks` ``; the apostrophe of "can't" is none |
/// | `<num>` | whole and decimal numbers, versions, with their sign; a unit stays: `3GiB` is `<num>GiB` |
/// | `<duration>` | numbers with a unit of time, one or more: `30ms`, `1m 30s` |
/// | `<hex>` | `0x…`, and eight or more hex digits that are not all decimal |
/// | `<uuid>` | a UUID with its hyphens |
/// | `<id>` | words from 20 letters with digits in two places (ULIDs, nanoids, keys), any word over 64, web tokens, the end of a pod's name, `#A-1043` |
/// | `<ip>` | an IPv4 address with or without a port, an IPv6 address |
/// | `<mac>` | the address of a network card |
/// | `<date>` | an ISO 8601 date, date and time, or time of day down to the second |
/// | `<email>` | an e-mail address |
/// | `<path>` | path, query and fragment of a URL; paths of files: absolute ones of two segments or more, relative ones with an extension |
///
/// Of a URL the scheme and the host stay, because they say *which* peer failed; a user name and password
/// are dropped. Numbers inside a host are replaced like any others. Of `src/main.rs:12:5` the path stays, since it says
/// which code failed, and the line numbers do not. Words that mix letters and digits, such as `utf8`, `E0308` or `4xx`,
/// stay as they are. Blanks and control characters become one space.
///
/// Three things stay because they say which fault it is: a quoted name behind `constraint`, `relation`, `column`, `table`
/// or `missing field` if it has no digits, and the description of a gRPC code as tonic writes it (`code: '..', message: `),
/// both in double quotes then; and a status of HTTP behind `status`, `status code` or
/// `HTTP`. Any other number that means something is replaced like the rest: put such a code into the kind of the record.
///
/// Reads at most [`MAX_READ`] bytes, in time that grows with their number only, and returns at most
/// [`MAX_NORMALIZED`] bytes, ending in `…` if something was cut off. Applied to its own result it changes
/// nothing.
///
/// ```
/// use tower_keep::errors::normalize_message;
///
/// assert_eq!(normalize_message("order 4711 not found after 30ms"), "order <num> not found after <duration>");
/// assert_eq!(normalize_message("can't open 'a.txt'"), "can't open <str>");
/// assert_eq!(normalize_message("http://joe:pw@stock:80/items/7?k=v: no"), "http://stock:<num><path>: no");
/// ```
#[must_use]
pub fn normalize_message(message: &str) -> String {
    let text = truncate(message, MAX_READ);
    let scan = Normalizer {
        input: text,
        is_truncated: text.len() < message.len(),
        pos: 0,
        output: String::with_capacity(text.len().min(MAX_NORMALIZED)),
        no_email_before: 0,
        unclosed: [false; QUOTE_COUNT],
        authority_end: None,
    };
    scan.normalize()
}

/// Returns where a part ends that begins at an offset of a text.
type Pattern = fn(&str, usize) -> Option<usize>;

/// One pass over a text.
///
/// What stands *before* the current place is always judged by the result so far, never by the text: so a
/// second pass over the result sees the very same, and finds nothing new.
struct Normalizer<'a> {
    input: &'a str,
    /// The message goes on behind `text`.
    is_truncated: bool,
    pos: usize,
    output: String,
    /// Before this offset no e-mail address begins. Keeps the search linear on `a.a.a.a…`.
    no_email_before: usize,
    /// Quotes known to have no closing one ahead. Keeps the search linear on `'a 'a 'a…`.
    unclosed: [bool; QUOTE_COUNT],
    /// Where the authority of the URL ends that is being read.
    authority_end: Option<usize>,
}

/// Holds where a part of the message ends and what to write for it: a placeholder, text that is kept, and a closing
/// mark.
struct Token<'a> {
    end: usize,
    placeholder: &'static str,
    verbatim: &'a str,
    closing: &'static str,
}

impl<'a> Token<'a> {
    fn verbatim(end: usize, kept: &'a str) -> Self {
        Self {
            end,
            placeholder: "",
            verbatim: kept,
            closing: "",
        }
    }

    fn replace(end: usize, placeholder: &'static str) -> Self {
        Self {
            end,
            placeholder,
            verbatim: "",
            closing: "",
        }
    }
}

impl<'a> Normalizer<'a> {
    fn normalize(mut self) -> String {
        while let Some(token) = self.next_token() {
            let room = MAX_NORMALIZED - CUT.len_utf8() - self.output.len();
            let parts = [token.placeholder, token.verbatim, token.closing];
            if parts.iter().map(|part| part.len()).sum::<usize>() > room {
                self.is_truncated = true;
                break;
            }
            self.output.extend(parts);
            self.pos = token.end;
        }
        self.output.truncate(self.output.trim_end().len());
        if self.is_truncated {
            self.output.push(CUT);
        }
        self.output
    }

    fn next_token(&mut self) -> Option<Token<'a>> {
        let at = self.pos;
        let next = self.input[at..].chars().next()?;
        if let Some(kind) = QUOTES.iter().position(|quote| quote.open == next) {
            return Some(self.quoted_text(kind, &QUOTES[kind]));
        }
        Some(match next {
            blank if is_whitespace_or_control(blank) => self.whitespace(),
            '+' | '-' => self.signed(),
            ':' => self.colon(),
            '/' | '?' | '#' if self.authority_end == Some(at) => self.url_path(),
            '/' => self.file_path(),
            '#' => self.hash_id(),
            _ if next.is_ascii_alphanumeric() => self.word(at),
            _ => self.literal(at + next.len_utf8()),
        })
    }

    fn literal(&self, end: usize) -> Token<'a> {
        Token::verbatim(end, &self.input[self.pos..end])
    }

    fn prev_char(&self) -> Option<char> {
        self.output.chars().next_back()
    }

    fn whitespace(&self) -> Token<'a> {
        let rest = &self.input[self.pos..];
        let end = self.input.len() - rest.trim_start_matches(is_whitespace_or_control).len();
        Token::verbatim(end, if self.output.is_empty() { "" } else { " " })
    }

    fn word(&mut self, at: usize) -> Token<'a> {
        let text = self.input;
        let end = patterns::word_end(text, at);
        let word = &text[at..end];
        // The unit that an earlier pass kept: nothing may begin with it.
        if self.output.ends_with("<num>") && patterns::is_unit(word) {
            return Token::verbatim(end, word);
        }
        if let Some((end, placeholder)) = self.match_pattern(at) {
            return Token::replace(end, placeholder);
        }
        if patterns::is_hex(word) {
            return Token::replace(end, "<hex>");
        }
        let has_letters = word.bytes().any(|byte| byte.is_ascii_alphabetic());
        if has_letters && (word.len() > MAX_WORD || patterns::is_generated_id(word)) {
            return Token::replace(end, "<id>");
        }
        if patterns::is_http_status(text, at, self.is_truncated) && self.follows_status() {
            return Token::verbatim(end, word);
        }
        match patterns::number(text, at) {
            Some((digits, end)) => Token {
                end,
                placeholder: "<num>",
                verbatim: &text[digits..end],
                closing: "",
            },
            None => Token::verbatim(end, word),
        }
    }

    /// Finds parts that are longer than a word, or that their shape alone identifies.
    fn match_pattern(&mut self, at: usize) -> Option<(usize, &'static str)> {
        let text = self.input;
        if let Some(end) = self.email(at) {
            return Some((end, "<email>"));
        }
        let before = self.prev_char();
        let pod = || (before == Some('-')).then(|| patterns::pod_suffix(text, at));
        if let Some(end) = patterns::web_token(text, at).or_else(|| pod()?) {
            return Some((end, "<id>"));
        }
        let mac = || (!matches!(before, Some(':' | '-'))).then(|| patterns::mac_address(text, at));
        if let Some(end) = mac().flatten() {
            return Some((end, "<mac>"));
        }
        let shapes: [(Pattern, &'static str); 6] = [
            (patterns::uuid, "<uuid>"),
            (patterns::date, "<date>"),
            (patterns::ipv4, "<ip>"),
            (patterns::ipv6, "<ip>"),
            (patterns::duration, "<duration>"),
            (paths::drive_path, "<path>"),
        ];
        let found = shapes
            .into_iter()
            .find_map(|(shape, placeholder)| Some((shape(text, at)?, placeholder)));
        found.or_else(|| Some((self.relative_path(at)?, "<path>")))
    }

    /// Begins where nothing goes before that could belong to it, so that each path is looked at once.
    fn relative_path(&self, at: usize) -> Option<usize> {
        let in_authority = self.authority_end.is_some_and(|end| at < end);
        let goes_before = |before: char| before.is_alphanumeric() || "/._-+%@>".contains(before);
        let may_begin = !in_authority && !self.prev_char().is_some_and(goes_before);
        may_begin
            .then(|| paths::relative_path(self.input, at))
            .flatten()
    }

    /// Returns whether the words before the next number say that it is a status.
    fn follows_status(&self) -> bool {
        // Something stands between, or it were one word.
        let before = self.output.trim_end_matches([' ', ':', '=', '(']);
        let words = ["status", "status code", "HTTP"];
        words.iter().any(|word| ends_with_word(before, word))
    }

    fn file_path(&self) -> Token<'a> {
        let may_begin = |before: char| before == ' ' || "\"'`([=,:“„«‘".contains(before);
        let path = self
            .prev_char()
            .is_none_or(may_begin)
            .then(|| paths::absolute_path(self.input, self.pos));
        match path.flatten() {
            Some(end) => Token::replace(end, "<path>"),
            None => self.literal(self.pos + 1),
        }
    }

    fn hash_id(&self) -> Token<'a> {
        let after_word = self.prev_char().is_some_and(char::is_alphanumeric);
        match patterns::hash_id(self.input, self.pos + 1) {
            Some(end) if !after_word => Token::replace(end, "#<id>"),
            _ => self.literal(self.pos + 1),
        }
    }

    /// A plus or minus belongs to the number behind it unless it stands between two things.
    fn signed(&mut self) -> Token<'a> {
        let between = |before: char| {
            before.is_alphanumeric()
                || matches!(before, '>' | ')' | ']' | '}' | '+' | '-' | '_' | '/')
        };
        let after = self.pos + 1;
        let digit = self
            .input
            .as_bytes()
            .get(after)
            .is_some_and(u8::is_ascii_digit);
        if digit && !self.prev_char().is_some_and(between) {
            let token = self.word(after);
            if matches!(token.placeholder, "<num>" | "<duration>") {
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
        let local_end = patterns::span_while(self.input, at, is_local);
        let has_sign = self.input.as_bytes().get(local_end) == Some(&b'@');
        let end = has_sign
            .then(|| patterns::email_domain(self.input, local_end + 1))
            .flatten();
        if end.is_none() {
            self.no_email_before = local_end;
        }
        end
    }

    fn quoted_text(&mut self, kind: usize, quote: &QuotePair) -> Token<'a> {
        let text = self.input;
        let (open, inside) = (self.pos, self.pos + quote.open.len_utf8());
        let single = quote.is_apostrophe;
        let opens = !self.is_escaped(open) && (!single || self.opens_quote(inside));
        if !opens {
            return self.literal(inside);
        }
        let closes = |at: usize, mark: &str| {
            !self.is_escaped(at) && (!single || patterns::at_boundary(text, at + mark.len()))
        };
        let ahead = if self.unclosed[kind] {
            ""
        } else {
            &text[inside..]
        };
        let close = ahead
            .match_indices(|mark| quote.is_closed_by(mark))
            .map(|(offset, mark)| (inside + offset, mark))
            .find(|(at, mark)| closes(*at, mark));
        match close {
            Some((close, mark)) => self.quoted_token(&text[inside..close], close + mark.len()),
            // The closing quote may lie behind the cut; data that differs from call to call must not get
            // through.
            None if self.is_truncated && !single => Token::replace(text.len(), "<str>"),
            None => {
                self.unclosed[kind] = true;
                self.literal(inside)
            }
        }
    }

    /// Keeps a telling quoted text in double quotes, so that reading the result again changes nothing; replaces it if a
    /// double quote was left open before, and any other quoted text.
    fn quoted_token(&self, quoted: &'a str, end: usize) -> Token<'a> {
        match !self.unclosed[DOUBLE_QUOTE]
            && identifies_fault(&self.output, quoted, &self.input[end..])
        {
            true => Token {
                end,
                placeholder: "\"",
                verbatim: quoted,
                closing: "\"",
            },
            false => Token::replace(end, "<str>"),
        }
    }

    fn opens_quote(&self, inside: usize) -> bool {
        let before = self
            .prev_char()
            .is_none_or(|before| before == ' ' || "([{<=:,;/|+-".contains(before));
        let after = self.input[inside..].chars().next();
        before && after.is_some_and(|after| !is_whitespace_or_control(after))
    }

    fn is_escaped(&self, at: usize) -> bool {
        self.input.as_bytes()[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count()
            % 2
            == 1
    }

    fn colon(&mut self) -> Token<'a> {
        let at = self.pos;
        let before = self.prev_char();
        let after_name = before.is_some_and(|before| before.is_ascii_alphanumeric());
        let rest = &self.input[at..];
        if after_name && rest.starts_with("://") {
            return self.url_authority(at + "://".len());
        }
        let may_begin = rest.starts_with("::") && !after_name && !matches!(before, Some('>' | ':'));
        if may_begin && let Some(end) = patterns::ipv6(self.input, at) {
            return Token::replace(end, "<ip>");
        }
        self.literal(at + 1)
    }

    /// Keeps `://`, skips the user name and password, and remembers where the host must end. The host is
    /// read like any text.
    fn url_authority(&mut self, from: usize) -> Token<'a> {
        let ends_authority =
            |next: char| is_whitespace_or_control(next) || "/?#\"'`<>(){}\\…".contains(next);
        let rest = &self.input[from..];
        let authority = &rest[..rest.find(ends_authority).unwrap_or(rest.len())];
        self.authority_end = Some(from + authority.len());
        let host = authority.rfind('@').map_or(0, |sign| sign + 1);
        Token::verbatim(from + host, "://")
    }

    fn url_path(&self) -> Token<'a> {
        let ends_path =
            |next: char| is_whitespace_or_control(next) || "\"'`<>)]}|\\…".contains(next);
        let rest = &self.input[self.pos..];
        let run = &rest[..rest.find(ends_path).unwrap_or(rest.len())];
        match run.trim_end_matches(['.', ',', ':', ';', '!', '?']).len() {
            0 => self.literal(self.pos + 1),
            length => Token::replace(self.pos + length, "<path>"),
        }
    }
}

fn is_whitespace_or_control(next: char) -> bool {
    next.is_whitespace() || next.is_control()
}
