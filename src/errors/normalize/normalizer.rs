use super::{
    paths, patterns,
    quotes::{DOUBLE_QUOTE, QUOTE_COUNT, QUOTES, QuotePair, ends_with_word, identifies_fault},
    token::Token,
};
use crate::util::text::{ELLIPSIS, truncate};

/// The part of a message that is read, in bytes.
pub(super) const MAX_READ: usize = 1024;

/// The longest normalized message, in bytes.
///
/// It is shorter than [`MAX_READ`], so that a long message is cut at the same place whatever its variable parts are.
pub(super) const MAX_NORMALIZED: usize = 512;

/// Longer words are treated as data.
const MAX_WORD: usize = 64;

/// A function that returns the end of the match that begins at an offset of a text.
type Pattern = fn(&str, usize) -> Option<usize>;

/// A single pass over a message.
///
/// Text *before* the current position is always read from the output, never from the input. So a second pass over the
/// output makes the same decisions, and the function is idempotent.
pub(super) struct Normalizer<'a> {
    input: &'a str,
    /// True if the message continues after `input`, or something was cut off the output.
    is_truncated: bool,
    pos: usize,
    output: String,
    /// The offset before which no e-mail address begins. Keeps the search linear on `a.a.a.a…`.
    no_email_before: usize,
    /// Quotes that are known to have no closing mark ahead. Keeps the search linear on `'a 'a 'a…`.
    unclosed: [bool; QUOTE_COUNT],
    /// The end of the authority of the URL that is being read.
    authority_end: Option<usize>,
    /// The last part that was read as what it is because of what follows it: its offset in the output, and how long an output is
    /// that has what follows.
    relying: Option<(usize, usize)>,
}

impl<'a> Normalizer<'a> {
    pub(super) fn new(message: &'a str) -> Self {
        let input = truncate(message, MAX_READ);
        Normalizer {
            input,
            is_truncated: input.len() < message.len(),
            pos: 0,
            output: String::with_capacity(input.len().min(MAX_NORMALIZED)),
            no_email_before: 0,
            unclosed: [false; QUOTE_COUNT],
            authority_end: None,
            relying: None,
        }
    }

    /// Returns the normalized message.
    pub(super) fn normalize(mut self) -> String {
        while let Some(token) = self.next_token() {
            // Never negative, since each token before left room for the ellipsis.
            let room = MAX_NORMALIZED - ELLIPSIS.len_utf8() - self.output.len();
            // A token is written completely or not at all, or a second pass would read half of a placeholder.
            let parts = [token.placeholder, token.verbatim, token.closing];
            if parts.iter().map(|part| part.len()).sum::<usize>() > room {
                self.is_truncated = true;
                break;
            }
            let begin = self.output.len();
            self.output.extend(parts);
            self.pos = token.end;
            if token.relies_on > 0 {
                self.relying = Some((begin, self.output.len() + token.relies_on));
            }
        }
        self.trim_end();
        if self.is_truncated {
            // A second pass would see the ellipsis in place of what followed.
            if let Some((begin, _)) = self
                .relying
                .filter(|(_, needed)| self.output.len() < *needed)
            {
                self.output.truncate(begin);
                self.trim_end();
            }
            self.output.push(ELLIPSIS);
        }
        self.output
    }

    /// Removes a trailing space, which a second pass would remove.
    fn trim_end(&mut self) {
        self.output.truncate(self.output.trim_end().len());
    }

    /// Reads the next part of the message.
    fn next_token(&mut self) -> Option<Token<'a>> {
        let at = self.pos;
        let next = self.input[at..].chars().next()?;
        // Quotes first: what they enclose is one token.
        if let Some(kind) = QUOTES.iter().position(|quote| quote.open == next) {
            return Some(self.quoted_text(kind, &QUOTES[kind]));
        }
        Some(match next {
            blank if paths::is_whitespace_or_control(blank) => self.whitespace(),
            '+' | '-' => self.signed(),
            ':' => self.colon(),
            // Before the arms of paths and IDs: directly behind an authority these belong to the URL.
            '/' | '?' | '#' if self.authority_end == Some(at) => self.url_path(),
            '/' => self.file_path(),
            '#' => self.hash_id(),
            _ if next.is_ascii_alphanumeric() => self.word(at),
            _ => self.literal(at + next.len_utf8()),
        })
    }

    /// Keeps the text up to `end`.
    fn literal(&self, end: usize) -> Token<'a> {
        Token::verbatim(end, &self.input[self.pos..end])
    }

    /// Returns the last character of the output.
    fn prev_char(&self) -> Option<char> {
        self.output.chars().next_back()
    }

    /// Reads a run of whitespace and control characters as one space.
    fn whitespace(&self) -> Token<'a> {
        let rest = &self.input[self.pos..];
        let end = self.input.len()
            - rest
                .trim_start_matches(paths::is_whitespace_or_control)
                .len();
        Token::verbatim(end, if self.output.is_empty() { "" } else { " " })
    }

    /// Reads a word, or a longer pattern that begins with it.
    fn word(&mut self, at: usize) -> Token<'a> {
        let text = self.input;
        let end = patterns::word_end(text, at);
        let word = &text[at..end];
        // A unit kept by an earlier pass: no pattern may begin with it.
        if self.output.ends_with("<num>") && patterns::is_unit(word) {
            return Token::verbatim(end, word);
        }
        // What may go on behind the word comes before what is the word alone.
        if let Some((end, placeholder)) = self.match_pattern(at) {
            return Token::replace(end, placeholder);
        }
        // Before IDs: a hash of 40 digits would be both.
        if patterns::is_hex(word) {
            return Token::replace(end, "<hex>");
        }
        if is_id(word) {
            return Token::replace(end, "<id>");
        }
        // Before numbers, which would replace it.
        if patterns::is_http_status(text, at, self.is_truncated) && self.follows_status() {
            let relies_on = 1;
            return Token {
                relies_on,
                ..Token::verbatim(end, word)
            };
        }
        self.number(at)
            .unwrap_or_else(|| Token::verbatim(end, word))
    }

    /// Reads a number, and keeps its unit.
    fn number(&self, at: usize) -> Option<Token<'a>> {
        let (digits, end) = patterns::number(self.input, at)?;
        Some(Token {
            end,
            placeholder: "<num>",
            verbatim: &self.input[digits..end],
            closing: "",
            relies_on: 0,
        })
    }

    /// Matches the patterns that may be longer than a word.
    fn match_pattern(&mut self, at: usize) -> Option<(usize, &'static str)> {
        let text = self.input;
        if let Some(end) = self.email(at) {
            return Some((end, "<email>"));
        }
        // Longer patterns come first: a MAC address may begin like a time of day.
        let before = self.prev_char();
        let pod = || (before == Some('-')).then(|| patterns::pod_suffix(text, at));
        if let Some(end) = patterns::web_token(text, at).or_else(|| pod()?) {
            return Some((end, "<id>"));
        }
        // After another pair, it is the rest of something longer.
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

    /// Matches only where no part of a path precedes, so that each path is tried once.
    fn relative_path(&self, at: usize) -> Option<usize> {
        let in_authority = self.authority_end.is_some_and(|end| at < end);
        let goes_before = |before: char| before.is_alphanumeric() || "/._-+%@>".contains(before);
        let may_begin = !in_authority && !self.prev_char().is_some_and(goes_before);
        may_begin
            .then(|| paths::relative_path(self.input, at))
            .flatten()
    }

    /// Returns whether the words before the next number announce an HTTP status.
    fn follows_status(&self) -> bool {
        // There is a separator in between: otherwise the number would belong to the word.
        let before = self.output.trim_end_matches([' ', ':', '=', '(']);
        let words = ["status", "status code", "HTTP"];
        words.iter().any(|word| ends_with_word(before, word))
    }

    /// Reads an absolute path.
    fn file_path(&self) -> Token<'a> {
        // `and/or` is no path.
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

    /// Reads `#` and an identifier.
    fn hash_id(&self) -> Token<'a> {
        // Behind a word it belongs to a name, as in `C#`.
        let after_word = self.prev_char().is_some_and(char::is_alphanumeric);
        match patterns::hash_id(self.input, self.pos + 1) {
            Some(end) if !after_word => Token::replace(end, "#<id>"),
            _ => self.literal(self.pos + 1),
        }
    }

    /// Reads a plus or minus, which belongs to the number after it unless something precedes it directly.
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
            // The sign of anything else is punctuation, and stays.
            if matches!(token.placeholder, "<num>" | "<duration>") {
                return token;
            }
        }
        self.literal(after)
    }

    /// Returns the end of an e-mail address.
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
            // Every later start in this run would come to the same end, and fail too.
            self.no_email_before = local_end;
        }
        end
    }

    /// Reads quoted text, or the mark alone if it does not open a quotation.
    fn quoted_text(&mut self, kind: usize, quote: &QuotePair) -> Token<'a> {
        let inside = self.pos + quote.open.len_utf8();
        // A mark with a backslash is part of a text, and an apostrophe may be part of a word.
        let opens =
            !self.is_escaped(self.pos) && (!quote.is_apostrophe || self.opens_quote(inside));
        if !opens {
            return self.literal(inside);
        }
        let closing = match self.unclosed[kind] {
            true => None,
            false => self.closing_quote(inside, quote),
        };
        match closing {
            Some((close, end)) => self.quoted_token(&self.input[inside..close], end),
            // The closing mark may be behind the cut: the rest may be data, so it is replaced as well.
            None if self.is_truncated && !quote.is_apostrophe => {
                Token::replace(self.input.len(), "<str>")
            }
            None => {
                self.unclosed[kind] = true;
                self.literal(inside)
            }
        }
    }

    /// Returns the start and the end of the mark that closes a quotation.
    fn closing_quote(&self, inside: usize, quote: &QuotePair) -> Option<(usize, usize)> {
        self.input[inside..]
            .match_indices(|mark| quote.is_closed_by(mark))
            .map(|(offset, mark)| (inside + offset, inside + offset + mark.len()))
            .find(|(at, end)| {
                let may_close = !quote.is_apostrophe || patterns::at_boundary(self.input, *end);
                may_close && !self.is_escaped(*at)
            })
    }

    /// Keeps quoted text that identifies the fault, in double quotes so that a second pass keeps it as well. Replaces any
    /// other, and all after an unclosed double quote.
    fn quoted_token(&self, quoted: &'a str, end: usize) -> Token<'a> {
        let kept = match self.unclosed[DOUBLE_QUOTE] {
            true => None,
            false => identifies_fault(&self.output, quoted, &self.input[end..]),
        };
        match kept {
            Some(relies_on) => Token {
                end,
                placeholder: "\"",
                verbatim: quoted,
                closing: "\"",
                relies_on,
            },
            None => Token::replace(end, "<str>"),
        }
    }

    /// Returns whether an apostrophe opens a quotation, by the characters around it.
    fn opens_quote(&self, inside: usize) -> bool {
        let before = self
            .prev_char()
            .is_none_or(|before| before == ' ' || "([{<=:,;/|+-".contains(before));
        let after = self.input[inside..].chars().next();
        before && after.is_some_and(|after| !paths::is_whitespace_or_control(after))
    }

    /// Returns whether there is an odd number of backslashes before an offset.
    fn is_escaped(&self, at: usize) -> bool {
        self.input.as_bytes()[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count()
            % 2
            == 1
    }

    /// Reads a colon, which may begin an authority or an IPv6 address.
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

    /// Keeps `://`, skips user name and password, and stores where the authority ends. The host is read like any text.
    fn url_authority(&mut self, from: usize) -> Token<'a> {
        let ends_authority =
            |next: char| paths::is_whitespace_or_control(next) || "/?#\"'`<>(){}\\…".contains(next);
        let rest = &self.input[from..];
        let authority = &rest[..rest.find(ends_authority).unwrap_or(rest.len())];
        self.authority_end = Some(from + authority.len());
        // The last one, since a password may contain the character.
        let host = authority.rfind('@').map_or(0, |sign| sign + 1);
        Token::verbatim(from + host, "://")
    }

    /// Reads path, query and fragment of a URL.
    fn url_path(&self) -> Token<'a> {
        let ends_path =
            |next: char| paths::is_whitespace_or_control(next) || "\"'`<>)]}|\\…".contains(next);
        let rest = &self.input[self.pos..];
        let run = &rest[..rest.find(ends_path).unwrap_or(rest.len())];
        // Punctuation at the end belongs to the sentence.
        match run.trim_end_matches(['.', ',', ':', ';', '!', '?']).len() {
            0 => self.literal(self.pos + 1),
            length => Token::replace(self.pos + length, "<path>"),
        }
    }
}

/// Returns whether a word with letters is data rather than a word of the message.
fn is_id(word: &str) -> bool {
    let has_letters = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    has_letters && (word.len() > MAX_WORD || patterns::is_generated_id(word))
}
