//! The texts of checks: bounded, one line, without credentials.

use std::{error::Error, fmt::Write, sync::Arc};

use crate::util::{
    credentials::{REDACTED, looks_like_credential},
    hook::catch_hook,
    text::{truncate, truncated, write_error_chain},
};

/// The maximum length of a text, in bytes: a line of a terminal or two, and a snapshot holds one for each component.
pub(super) const MAX_TEXT: usize = 256;
/// The part of a text that is looked at, in bytes. Longer than what is kept, since redacting shortens it.
const MAX_READ: usize = 2_048;
/// Schemes of the `Authorization` header, whose next word is a credential.
const AUTH_SCHEMES: [&str; 2] = ["bearer", "basic"];

/// Returns the texts of an error and its sources, safe to show. One that panics while it is formatted has none.
pub(super) fn error_text(error: &(dyn Error + 'static)) -> Arc<str> {
    let mut text = String::new();
    match catch_hook(|| write_error_chain(&mut text, MAX_READ, error)) {
        Some(()) if !text.is_empty() => safe_text(&text),
        _ => "an error without a text".into(),
    }
}

/// Returns a text in one line, without credentials, of at most [`MAX_TEXT`] bytes.
pub(super) fn safe_text(text: &str) -> Arc<str> {
    let mut safe = String::new();
    let mut redacts_next = false;
    for word in truncate(text, MAX_READ).split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !safe.is_empty() {
            safe.push(' ');
        }
        if redacts_next {
            safe.push_str(REDACTED);
        } else {
            write_word(&mut safe, word);
        }
        // `password: hunter2`, `Bearer abc`.
        redacts_next = !redacts_next && announces_credential(word);
    }
    truncated(&safe, MAX_TEXT).into()
}

/// Returns whether the next word is a credential.
fn announces_credential(word: &str) -> bool {
    if AUTH_SCHEMES
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme))
    {
        return true;
    }
    // A lone `key:` is rather prose ("duplicate key: ..") than a secret, so only what is a secret by every reading.
    let Some(name) = word.strip_suffix([':', '=']) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    [
        "password",
        "passwd",
        "secret",
        "token",
        "api_key",
        "apikey",
        "authorization",
    ]
    .iter()
    .any(|part| name.ends_with(part))
}

/// Writes a word without the user name and password of its URL and without the values of its credentials.
fn write_word(out: &mut String, word: &str) {
    let word = match word.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let _ = write!(out, "{scheme}://");
            match authority.rfind('@') {
                Some(at) => {
                    out.push_str(REDACTED);
                    &rest[at..]
                }
                None => rest,
            }
        }
        None => word,
    };
    // `host=db password=x`, `?token=x&user=y`, `key=x;key=y`.
    let mut rest = word;
    while let Some(end) = rest.find(['&', ';', ',', '?']) {
        write_pair(out, &rest[..end]);
        out.push_str(&rest[end..=end]);
        rest = &rest[end + 1..];
    }
    write_pair(out, rest);
}

/// Writes `name=value`, the value redacted if the name is that of a credential.
fn write_pair(out: &mut String, pair: &str) {
    match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() && looks_like_credential(name) => {
            let _ = write!(out, "{name}={REDACTED}");
        }
        _ => out.push_str(pair),
    }
}
