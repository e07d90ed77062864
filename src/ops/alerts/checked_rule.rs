use std::time::Duration;

use super::{
    RuleSettings,
    expression::Unit,
    rule_settings::component,
    trigger::{Condition, Trigger},
};
use crate::{
    call::ConfigError,
    ops::journal::{EventKind, Severity},
};

/// Most alerts are over soon after their cause; one whose cause comes back within this time has not been.
const KEEP_FIRING: Duration = Duration::from_secs(60);
/// Events have no end of their own: long enough to be read, short enough to be forgotten.
const KEEP_EVENT: Duration = Duration::from_secs(15 * 60);
const MAX_TIME: Duration = Duration::from_secs(7 * 86_400);
const MAX_EVERY: Duration = Duration::from_secs(3_600);
const MAX_NAME: usize = 128;
const MAX_TEXT: usize = 1_024;
const MAX_LABELS: usize = 16;
const MAX_ALERTS: usize = 1_000;

/// A rule whose settings are valid.
#[derive(Clone, Debug)]
pub(in crate::ops) struct CheckedRule {
    pub(in crate::ops) settings: RuleSettings,
    pub(in crate::ops) condition: Condition,
}

impl CheckedRule {
    /// Checks the settings. The condition is that of the text unless there is another one.
    pub(super) fn new(
        settings: RuleSettings,
        trigger: Option<Trigger>,
    ) -> Result<Self, ConfigError> {
        let name = settings.name.as_str();
        let invalid = |field, value: String, expected: String| {
            Err(ConfigError::new(component(name), field, value, expected))
        };
        if !(1..=MAX_NAME).contains(&name.len()) || name.contains(char::is_control) {
            let expected = format!("1 to {MAX_NAME} bytes without control characters");
            return invalid("name", format!("{name:?}"), expected);
        }
        let trigger = trigger.unwrap_or_else(|| Trigger::from(settings.when.as_str()));
        let condition = match trigger.condition {
            Ok(condition) => condition,
            Err(wrong) => return invalid("when", format!("{:?}", wrong.text), wrong.expected),
        };
        let keep = settings.keep_firing_for.unwrap_or_default();
        for (field, time, max) in [
            ("for", settings.for_, MAX_TIME),
            ("keep_firing_for", keep, MAX_TIME),
            ("cooldown", settings.cooldown, MAX_TIME),
            ("every", settings.every, MAX_EVERY),
        ] {
            let least = Duration::from_secs(u64::from(field == "every"));
            if !(least..=max).contains(&time) {
                return invalid(field, format!("{time:?}"), format!("{least:?} to {max:?}"));
            }
        }
        if !(1..=MAX_ALERTS).contains(&settings.max_alerts) {
            let value = settings.max_alerts.to_string();
            return invalid("max_alerts", value, format!("1 to {MAX_ALERTS}"));
        }
        check_texts(&settings)?;
        let rule = CheckedRule {
            settings,
            condition,
        };
        rule.check_condition()?;
        Ok(rule)
    }

    /// Checks what goes with the condition only.
    fn check_condition(&self) -> Result<(), ConfigError> {
        let settings = &self.settings;
        let invalid = |field, value: String, expected: &str| {
            Err(ConfigError::new(
                component(&settings.name),
                field,
                value,
                expected,
            ))
        };
        match &self.condition {
            // Alerts are events, too: a rule on its own alerts would not end.
            Condition::Event(event) if event.kind == EventKind::Alert => invalid(
                "when",
                "event(alert)".to_owned(),
                "an event of another kind",
            ),
            Condition::Event(_) if !settings.for_.is_zero() => {
                let value = format!("{:?}", settings.for_);
                invalid("for", value, "zero for events, which have no duration")
            }
            Condition::Event(_) if settings.critical_at.is_some() => {
                let value = format!("{:?}", settings.critical_at);
                invalid(
                    "critical_at",
                    value,
                    "absent for events, which have no value",
                )
            }
            Condition::Value(value) if !value.threshold.is_finite() => invalid(
                "when",
                value.threshold.to_string(),
                "a comparison with a finite number",
            ),
            Condition::Value(value) => match settings.critical_at {
                Some(at) if !(at.is_finite() && value.comparison.holds(at, value.threshold)) => {
                    let (sign, threshold) = (value.comparison, value.threshold);
                    let expected = format!("a number that is {sign} {threshold} itself");
                    invalid("critical_at", at.to_string(), &expected)
                }
                _ => Ok(()),
            },
            Condition::Event(_) => Ok(()),
        }
    }

    pub(in crate::ops) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns for how long an alert fires after its condition no longer holds, or after its last event.
    pub(in crate::ops) fn keep_firing_for(&self) -> Duration {
        let default = match &self.condition {
            Condition::Value(_) => KEEP_FIRING,
            Condition::Event(_) => KEEP_EVENT,
        };
        self.settings.keep_firing_for.unwrap_or(default)
    }

    /// Returns the severity of an alert of this value.
    pub(super) fn severity_at(&self, value: f64) -> Severity {
        let usual = self.settings.severity.unwrap_or(Severity::Warning);
        match (&self.condition, self.settings.critical_at) {
            (Condition::Value(condition), Some(at))
                if value == at || condition.comparison.holds(value, at) =>
            {
                Severity::Critical
            }
            _ => usual,
        }
    }

    pub(in crate::ops) fn unit(&self) -> Unit {
        match &self.condition {
            Condition::Value(value) => value.expression.unit(),
            Condition::Event(_) => Unit::None,
        }
    }

    /// Returns the time after the start for which values may be unknown, since nothing was recorded yet.
    pub(super) fn warm_up(&self) -> Duration {
        match &self.condition {
            Condition::Value(value) => value.expression.window + self.settings.every,
            Condition::Event(_) => Duration::ZERO,
        }
    }
}

fn check_texts(settings: &RuleSettings) -> Result<(), ConfigError> {
    let invalid = |field, value: String, expected: String| {
        Err(ConfigError::new(
            component(&settings.name),
            field,
            value,
            expected,
        ))
    };
    for (field, texts) in [
        ("labels", &settings.labels),
        ("annotations", &settings.annotations),
    ] {
        if texts.len() > MAX_LABELS {
            return invalid(field, texts.len().to_string(), format!("0 to {MAX_LABELS}"));
        }
        for (name, text) in texts {
            if !is_name(name) {
                let expected = "of names like team: letters, digits and _, at most 128 bytes";
                return invalid(field, format!("{name:?}"), expected.to_owned());
            }
            if text.len() > MAX_TEXT {
                let value = format!("{} bytes for {name}", text.len());
                return invalid(
                    field,
                    value,
                    format!("of texts of at most {MAX_TEXT} bytes"),
                );
            }
        }
    }
    let summary = settings.summary.as_deref().unwrap_or_default();
    match summary.len() > MAX_TEXT {
        true => {
            let value = format!("{} bytes", summary.len());
            invalid("summary", value, format!("at most {MAX_TEXT} bytes"))
        }
        false => Ok(()),
    }
}

/// Returns whether a text is a name of a label in every format.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=MAX_NAME).contains(&text.len())
        && text.chars().all(is_part)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}
