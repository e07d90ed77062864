//! Names of types.

use crate::util::text::truncated;

/// The longest name [`short_type_name`] returns, in bytes.
const MAX_TYPE_NAME: usize = 128;

/// Returns the type name at the beginning of a `Debug` text.
///
/// Derived and manual `Debug` implementations mostly begin with it: `Os { code: 2, .. }`, `hyper::Error(..)`. Any other
/// text may be a message, and returns `None`.
pub(super) fn type_name_from_debug(debug: &str) -> Option<&str> {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let end = debug
        .bytes()
        .position(|byte| !belongs(byte))
        .unwrap_or(debug.len());
    let (name, rest) = debug.split_at(end);
    let last = name.rsplit("::").next().unwrap_or_default();
    let named = last.starts_with(|first: char| first.is_ascii_uppercase()) && !last.contains(':');
    // As derived implementations go on. Anything else is the beginning of a sentence.
    let closed = rest.is_empty() || rest.starts_with('(') || rest.starts_with(" {");
    (named && closed && name.len() <= MAX_TYPE_NAME).then_some(name)
}

/// Returns a type name without its modules: `alloc::vec::Vec<my_app::Order>` becomes `Vec<Order>`.
///
/// A type called just `Error` keeps its module, so that errors of different crates stay different kinds:
/// `std::io::error::Error` becomes `io::Error`, `reqwest::error::Error` becomes `reqwest::Error`. Generic arguments are
/// kept. The result has at most [`MAX_TYPE_NAME`] bytes.
pub(crate) fn short_type_name(full: &str) -> String {
    let mut short = String::new();
    let mut rest = full;
    while let Some(next) = rest.chars().next() {
        let belongs = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let end = rest
            .find(|c| !belongs(c))
            .unwrap_or(rest.len())
            // At least one character, or the loop would not get past a bracket.
            .max(next.len_utf8());
        push_last_segments(&mut short, &rest[..end]);
        if short.len() > MAX_TYPE_NAME {
            break;
        }
        rest = &rest[end..];
    }
    truncated(&short, MAX_TYPE_NAME).into_owned()
}

/// Appends the name of a path, with its module if the name is `Error`.
fn push_last_segments(short: &mut String, path: &str) {
    let (modules, name) = path.rsplit_once("::").unwrap_or(("", path));
    if modules.is_empty() {
        // `<A as B>::C` has its `::` behind a bracket.
        return short.push_str(path);
    }
    if name == "Error" {
        // Modules that do not say whose error it is.
        let is_specific =
            |module: &&str| !matches!(*module, "" | "error" | "errors" | "std" | "core" | "alloc");
        if let Some(module) = modules.rsplit("::").find(is_specific) {
            short.push_str(module);
            short.push_str("::");
        }
    }
    short.push_str(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_type_name_drops_modules_and_keeps_arguments() {
        for (full, short) in [
            ("my_app::orders::NotFound", "NotFound"),
            ("std::io::error::Error", "io::Error"),
            ("reqwest::error::Error", "reqwest::Error"),
            ("hyper_util::client::legacy::client::Error", "client::Error"),
            (
                "alloc::vec::Vec<(my_app::Order, &str)>",
                "Vec<(Order, &str)>",
            ),
            (
                "alloc::boxed::Box<dyn core::error::Error + core::marker::Send>",
                "Box<dyn Error + Send>",
            ),
            ("<a::B as c::D>::E", "<B as D>::E"),
            ("u32", "u32"),
            ("", ""),
        ] {
            assert_eq!(short_type_name(full), short);
        }
        let deep = format!("{}u8{}", "a::Vec<".repeat(500), ">".repeat(500));
        assert!(short_type_name(&deep).len() <= MAX_TYPE_NAME);
    }
}
