//! What a log line says about settings that were changed at run time.

use std::{borrow::Cow, fmt::Debug};

use super::text::{truncated, write_bounded};

/// Longest text of one value, in bytes.
const MAX_VALUE_BYTES: usize = 128;
/// Longest text of all changes, in bytes.
const MAX_BYTES: usize = 1_024;

/// The settings that have changed, from what to what: `max_attempts: 3 -> 5, max_elapsed: None -> Some(10s)`.
#[derive(Debug, Default)]
pub(crate) struct SettingChanges {
    text: String,
}

impl SettingChanges {
    /// Adds a setting if its values differ.
    pub(crate) fn compare<T: Debug + PartialEq>(&mut self, setting: &str, from: &T, to: &T) {
        if from == to {
            return;
        }
        let separator = if self.text.is_empty() { "" } else { ", " };
        let (from, to) = (bounded(from), bounded(to));
        let change = format_args!("{separator}{setting}: {from} -> {to}");
        write_bounded(&mut self.text, MAX_BYTES, change);
    }

    /// Returns whether all settings are as they were.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the text for the log, at most a KiB of it.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        truncated(&self.text, MAX_BYTES)
    }
}

fn bounded(value: &impl Debug) -> String {
    let mut text = String::new();
    write_bounded(&mut text, MAX_VALUE_BYTES, format_args!("{value:?}"));
    truncated(&text, MAX_VALUE_BYTES).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_the_settings_that_differ() {
        let mut changes = SettingChanges::default();
        changes.compare("max_attempts", &3, &3);
        assert!(changes.is_empty());
        assert_eq!(changes.text(), "");
        changes.compare("max_attempts", &3, &5);
        changes.compare("sample", &1.0, &1.0);
        changes.compare("slow", &None, &Some("1s"));
        assert!(!changes.is_empty());
        let text = r#"max_attempts: 3 -> 5, slow: None -> Some("1s")"#;
        assert_eq!(changes.text(), text);
    }

    #[test]
    fn changes_are_bounded() {
        let mut changes = SettingChanges::default();
        changes.compare("name", &"", &"é".repeat(1_000).as_str());
        let text = changes.text().into_owned();
        assert!(
            text.len() <= "name: \"\" -> ".len() + MAX_VALUE_BYTES,
            "{text}"
        );
        assert!(text.ends_with('…'), "{text}");
        for _ in 0..100 {
            changes.compare("name", &"", &"é".repeat(1_000).as_str());
        }
        let text = changes.text().into_owned();
        assert!(text.len() <= MAX_BYTES && text.ends_with('…'), "{text}");
    }
}
