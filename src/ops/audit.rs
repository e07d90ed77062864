//! The log of what operators did, and of logins: the journal survives a restart only where there is a file.

use std::borrow::Cow;

use serde_json::Value;

use super::journal::{Event, Severity};
use crate::{call::catch_hook, util::event::warn_or_info};

/// Emits one event for what is in the journal.
pub(super) fn report(recorded: &Event) {
    // What operators type is in the text.
    let text = escaped(recorded.text());
    let guard_kind = recorded.data().get("kind").and_then(Value::as_str);
    let is_warning = recorded.severity() != Severity::Info;
    // Subscribers are code of others.
    catch_hook(|| {
        warn_or_info!(
            is_warning,
            target: "tower_keep::ops",
            kind = recorded.kind().as_str(),
            subject = recorded.subject(),
            who = recorded.who(),
            guard_kind,
            text = &*text,
            "operations journal"
        )
    });
}

/// Returns a text without line breaks and other characters that a terminal would obey.
fn escaped(text: &str) -> Cow<'_, str> {
    // Of printable characters, `escape_debug` escapes only these three.
    let is_plain = |c: char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1;
    if text.chars().all(is_plain) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_plain(c) {
            true => escaped.push(c),
            false => escaped.extend(c.escape_debug()),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_is_plain_but_for_what_a_terminal_obeys() {
        let plain = r#"hold_open for 60 s: "größer" C:\new it's 障害"#;
        assert_eq!(escaped(plain), plain);
        assert_eq!(
            escaped("a\nb\u{1b}[2J\u{202e}\u{85}"),
            r"a\nb\u{1b}[2J\u{202e}\u{85}"
        );
    }
}
