//! Names of types, and what panics say.

use std::any::Any;

use crate::util::text::truncated;

/// The longest name [`short_type_name`] returns, in bytes.
pub const MAX_TYPE_NAME: usize = 128;

/// The kind of an error whose type is no longer known, read off the beginning of its `Debug` text.
///
/// Derived and hand-written `Debug` mostly begins with the name of the type (`Os { code: 2, .. }`,
/// `hyper::Error(..)`). What does not look exactly like that may be a message, and a message is no kind.
pub(super) fn type_name_from_debug(debug: &str) -> Option<&str> {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let end = debug
        .bytes()
        .position(|byte| !belongs(byte))
        .unwrap_or(debug.len());
    let (name, rest) = debug.split_at(end);
    let last = name.rsplit("::").next().unwrap_or_default();
    let named = last.starts_with(|first: char| first.is_ascii_uppercase()) && !last.contains(':');
    let closed = rest.is_empty() || rest.starts_with('(') || rest.starts_with(" {");
    (named && closed && name.len() <= MAX_TYPE_NAME).then_some(name)
}

/// A type name as people say it: `alloc::vec::Vec<my_app::Order>` becomes `Vec<Order>`.
///
/// A type called just `Error` keeps the module it belongs to, or half of all errors were of one kind:
/// `std::io::error::Error` becomes `io::Error`, `reqwest::error::Error` becomes `reqwest::Error`. Generic
/// arguments stay, up to [`MAX_TYPE_NAME`] bytes in all.
///
/// ```
/// use tower_keep::errors::short_type_name;
///
/// assert_eq!(short_type_name(std::any::type_name::<std::io::Error>()), "io::Error");
/// ```
#[must_use]
pub fn short_type_name(full: &str) -> String {
    let mut short = String::new();
    let mut rest = full;
    while let Some(next) = rest.chars().next() {
        let belongs = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let end = rest
            .find(|c| !belongs(c))
            .unwrap_or(rest.len())
            .max(next.len_utf8());
        push_last_segments(&mut short, &rest[..end]);
        if short.len() > MAX_TYPE_NAME {
            break;
        }
        rest = &rest[end..];
    }
    truncated(&short, MAX_TYPE_NAME).into_owned()
}

fn push_last_segments(short: &mut String, path: &str) {
    let (modules, name) = path.rsplit_once("::").unwrap_or(("", path));
    if modules.is_empty() {
        // `<A as B>::C` has its `::` behind a bracket.
        return short.push_str(path);
    }
    if name == "Error" {
        let says_something =
            |module: &&str| !matches!(*module, "" | "error" | "errors" | "std" | "core" | "alloc");
        if let Some(module) = modules.rsplit("::").find(says_something) {
            short.push_str(module);
            short.push_str("::");
        }
    }
    short.push_str(name);
}

/// The message of a panic, from what `catch_unwind` or a join error holds.
///
/// ```
/// use tower_keep::errors::panic_message;
///
/// let payload = std::panic::catch_unwind(|| panic!("out of {}", "luck")).unwrap_err();
/// assert_eq!(panic_message(&*payload), "out of luck");
/// ```
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    crate::call::panic_message(payload)
}
