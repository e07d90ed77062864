use std::collections::BTreeMap;

use super::{SlowThresholds, config::component, slow::shown};
use crate::{
    call::{ConfigError, check_fraction},
    util::setting_changes::SettingChanges,
};

/// Maximum number of routes with thresholds of their own: each also has a label of its own.
const MAX_SLOW_ROUTES: usize = 1_000;

/// The settings of a [`Track`](super::Track) that a file may have: for [`TrackBuilder::settings`] and [`Track::apply`].
///
/// In a file (feature `serde`) durations have a unit (`"250ms"`), and what can be switched off is `"off"` then. Settings
/// that are absent have their defaults; unknown ones are errors.
///
/// ```
/// use tower_keep::{Track, track::TrackSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: TrackSettings = toml::from_str(
///     r#"
///     sample = 0.1
///     slow = { warning = "500ms", critical = "2s" }
///     [slow_routes]
///     "/export/{id}" = { warning = "30s", critical = "1m" }
///     "#,
/// )?;
/// let track = Track::builder("orders").settings(&settings).build()?;
/// assert_eq!(track.settings(), settings);
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Everything else stays in code, since a change at run time would do harm or could not hold: the names of metrics, labels
/// and histograms (series that exist do not change), the bounds of series (their tables are of a fixed size), spans, hooks
/// and predicates (they are closures), and what is private or trusted (headers, paths, addresses of clients).
///
/// [`TrackBuilder::settings`]: super::TrackBuilder::settings
/// [`Track::apply`]: super::Track::apply
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct TrackSettings {
    /// `true` if each call emits an event of the target `tower_keep::access`. Default: yes, since it costs nothing without a
    /// subscriber that is interested.
    pub access_log: bool,
    /// The fraction of successful calls that is logged, 0 to 1; see [`TrackBuilder::sample`](super::TrackBuilder::sample).
    /// Default: 1, so that no line is missing.
    pub sample: f64,
    /// The durations from which a call is slow; `None` if none is. See [`TrackBuilder::slow`](super::TrackBuilder::slow).
    /// Default: none, since only the service knows.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional")
    )]
    pub slow: Option<SlowThresholds>,
    /// The durations of `slow` for single routes, gRPC methods or (on clients) servers: at most 1,000 of them. Default: none,
    /// so that those of `slow` count for all.
    #[cfg_attr(
        feature = "serde",
        serde(deserialize_with = "crate::util::setting_serde::deserialize_names")
    )]
    pub slow_routes: BTreeMap<String, SlowThresholds>,
}

impl Default for TrackSettings {
    fn default() -> Self {
        TrackSettings {
            access_log: true,
            sample: 1.0,
            slow: None,
            slow_routes: BTreeMap::new(),
        }
    }
}

impl TrackSettings {
    /// Checks each setting as `build` and `apply` do, for the handle of this name: to check several settings before the
    /// first is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        self.validate(&component(&name))
    }

    /// Checks each setting, for the component of this name.
    pub(super) fn validate(&self, component: &str) -> Result<(), ConfigError> {
        check_fraction(component, "sample", self.sample)?;
        if let Some(slow) = self.slow {
            slow.check(component, "slow", None)?;
        }
        if self.slow_routes.len() > MAX_SLOW_ROUTES {
            let value = format!("{} routes", self.slow_routes.len());
            let expected = format!("at most {MAX_SLOW_ROUTES} routes");
            return Err(ConfigError::new(component, "slow_route", value, expected));
        }
        for (route, thresholds) in &self.slow_routes {
            thresholds.check(component, "slow_route", Some(route))?;
        }
        Ok(())
    }

    /// Returns the thresholds of routes by the labels that they count for.
    pub(super) fn slow_labels(&self) -> impl Iterator<Item = (&str, SlowThresholds)> {
        // A gRPC method is labeled without the slash that its path begins with.
        let methods = self.slow_routes.iter();
        let methods = methods.filter_map(|(route, slow)| Some((route.strip_prefix('/')?, *slow)));
        let routes = self.slow_routes.iter();
        // Last, since a label that is named as it is comes before one that is a path without its slash.
        methods.chain(routes.map(|(route, slow)| (route.as_str(), *slow)))
    }

    /// Returns the thresholds for calls of this target.
    pub(super) fn slow_thresholds(&self, target: Option<&str>) -> Option<SlowThresholds> {
        // Its own thresholds count for a route, be they shorter or longer.
        let own = |target| {
            self.slow_labels()
                .filter(move |(label, _)| *label == target)
                .last()
        };
        let own = target.and_then(own).map(|(_, slow)| slow);
        own.or(self.slow)
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &TrackSettings) -> SettingChanges {
        let mut changes = SettingChanges::default();
        changes.compare("access_log", &self.access_log, &to.access_log);
        changes.compare("sample", &self.sample, &to.sample);
        changes.compare_optional("slow", "off", &self.slow, &to.slow);
        let routes = self.slow_routes.keys();
        let added = to.slow_routes.keys();
        let added = added.filter(|route| !self.slow_routes.contains_key(*route));
        for route in routes.chain(added) {
            let [from, to] = [self, to].map(|settings| settings.slow_routes.get(route));
            let setting = format!("slow_routes.{}", shown(route));
            changes.compare_optional(&setting, "absent", &from, &to);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn millis(warning: u64, critical: u64) -> SlowThresholds {
        let [warning, critical] = [warning, critical].map(Duration::from_millis);
        SlowThresholds { warning, critical }
    }

    fn with_routes(routes: &[(&str, SlowThresholds)]) -> TrackSettings {
        let routes = routes.iter();
        TrackSettings {
            slow_routes: routes
                .map(|(route, slow)| ((*route).to_owned(), *slow))
                .collect(),
            ..TrackSettings::default()
        }
    }

    fn error(settings: &TrackSettings) -> Option<String> {
        let error = settings.validate("tracker").err();
        error.map(|error| error.to_string())
    }

    #[test]
    fn sample_is_a_fraction_and_thresholds_are_above_zero() {
        assert_eq!(error(&TrackSettings::default()), None);
        for (sample, valid) in [(0.0, true), (1.0, true), (-0.1, false), (1.1, false)] {
            let settings = TrackSettings {
                sample,
                ..TrackSettings::default()
            };
            assert_eq!(error(&settings).is_none(), valid, "{sample}");
        }
        let invalid = "above zero, the warning not above the critical threshold";
        for (slow, value) in [(millis(0, 1), "0ns and 1ms"), (millis(2, 1), "2ms and 1ms")] {
            let settings = TrackSettings {
                slow: Some(slow),
                ..TrackSettings::default()
            };
            let text = format!("tracker: slow is {value}, must be {invalid}");
            assert_eq!(error(&settings), Some(text));
            let settings = with_routes(&[("/a", millis(1, 1)), ("/b", slow)]);
            let text = format!(r#"tracker: slow_route is {value} for "/b", must be {invalid}"#);
            assert_eq!(error(&settings), Some(text));
        }
    }

    #[test]
    fn route_in_an_error_is_truncated() {
        let settings =
            with_routes(&["r".repeat(1_000).as_str()].map(|route| (route, millis(0, 1))));
        let text = error(&settings).expect("invalid");
        assert!(text.contains("rrr\u{2026}, must be"), "{text}");
        assert!(text.len() < 300, "{text}");
    }

    #[test]
    fn slow_routes_are_at_most_a_thousand() {
        let mut settings = TrackSettings::default();
        for route in 0..1_000 {
            settings.slow_routes.insert(route.to_string(), millis(1, 1));
        }
        assert_eq!(error(&settings), None);
        settings
            .slow_routes
            .insert("one more".to_owned(), millis(1, 1));
        let text = "tracker: slow_route is 1001 routes, must be at most 1000 routes";
        assert_eq!(error(&settings).as_deref(), Some(text));
    }

    #[test]
    fn thresholds_of_a_route_come_before_those_of_all() {
        let mut settings = with_routes(&[
            ("/a", millis(1, 1)),
            ("a", millis(2, 2)),
            ("/b", millis(3, 3)),
        ]);
        for (target, slow) in [
            (Some("/a"), Some(millis(1, 1))),
            (Some("a"), Some(millis(2, 2))),
            (Some("b"), Some(millis(3, 3))),
            (Some("c"), None),
            (None, None),
        ] {
            assert_eq!(settings.slow_thresholds(target), slow, "{target:?}");
        }
        settings.slow = Some(millis(4, 4));
        assert_eq!(settings.slow_thresholds(Some("/b")), Some(millis(3, 3)));
        assert_eq!(settings.slow_thresholds(Some("c")), settings.slow);
        assert_eq!(settings.slow_thresholds(None), settings.slow);
    }

    #[test]
    fn changes_name_each_setting_that_differs() {
        let from = with_routes(&[
            ("/a", millis(1, 1)),
            ("/b", millis(1, 1)),
            ("/c", millis(1, 1)),
        ]);
        assert!(from.changes(&from).is_empty());
        let to = TrackSettings {
            access_log: false,
            sample: 0.5,
            slow: Some(millis(1, 2)),
            ..with_routes(&[
                ("/a", millis(1, 1)),
                ("/b", millis(1, 2)),
                ("/d", millis(1, 1)),
            ])
        };
        let slow = |critical| format!("SlowThresholds {{ warning: 1ms, critical: {critical}ms }}");
        let text = format!(
            r#"access_log: true -> false, sample: 1.0 -> 0.5, slow: off -> {two}, slow_routes."/b": {one} -> {two}, slow_routes."/c": {one} -> absent, slow_routes."/d": absent -> {one}"#,
            one = slow(1),
            two = slow(2),
        );
        assert_eq!(from.changes(&to).text(), text);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn settings_are_read_as_they_were_written() {
        let mut settings = with_routes(&[("/a", millis(1, 1)), ("shop.Stock/Get", millis(2, 3))]);
        for slow in [None, Some(millis(250, 1_000))] {
            settings.slow = slow;
            let text = toml::to_string(&settings).expect("TOML");
            assert_eq!(
                toml::from_str::<TrackSettings>(&text),
                Ok(settings.clone()),
                "{text}"
            );
            let json = serde_json::to_string(&settings).expect("JSON");
            assert_eq!(
                serde_json::from_str::<TrackSettings>(&json).expect(&json),
                settings
            );
        }
        assert_eq!(
            toml::from_str::<TrackSettings>(""),
            Ok(TrackSettings::default())
        );
        let slow = r#"{"warning": "1s", "critical": "1s"}"#;
        let twice = format!(r#"{{"slow_routes": {{"/a": {slow}, "/a": {slow}}}}}"#);
        let error = serde_json::from_str::<TrackSettings>(&twice).expect_err("twice");
        assert!(
            error.to_string().contains(r#"duplicate name "/a""#),
            "{error}"
        );
        for (text, parts) in [
            (
                "sample = 1\nsampling = 1",
                ["line 2", "`access_log`, `sample`, `slow`, `slow_routes`"],
            ),
            (
                "sample = 1\n[slow]\nwarn = '1s'",
                ["line 3", "expected `warning` or `critical`"],
            ),
            (
                "sample = 1\n[slow]\nwarning = '1s'",
                ["line 2", "missing field `critical`"],
            ),
            (
                "[slow_routes]\n'/a' = { warn = '1s' }",
                ["line 2", "expected `warning` or `critical`"],
            ),
            (
                "[slow_routes]\n'/a' = 'off'",
                ["line 2", "expected a table with `warning` and `critical`"],
            ),
        ] {
            let error = toml::from_str::<TrackSettings>(text)
                .expect_err(text)
                .to_string();
            for part in parts {
                assert!(error.contains(part), "{part} is not in: {error}");
            }
        }
    }
}
