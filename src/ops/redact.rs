//! Texts of errors without credentials: whoever sees the console may not see those.

use std::fmt::Write;

use crate::util::credentials::{REDACTED, looks_like_credential};

/// Schemes of the `Authorization` header, whose next word is a credential.
const AUTH_SCHEMES: [&str; 2] = ["bearer", "basic"];
/// Ends of names whose value is a secret wherever they stand.
const SECRET_NAMES: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization",
];

/// Returns a text in one line, without the credentials in it.
pub(super) fn redacted(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let mut safe = String::with_capacity(text.len());
    let mut redactor = Redactor::default();
    for word in words.filter(|word| !word.is_empty()) {
        if !safe.is_empty() {
            safe.push(' ');
        }
        redactor.write(&mut safe, word);
    }
    safe
}

/// Returns a text without the credentials in it, its lines and spaces as they are.
#[cfg(feature = "ops-logs")]
pub(super) fn redacted_lines(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut redactor = Redactor::default();
    for part in text.split_inclusive(|c: char| c.is_whitespace() || c.is_control()) {
        let word = part.trim_end_matches(|c: char| c.is_whitespace() || c.is_control());
        if !word.is_empty() {
            redactor.write(&mut safe, word);
        }
        let space = &part[word.len()..];
        safe.push_str(match space {
            "\n" | "\t" | "" => space,
            _ => " ",
        });
    }
    safe
}

/// Writes words one after the other, of which one may say that the next is a credential.
#[derive(Default)]
struct Redactor {
    is_credential: bool,
}

impl Redactor {
    fn write(&mut self, safe: &mut String, word: &str) {
        if is_auth_scheme(word) {
            // Also after `Authorization:`.
            safe.push_str(word);
            self.is_credential = true;
        } else if self.is_credential {
            safe.push_str(REDACTED);
            self.is_credential = false;
        } else {
            write_word(safe, word);
            self.is_credential = announces_credential(word);
        }
    }
}

fn is_auth_scheme(word: &str) -> bool {
    AUTH_SCHEMES
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Returns whether the next word is a credential: after `password:`, but not after `key:`, which is rather prose ("duplicate
/// key: ..").
fn announces_credential(word: &str) -> bool {
    let name = word.strip_suffix([':', '=']).map(str::to_ascii_lowercase);
    name.is_some_and(|name| {
        let name = name.trim_end_matches(['"', '\'']);
        SECRET_NAMES.iter().any(|secret| name.ends_with(secret))
    })
}

/// Writes a word without the user name and password of its URL and without the values of its credentials.
fn write_word(out: &mut String, word: &str) {
    let mut rest = word;
    if let Some((scheme, after)) = word.split_once("://") {
        let _ = write!(out, "{scheme}://");
        rest = after;
        if let Some(at) = end_of_user_info(after) {
            out.push_str(REDACTED);
            rest = &after[at..];
        }
    }
    // `host=db;password=x`, `?token=x&user=y`, `{"token":"x","n":1}`.
    while let Some(end) = rest.find(['&', ';', ',', '?']) {
        write_pair(out, &rest[..end]);
        out.push_str(&rest[end..=end]);
        rest = &rest[end + 1..];
    }
    write_pair(out, rest);
}

/// Returns where `user:password` ends in the part of a URL behind `://`.
fn end_of_user_info(rest: &str) -> Option<usize> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match authority.split_once(':') {
        // A password with a slash in it ends the authority too soon: no port, or no host.
        Some((host, port)) if !authority.contains('@') && (host.is_empty() || !is_port(port)) => {
            rest.rfind('@')
        }
        _ => authority.rfind('@'),
    }
}

/// Writes `name=value` or `"name":"value"`, the value redacted if the name is that of a credential.
fn write_pair(out: &mut String, pair: &str) {
    for sep in ["=", "\":"] {
        if let Some((name, value)) = pair.split_once(sep)
            && !value.is_empty()
            && looks_like_credential(name)
        {
            let _ = write!(out, "{name}{sep}{REDACTED}");
            return;
        }
    }
    out.push_str(pair);
}
