//! Patterns of file and object paths; see [`patterns`](super::patterns).

use super::patterns::span_while;

/// The longest file extension, such as `jsonl`, in bytes.
const MAX_EXTENSION: usize = 5;

/// Matches an absolute path of two or more segments: `/var/lib/orders.json`. Route templates do not match.
pub(super) fn absolute_path(text: &str, at: usize) -> Option<usize> {
    let path = path_at(text, at);
    let segments = || path.split('/').skip(1);
    // A `//` begins a comment or an authority.
    let is_path = segments().count() >= 2 && segments().all(|segment| !segment.is_empty());
    is_path.then_some(at + path.len())
}

/// Matches a relative path of a file with an extension: `uploads/2024/bill.pdf`. Rust source files do not match, because
/// they identify the code that failed, nor do paths that begin with a host.
pub(super) fn relative_path(text: &str, at: usize) -> Option<usize> {
    let path = path_at(text, at);
    let (first, rest) = path.split_once('/')?;
    let (_, extension) = rest.rsplit('/').next()?.rsplit_once('.')?;
    let is_extension = extension.len() <= MAX_EXTENSION
        && extension.starts_with(|first: char| first.is_ascii_alphabetic())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_file = is_extension && extension != "rs" && !first.contains('.');
    is_file.then_some(at + path.len())
}

/// Matches a path that begins with a drive letter: `C:\data\orders.txt`.
pub(super) fn drive_path(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes().get(at..at + 3)?;
    if !bytes[0].is_ascii_alphabetic() || &bytes[1..] != b":\\" {
        return None;
    }
    let ends_path =
        |next: char| is_whitespace_or_control(next) || "\"'`<>|*?:,;)]}…".contains(next);
    let rest = &text[at + 3..];
    let path = &rest[..rest.find(ends_path).unwrap_or(rest.len())];
    // A backslash before a quote belongs to the quote.
    let path = path.trim_end_matches(['.', '\\']);
    (!path.is_empty()).then_some(at + 3 + path.len())
}

fn path_at(text: &str, at: usize) -> &str {
    let end = match text.as_bytes().get(at) {
        Some(b'/') => {
            let ends_path = |next: char| {
                is_whitespace_or_control(next) || "\"'`<>()[]{}|\\…,:;?#*!".contains(next)
            };
            let rest = &text[at..];
            at + rest.find(ends_path).unwrap_or(rest.len())
        }
        _ => span_while(text, at, is_relative_path_byte),
    };
    // `<` and `…` may stand for more of the path.
    let goes_on = text[end..].starts_with(['<', '…', '{']);
    match goes_on {
        true => "",
        false => text[at..end].trim_end_matches('.'),
    }
}

fn is_relative_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-' | b'+' | b'%' | b'@')
}

pub(super) fn is_whitespace_or_control(next: char) -> bool {
    next.is_whitespace() || next.is_control()
}
