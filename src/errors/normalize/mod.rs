//! Replaces the variable parts of messages, so that all errors of one fault have the same message.

#[cfg(test)]
mod message_pairs;
mod normalizer;
mod paths;
mod patterns;
mod quotes;
#[cfg(test)]
mod tests;
mod token;

use self::normalizer::Normalizer;

/// Replaces the variable parts of a message by placeholders; see [Normalization](super#normalization).
///
/// ```
/// use tower_keep::errors::normalize_message;
///
/// assert_eq!(normalize_message("order 4711 not found after 30ms"), "order <num> not found after <duration>");
/// assert_eq!(normalize_message("can't open 'a.txt'"), "can't open <str>");
/// assert_eq!(normalize_message("http://joe:pw@stock:80/items/7?k=v: no"), "http://stock:<num><path>: no");
/// ```
#[doc(hidden)]
#[must_use]
pub fn normalize_message(message: &str) -> String {
    Normalizer::new(message).normalize()
}
