use std::sync::Arc;

use super::failed_call::has_failed;
use crate::protocol::Side;

/// A condition on a label of a series. A series without the label counts as one whose value is empty.
///
/// ```
/// use tower_keep::ops::series::Filter;
///
/// let labels = [("route".into(), "/pay".into())];
/// assert!(Filter::is("route", "/pay").matches(&labels));
/// assert!(Filter::starts_with("route", "/p").matches(&labels));
/// assert!(Filter::is("method", "").matches(&labels));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    label: String,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    IsNot(String),
    OneOf(Vec<String>),
    StartsWith(String),
    StartsNotWith(String),
    /// The outcome that all labels show is a failure; whatever the label of the filter is.
    Failed(Side),
}

impl Filter {
    /// The texts that are allowed.
    pub(in crate::ops) const EXPECTED: &'static str = "label=value, label!=value, label=one|other, label=prefix* or label!=prefix*, with \\ before a |, * or \\ of the value";

    /// Creates a filter of series whose label has the value.
    pub fn is(label: impl Into<String>, value: impl Into<String>) -> Self {
        Filter::new(label, Condition::OneOf(vec![value.into()]))
    }

    /// Creates a filter of series whose label has another value.
    pub fn is_not(label: impl Into<String>, value: impl Into<String>) -> Self {
        Filter::new(label, Condition::IsNot(value.into()))
    }

    /// Creates a filter of series whose label has one of the values.
    pub fn one_of<V: Into<String>>(
        label: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Filter::new(
            label,
            Condition::OneOf(values.into_iter().map(Into::into).collect()),
        )
    }

    /// Creates a filter of series whose label begins with the text.
    pub fn starts_with(label: impl Into<String>, prefix: impl Into<String>) -> Self {
        Filter::new(label, Condition::StartsWith(prefix.into()))
    }

    /// Creates a filter of durations of calls that have failed.
    pub(in crate::ops) fn failed(side: Side) -> Self {
        Filter::new("error_type", Condition::Failed(side))
    }

    fn new(label: impl Into<String>, condition: Condition) -> Self {
        Filter {
            label: label.into(),
            condition,
        }
    }

    /// Returns the filter of a text: `label=value`, `label!=value`, `label=one|other` or `label=prefix*`.
    ///
    /// A `\` before `|`, `*` or `\` makes it a part of the value.
    ///
    /// ```
    /// use tower_keep::ops::series::Filter;
    ///
    /// assert_eq!(Filter::from_text("route=/api/*"), Some(Filter::starts_with("route", "/api/")));
    /// assert_eq!(Filter::from_text("route"), None);
    /// ```
    pub fn from_text(text: &str) -> Option<Self> {
        let (label, value) = text.split_once('=')?;
        let (label, is_negated) = match label.strip_suffix('!') {
            Some(label) => (label, true),
            None => (label, false),
        };
        if label.is_empty() {
            return None;
        }
        let (mut values, is_prefix) = read_values(value)?;
        let condition = match (is_negated, is_prefix, values.len()) {
            (false, true, 1) => Condition::StartsWith(values.remove(0)),
            (false, false, _) => Condition::OneOf(values),
            (true, false, 1) => Condition::IsNot(values.remove(0)),
            (true, true, 1) => Condition::StartsNotWith(values.remove(0)),
            _ => return None,
        };
        Some(Filter::new(label, condition))
    }

    /// Returns the name of the label.
    pub(in crate::ops) fn label(&self) -> &str {
        &self.label
    }

    /// Returns whether a series with these labels passes.
    pub fn matches(&self, labels: &[(Arc<str>, Arc<str>)]) -> bool {
        let label = labels.iter().find(|(name, _)| **name == *self.label);
        let value = label.map_or("", |(_, value)| value);
        match &self.condition {
            Condition::IsNot(other) => value != other,
            Condition::OneOf(values) => values.iter().any(|one| one == value),
            Condition::StartsWith(prefix) => value.starts_with(prefix.as_str()),
            Condition::StartsNotWith(prefix) => !value.starts_with(prefix.as_str()),
            Condition::Failed(side) => has_failed(*side, labels),
        }
    }
}

/// Reads values between `|`, and whether a `*` follows the last one.
fn read_values(text: &str) -> Option<(Vec<String>, bool)> {
    let mut values = vec![String::new()];
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        let value = values.last_mut()?;
        match next {
            '|' => values.push(String::new()),
            '*' => return chars.next().is_none().then_some((values, true)),
            '\\' => value.push(
                chars
                    .next()
                    .filter(|next| ['|', '*', '\\'].contains(next))?,
            ),
            other => value.push(other),
        }
    }
    Some((values, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_matches_the_label() {
        let labels: [(Arc<str>, Arc<str>); 2] = [
            ("route".into(), "/pay".into()),
            ("status".into(), "500".into()),
        ];
        for (filter, expected) in [
            (Filter::is("route", "/pay"), true),
            (Filter::is("route", "500"), false),
            (Filter::is_not("status", "500"), false),
            (Filter::is_not("status", "501"), true),
            (Filter::one_of("status", ["200", "500"]), true),
            (Filter::one_of("status", ["200"]), false),
            (Filter::one_of("status", [""; 0]), false),
            (Filter::starts_with("status", "5"), true),
            (Filter::starts_with("status", "4"), false),
            (Filter::is("absent", ""), true),
            (Filter::is_not("absent", ""), false),
        ] {
            assert_eq!(filter.matches(&labels), expected, "{filter:?}");
        }
    }

    #[test]
    fn filter_is_read_from_text() {
        for (text, expected) in [
            ("a=b", Some(Filter::is("a", "b"))),
            ("a=", Some(Filter::is("a", ""))),
            ("a!=b", Some(Filter::is_not("a", "b"))),
            ("a=b=c", Some(Filter::is("a", "b=c"))),
            ("a=b|c", Some(Filter::one_of("a", ["b", "c"]))),
            ("a=b|", Some(Filter::one_of("a", ["b", ""]))),
            ("a=b*", Some(Filter::starts_with("a", "b"))),
            (
                "a!=b*",
                Some(Filter::new("a", Condition::StartsNotWith("b".to_owned()))),
            ),
            (r"a=\*\|\\", Some(Filter::is("a", r"*|\"))),
            ("a", None),
            ("=b", None),
            ("!=b", None),
            ("a!=b|c", None),
            ("a=b|c*", None),
            ("a=b*c", None),
            (r"a=\b", None),
            (r"a=b\", None),
        ] {
            assert_eq!(Filter::from_text(text), expected, "{text}");
        }
    }
}
