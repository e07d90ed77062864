use std::{collections::BTreeMap, time::Duration};

/// The settings of [`TimeLimits`](super::TimeLimits), as a file may have them: for [`TimeLimits::apply`].
///
/// In a file (feature `serde`) it is a table of names and durations with a unit (`"250ms"`).
///
/// ```
/// use std::time::Duration;
/// use tower_keep::timeout::{TimeLimits, TimeLimitsSettings};
///
/// # #[cfg(feature = "serde")] {
/// let limits = TimeLimits::builder().build()?;
/// let settings: TimeLimitsSettings = toml::from_str("db = '2s'\nllm = '1m'")?;
/// limits.apply(&settings)?;
/// assert_eq!(limits.get("db").get(), Duration::from_secs(2));
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// [`TimeLimits::apply`]: super::TimeLimits::apply
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
pub struct TimeLimitsSettings {
    /// The limits by their names; `otherwise` is that of all other names. Those that are absent are as they were built.
    /// Default: none.
    #[cfg_attr(feature = "serde", serde(with = "limits"))]
    pub limits: BTreeMap<String, Duration>,
}

/// Limits in a file.
#[cfg(feature = "serde")]
mod limits {
    use std::{collections::BTreeMap, time::Duration};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::util::setting_serde;

    #[derive(Deserialize, Serialize)]
    struct Limit(#[serde(with = "setting_serde::duration")] Duration);

    pub(super) fn serialize<S: Serializer>(
        limits: &BTreeMap<String, Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(limits.iter().map(|(name, time)| (name, Limit(*time))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, Duration>, D::Error> {
        let limits = setting_serde::deserialize_names::<Limit, _>(from)?;
        let limits = limits.into_iter();
        Ok(limits.map(|(name, Limit(time))| (name, time)).collect())
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_were_written() {
        let text = "db = \"2s\"\notherwise = \"1m 30s\"\n";
        let settings = toml::from_str::<TimeLimitsSettings>(text).expect(text);
        let times = [("db", 2), ("otherwise", 90)];
        let times = times.map(|(name, time)| (name.to_owned(), Duration::from_secs(time)));
        assert_eq!(settings.limits, times.into());
        assert_eq!(toml::to_string(&settings).expect("TOML"), text);
        let error = toml::from_str::<TimeLimitsSettings>("llm = '1m'\ndb = 2");
        let error = error.expect_err("no unit").to_string();
        assert!(
            error.contains("line 2") && error.contains("a duration with its unit"),
            "{error}"
        );
        let twice = r#"{"db": "1s", "db": "2s"}"#;
        let error = serde_json::from_str::<TimeLimitsSettings>(twice).expect_err("twice");
        assert!(
            error.to_string().contains(r#"duplicate name "db""#),
            "{error}"
        );
    }
}
