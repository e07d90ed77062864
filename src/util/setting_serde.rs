//! The form of settings in a file: durations as `"250ms"`, and what can be switched off as `"off"`.
//!
//! For `#[serde(with = "crate::util::setting_serde::duration")]` and its siblings.

use std::{collections::BTreeMap, fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, Visitor},
};

use super::text::display_bounded;

/// Longest name that an error shows, in bytes.
const MAX_SHOWN_NAME: usize = 128;
/// The text of a setting that has no value.
const OFF: &str = "off";

/// Durations as text with a unit.
pub(crate) mod duration {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        DurationText(*time).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        DurationText::deserialize(from).map(|text| text.0)
    }
}

/// Durations that may be `"off"`.
pub(crate) mod optional_duration {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        optional::serialize(&time.map(DurationText), to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let time = optional::deserialize::<DurationText, D>(from)?;
        Ok(time.map(|text| text.0))
    }
}

/// Durations that are left out where they have the default, and that nothing switches off. For fields that are skipped if
/// they are `None`.
pub(crate) mod duration_or_default {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(DurationText).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(from).map(Some)
    }
}

/// Reads a map by names, and refuses a name that comes twice: formats such as JSON do not.
pub(crate) fn deserialize_names<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    from.deserialize_map(NamesVisitor(PhantomData))
}

/// Values that may be `"off"`.
pub(crate) mod optional {
    use super::*;

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(to),
            None => to.serialize_str(OFF),
        }
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        from.deserialize_any(OptionalVisitor(PhantomData))
    }
}

/// Accepts `"off"` and null; passes all others on to the type of the value.
struct OptionalVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OptionalVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or \"off\"")
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
        match text {
            OFF => Ok(None),
            text => read_value(text),
        }
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Option<T>, E> {
        read_value(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<T>, E> {
        read_value(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<T>, E> {
        read_value(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Option<T>, E> {
        read_value(value)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}

/// Reads a value that is not `"off"`.
fn read_value<'de, T, E>(value: impl IntoDeserializer<'de, E>) -> Result<Option<T>, E>
where
    T: Deserialize<'de>,
    E: de::Error,
{
    T::deserialize(value.into_deserializer())
        .map(Some)
        .map_err(or_off)
}

/// Completes the error about a value that is not `"off"` either.
fn or_off<E: de::Error>(error: E) -> E {
    // Some formats end their text with a line break.
    E::custom(format_args!(
        "{}, or \"{OFF}\"",
        error.to_string().trim_end()
    ))
}

/// Accepts a map whose names are all different.
struct NamesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamesVisitor<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of names")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if values.contains_key(&name) {
                let name = display_bounded(format_args!("{name:?}"), MAX_SHOWN_NAME);
                return Err(de::Error::custom(format_args!("duplicate name {name}")));
            }
            values.insert(name, map.next_value()?);
        }
        Ok(values)
    }
}

/// A duration that is written as text.
struct DurationText(Duration);

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = DurationText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"250ms\", \"5s\" or \"1m 30s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationText, E> {
        humantime::parse_duration(text)
            .map(DurationText)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Settings {
        #[serde(with = "duration")]
        open_time: Duration,
        #[serde(with = "optional_duration")]
        slow_call: Option<Duration>,
        #[serde(with = "optional")]
        failure_rate: Option<f64>,
        #[serde(with = "optional")]
        failures: Option<u32>,
    }

    fn settings(slow_call: Option<Duration>, failure_rate: Option<f64>) -> Settings {
        Settings {
            open_time: Duration::from_millis(1_500),
            slow_call,
            failure_rate,
            failures: failure_rate.map(|_| 5),
        }
    }

    #[test]
    fn settings_are_read_as_they_were_written() {
        let settings = [
            settings(None, None),
            settings(Some(Duration::from_millis(250)), Some(0.5)),
        ];
        for settings in settings {
            let json = serde_json::to_string(&settings).expect("JSON");
            assert_eq!(
                serde_json::from_str::<Settings>(&json).expect(&json),
                settings
            );
            let text = toml::to_string(&settings).expect("TOML");
            assert_eq!(toml::from_str::<Settings>(&text).expect(&text), settings);
        }
    }

    #[test]
    fn setting_that_is_null_is_off() {
        let json = r#"{"open_time": "1s 500ms", "slow_call": null, "failure_rate": null, "failures": "off"}"#;
        let read = serde_json::from_str::<Settings>(json).expect("settings");
        assert_eq!(read, settings(None, None));
    }

    #[test]
    fn duration_without_unit_says_what_is_allowed() {
        for value in ["5", "\"5\"", "\"soon\"", "\"-5s\"", "\"\"", "true"] {
            let text =
                format!("open_time = {value}\nslow_call = \"off\"\nfailure_rate = 1\nfailures = 1");
            let error = toml::from_str::<Settings>(&text)
                .expect_err(value)
                .to_string();
            assert!(
                error.contains("a duration with its unit, such as \"250ms\""),
                "{error}"
            );
        }
    }

    #[test]
    fn value_of_another_type_says_what_is_allowed() {
        let error = |json: &str| {
            serde_json::from_str::<Settings>(json)
                .expect_err(json)
                .to_string()
        };
        let text =
            error(r#"{"open_time": "1s", "slow_call": 7, "failure_rate": 1, "failures": 1}"#);
        assert!(text.contains("a duration with its unit"), "{text}");
        let text = error(
            r#"{"open_time": "1s", "slow_call": "off", "failure_rate": "no", "failures": 1}"#,
        );
        let allowed = "invalid type: string \"no\", expected f64, or \"off\" at line 1";
        assert!(text.contains(allowed), "{text}");
        let text =
            error(r#"{"open_time": "1s", "slow_call": "off", "failure_rate": 1, "failures": -1}"#);
        assert!(text.contains("-1"), "{text}");
    }
    #[test]
    fn value_that_is_not_quite_off_says_what_is_allowed() {
        let read = |slow_call: &str, failures: &str| {
            let text = format!(
                "open_time = '1s'\nfailure_rate = 1\nslow_call = {slow_call}\nfailures = {failures}"
            );
            toml::from_str::<Settings>(&text).expect_err("invalid")
        };
        let duration =
            "a duration with its unit, such as \"250ms\", \"5s\" or \"1m 30s\", or \"off\"";
        for value in ["'OFF'", "'off '", "''", "5", "0.5", "true"] {
            let error = read(value, "1");
            assert!(error.message().ends_with(duration), "{error}");
            assert!(error.to_string().contains("line 3"), "{error}");
        }
        for value in ["'OFF'", "0.5", "true", "-1"] {
            let error = read("'1s'", value);
            assert!(
                error.message().ends_with("expected u32, or \"off\""),
                "{error}"
            );
        }
        // A list is no value, and not an empty table either.
        let error = read("'1s'", "[]").to_string();
        assert!(error.contains("expected a value, or \"off\""), "{error}");
    }

    #[test]
    fn name_that_comes_twice_is_an_error() {
        let read = |json: &str| {
            let mut from = serde_json::Deserializer::from_str(json);
            deserialize_names::<u8, _>(&mut from)
        };
        let names = read(r#"{"b": 2, "a": 1}"#).expect("a map");
        assert_eq!(names, [("a".to_owned(), 1), ("b".to_owned(), 2)].into());
        let error = read(r#"{"b": 2, "a": 1, "b": 3}"#).expect_err("twice");
        let text = error.to_string();
        assert!(
            text.starts_with(r#"duplicate name "b" at line 1"#),
            "{text}"
        );
        let error = read("[]").expect_err("no map").to_string();
        assert!(error.contains("expected a table of names"), "{error}");
        let name = "n".repeat(1_000);
        let error = read(&format!(r#"{{"{name}": 1, "{name}": 1}}"#)).expect_err("twice");
        assert!(error.to_string().len() < 200, "{error}");
    }
}
