//! Names and labels as Prometheus allows them.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use crate::util::text::truncated;

/// The longest name of a metric or a label, in bytes.
const MAX_NAME: usize = 200;
/// Labels that the formats give a meaning.
const RESERVED: [&str; 2] = ["le", "quantile"];

/// The labels of a series, ascending by name.
pub(super) type Labels = Box<[(Arc<str>, Arc<str>)]>;

/// Returns the name of a metric with `_` for every character that may not be in it, of at most 200 bytes.
pub(super) fn metric_name(name: &str) -> Cow<'_, str> {
    valid_name(name, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
    })
}

/// Returns the name of a label with `_` for every character that may not be in it. `le` and `quantile` become `exported_le`
/// and `exported_quantile`, and of several underscores at the begin one is left: such names are Prometheus' own.
fn label_name(name: &str) -> Cow<'_, str> {
    if RESERVED.contains(&name) {
        return Cow::Owned(format!("exported_{name}"));
    }
    let valid = valid_name(name, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match valid.strip_prefix("__") {
        Some(rest) => Cow::Owned(format!("_{}", rest.trim_start_matches('_'))),
        None => valid,
    }
}

fn valid_name(name: &str, is_valid: impl Fn(u8) -> bool) -> Cow<'_, str> {
    let begins_well = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
    if begins_well && name.len() <= MAX_NAME && name.bytes().all(&is_valid) {
        return Cow::Borrowed(name);
    }
    let mut valid = String::with_capacity(name.len().min(MAX_NAME) + 1);
    if !begins_well {
        valid.push('_');
    }
    let chars = name.chars().map(|char| match u8::try_from(char) {
        Ok(byte) if byte.is_ascii() && is_valid(byte) => char,
        _ => '_',
    });
    valid.extend(chars.take(MAX_NAME - valid.len()));
    Cow::Owned(valid)
}

/// Returns the labels of a key, sorted and bounded, and whether something had to be cut or left out.
pub(super) fn labels(key: &metrics::Key, max_labels: usize, max_value: usize) -> (Labels, bool) {
    let mut labels = BTreeMap::new();
    let mut is_cut = false;
    for label in key.labels() {
        let name = label_name(label.key());
        if labels.len() == max_labels && !labels.contains_key(&*name) {
            is_cut = true;
            continue;
        }
        is_cut |= label.key().len() > MAX_NAME || label.value().len() > max_value;
        // The latest of the same name wins. An empty value is as none.
        labels.insert(name, truncated(label.value(), max_value));
    }
    labels.retain(|_, value| !value.is_empty());
    let owned = labels
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()));
    (owned.collect(), is_cut)
}

/// Returns the labels as both formats write them, without braces: `method="GET",route="/"`.
pub(super) fn labels_text(labels: &[(Arc<str>, Arc<str>)]) -> Box<str> {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for char in value.chars() {
            match char {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                char => text.push(char),
            }
        }
        text.push('"');
    }
    text.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use metrics::{Key, Label};

    use super::*;

    #[test]
    fn names_are_made_valid() {
        for (name, expected) in [
            ("http_requests_total", "http_requests_total"),
            ("job:rate", "job:rate"),
            ("http.requests", "http_requests"),
            ("7up", "_7up"),
            ("", "_"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(metric_name(name), expected);
        }
        assert_eq!(metric_name(&"x".repeat(200)).len(), 200);
        assert_eq!(metric_name(&"x".repeat(201)).len(), 200);
        assert_eq!(
            metric_name(&"7".repeat(201)),
            format!("_{}", "7".repeat(199))
        );
        assert_eq!(
            [label_name("le"), label_name("quantile")],
            ["exported_le", "exported_quantile"]
        );
        assert_eq!([label_name("a:b"), label_name("a")], ["a_b", "a"]);
        // A scrape with a label `__name__` fails as a whole.
        let own = ["__name__", ".-name", "___", "_a"].map(label_name);
        assert_eq!(own, ["_name__", "_name", "_", "_a"]);
    }

    fn key(labels: &[(&'static str, String)]) -> Key {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| Label::new(*name, value.clone()))
            .collect();
        Key::from_parts("load", labels)
    }

    #[test]
    fn labels_are_sorted_and_bounded() {
        let text = |key: &Key, max| {
            let (labels, is_cut) = labels(key, max, 4);
            (labels_text(&labels).into_string(), is_cut)
        };
        let plain = key(&[("b", "2".into()), ("a", "1".into()), ("c", String::new())]);
        assert_eq!(text(&plain, 3), (r#"a="1",b="2""#.to_owned(), false));
        assert_eq!(text(&plain, 1), (r#"b="2""#.to_owned(), true));
        let long = key(&[("a", "12345".into())]);
        assert_eq!(text(&long, 1), (r#"a="1…""#.to_owned(), true));
        let fits = key(&[("a", "1234".into())]);
        assert_eq!(text(&fits, 1), (r#"a="1234""#.to_owned(), false));
        let twice = key(&[("a", "1".into()), ("a", "2".into())]);
        assert_eq!(text(&twice, 1), (r#"a="2""#.to_owned(), false));
    }

    #[test]
    fn label_values_are_escaped() {
        let (labels, _) = labels(&key(&[("a", "\\\"\nä".into())]), 1, 99);
        assert_eq!(&*labels_text(&labels), r#"a="\\\"\nä""#);
    }
}
