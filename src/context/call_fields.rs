use std::fmt::{self, Display, Write};

use crate::util::{
    credentials::{REDACTED, looks_like_credential},
    text::display_bounded,
};

/// The longest value, in bytes: an ID or a name, not a text.
const MAX_VALUE: usize = 256;
/// The number of fields that are kept: each is a column of the log.
const MAX_FIELDS: usize = 16;

// Control characters that end a name and a value where fields are written for the log layer of this crate.
const END_OF_NAME: char = '\u{1f}';
const END_OF_VALUE: char = '\u{1e}';

/// Fields that the application adds to the access-log line of a call: at its admission by
/// [`TrackBuilder::log_fields`](crate::track::TrackBuilder::log_fields), and later by
/// [`Context::add_field`](super::Context::add_field).
///
/// At most 16 fields, with values of at most 256 bytes; longer ones end in `…`, and fields beyond that are dropped. A value is
/// `REDACTED` if the name contains `auth`, `token`, `key`, `secret`, `cookie`, `session`, `password` or `credential`.
///
/// The log layer of this crate writes each as a field of its own, `"fields.tenant":"acme"`. For other subscribers they are the
/// text of one field, `fields`: `tenant="acme" plan="free"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFields(Vec<(&'static str, Box<str>)>);

impl CallFields {
    /// Adds a field, or replaces the one of this name.
    ///
    /// ```
    /// use tower_keep::{Track, context::RequestHead};
    ///
    /// fn has_range(head: &RequestHead<'_>) -> bool {
    ///     head.headers.contains_key("range")
    /// }
    ///
    /// let track = Track::builder("media")
    ///     .log_fields(|head, fields| fields.add("partial", has_range(head)))
    ///     .build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn add(&mut self, name: &'static str, value: impl Display) {
        self.insert(name, Self::format_value(name, value));
    }

    /// Returns the text of a value, truncated and redacted.
    pub(super) fn format_value(name: &str, value: impl Display) -> Box<str> {
        match looks_like_credential(name) {
            true => REDACTED.into(),
            false => display_bounded(value, MAX_VALUE),
        }
    }

    pub(super) fn insert(&mut self, name: &'static str, value: Box<str>) {
        let CallFields(fields) = self;
        match fields.iter().position(|(known, _)| *known == name) {
            Some(index) => fields[index].1 = value,
            None if fields.len() < MAX_FIELDS => fields.push((name, value)),
            None => {}
        }
    }

    /// Returns these fields and later ones, which replace those of the same name.
    pub(crate) fn merged(&self, later: Option<CallFields>) -> CallFields {
        let mut merged = later.unwrap_or_default();
        for (name, value) in &self.0 {
            if !merged.0.iter().any(|(known, _)| known == name) {
                merged.0.push((name, value.clone()));
            }
        }
        merged
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names and values of fields that were written in the alternate form.
    #[cfg(any(feature = "logging", test))]
    pub(crate) fn parse(text: &str) -> impl Iterator<Item = (&str, &str)> {
        let fields = text.split_terminator(END_OF_VALUE);
        fields.filter_map(|field| field.split_once(END_OF_NAME))
    }
}

/// Writes `tenant="acme" plan="free"`; in the alternate form what the log layer of this crate parses, since a subscriber gets
/// nothing but a text of a field.
impl Display for CallFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            if f.alternate() {
                write!(f, "{name}{END_OF_NAME}")?;
                let is_part = |c: &char| !matches!(*c, END_OF_NAME | END_OF_VALUE);
                for c in value.chars().filter(is_part) {
                    f.write_char(c)?;
                }
                f.write_char(END_OF_VALUE)?;
            } else {
                let space = if index == 0 { "" } else { " " };
                write!(f, "{space}{name}={value:?}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(fields: &CallFields) -> Vec<(String, String)> {
        let text = format!("{fields:#}");
        let parsed = CallFields::parse(&text);
        parsed
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn call_fields_are_bounded_redacted_and_replaced() {
        let mut fields = CallFields::default();
        fields.add("user", 7);
        fields.add("apiKey", "hush");
        fields.add("user", "a\"b\u{1e}\u{1f}\n");
        fields.add("empty", "");
        fields.add("long", "ä".repeat(200));
        let text = fields.to_string();
        let start = r#"user="a\"b\u{1e}\u{1f}\n" apiKey="REDACTED" empty="" long="ä"#;
        assert!(text.starts_with(start), "{text}");
        let fields_read = parsed(&fields);
        assert_eq!(fields_read[0], ("user".into(), "a\"b\n".into()));
        assert_eq!(fields_read[2], ("empty".into(), String::new()));
        assert!(fields_read[3].1.len() <= MAX_VALUE && fields_read[3].1.ends_with('…'));
        for name in [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "l", "m", "n",
        ] {
            fields.add(name, name);
        }
        assert_eq!(parsed(&fields).len(), MAX_FIELDS);
        fields.add("user", "again");
        assert_eq!(parsed(&fields)[0].1, "again");
    }

    #[test]
    fn call_fields_of_later_replace_earlier_ones() {
        let (mut early, mut later) = (CallFields::default(), CallFields::default());
        early.add("user", "unknown");
        early.add("tenant", "acme");
        later.add("user", 7);
        let merged = early.merged(Some(later));
        assert_eq!(merged.to_string(), r#"user="7" tenant="acme""#);
        assert_eq!(early.merged(None), early);
    }
}
