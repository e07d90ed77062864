//! The text of a log line about settings that were changed at run time.

use std::{borrow::Cow, fmt::Debug};

use super::text::{truncated, write_bounded};

/// Longest text of one value, in bytes.
const MAX_VALUE_BYTES: usize = 128;
/// Longest text of all changes, in bytes.
const MAX_BYTES: usize = 1_024;

/// The settings that have changed, from what to what: `max_attempts: 3 -> 5, max_elapsed: off -> 10s`.
#[derive(Debug, Default)]
pub(crate) struct SettingChanges {
    text: String,
}

impl SettingChanges {
    /// Adds a setting if its values differ.
    pub(crate) fn compare<T: Debug + PartialEq>(&mut self, setting: &str, from: &T, to: &T) {
        if from != to {
            self.add(setting, &bounded(from), &bounded(to));
        }
    }

    /// Adds a setting if its values differ. One without a value is shown as `none`, as a file has it.
    pub(crate) fn compare_optional<T: Debug + PartialEq>(
        &mut self,
        setting: &str,
        none: &str,
        from: &Option<T>,
        to: &Option<T>,
    ) {
        if from != to {
            let shown = |value: &Option<T>| value.as_ref().map_or_else(|| none.to_owned(), bounded);
            self.add(setting, &shown(from), &shown(to));
        }
    }

    /// Adds the changes of settings that are a part of these.
    #[cfg(feature = "balance")]
    pub(crate) fn add_part(&mut self, part: &str, changes: &SettingChanges) {
        if !changes.is_empty() {
            let separator = if self.text.is_empty() { "" } else { ", " };
            let change = format_args!("{separator}{part}: ({})", changes.text());
            write_bounded(&mut self.text, MAX_BYTES, change);
        }
    }

    fn add(&mut self, setting: &str, from: &str, to: &str) {
        let separator = if self.text.is_empty() { "" } else { ", " };
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
        changes.compare_optional("slow", "off", &None, &Some(1));
        changes.compare_optional("min_calls", "default", &Some(7), &None);
        changes.compare_optional("rate", "off", &Some(7), &Some(7));
        assert!(!changes.is_empty());
        let text = "max_attempts: 3 -> 5, slow: off -> 1, min_calls: 7 -> default";
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
