//! Sentences with places for what they tell of.

use std::time::Duration;

use super::{checked_rule::CheckedRule, expression::Unit, sample::Labels, trigger::Condition};
use crate::util::text::truncated;

/// The longest sentence, in bytes.
const MAX_TEXT: usize = 1_024;

/// The places of a sentence, with what they stand for.
pub(super) struct Places<'a> {
    pub(super) rule: &'a CheckedRule,
    pub(super) value: Option<f64>,
    pub(super) labels: &'a Labels,
    /// The text of the event, where there is one.
    pub(super) event: Option<&'a str>,
}

impl Places<'_> {
    /// Returns the sentence of the rule, or one that says the same of any rule.
    pub(super) fn summary(&self) -> String {
        match &self.rule.settings.summary {
            Some(template) => self.fill(template),
            None => truncated(&self.default_summary(), MAX_TEXT).into_owned(),
        }
    }

    /// Returns the texts of the rule.
    pub(super) fn annotations(&self) -> Labels {
        let all = self.rule.settings.annotations.iter();
        all.map(|(name, text)| (name.clone(), self.fill(text)))
            .collect()
    }

    fn default_summary(&self) -> String {
        let (value, threshold) = match &self.rule.condition {
            Condition::Event(_) => {
                let subject = self.labels.get("subject").map_or("", String::as_str);
                return match (subject, self.event.unwrap_or_default()) {
                    (subject, "") => format!("{}: {subject}", self.rule.name()),
                    ("", text) => text.to_owned(),
                    (subject, text) => format!("{subject}: {text}"),
                };
            }
            Condition::Value(value) => (value, self.number(Some(value.threshold))),
        };
        let labels: Vec<_> = self
            .labels
            .iter()
            .filter(|(name, _)| !self.rule.settings.labels.contains_key(*name))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let of = if labels.is_empty() { "" } else { " of " };
        let name = value.expression.name();
        let labels = labels.join(", ");
        match self.value {
            None => format!("{name}{of}{labels} is unknown"),
            Some(_) => format!(
                "{name}{of}{labels} is {}, {} {threshold}",
                self.number(self.value),
                value.comparison.words()
            ),
        }
    }

    /// Returns a template with its places filled; what is unknown stays as it is.
    fn fill(&self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            match after
                .split_once('}')
                .map(|(name, end)| (self.place(name), end))
            {
                Some((Some(text), end)) => {
                    out.push_str(&text);
                    rest = end;
                }
                _ => {
                    out.push('{');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        truncated(&out, MAX_TEXT).into_owned()
    }

    fn place(&self, name: &str) -> Option<String> {
        match name {
            "value" => Some(self.number(self.value)),
            "threshold" => match &self.rule.condition {
                Condition::Value(value) => Some(self.number(Some(value.threshold))),
                Condition::Event(_) => None,
            },
            "rule" => Some(self.rule.name().to_owned()),
            "for" => Some(span(self.rule.settings.for_)),
            "text" => self.event.map(str::to_owned),
            label => self.labels.get(label).cloned(),
        }
    }

    fn number(&self, value: Option<f64>) -> String {
        value.map_or_else(
            || "unknown".to_owned(),
            |value| number(value, self.rule.unit()),
        )
    }
}

/// Returns a number with its unit, to three digits.
pub(super) fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ratio => format!("{} %", digits(value * 100.0)),
        Unit::Seconds if value.abs() < 1.0 => format!("{} ms", digits(value * 1e3)),
        Unit::Seconds => format!("{} s", digits(value)),
        Unit::None => digits(value),
    }
}

fn digits(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return value.to_string();
    }
    if size >= 100.0 || value == 0.0 {
        return format!("{value:.0}");
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Returns a time as people say it: `90 s`, `2 min`, `4 h`.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 120 && seconds != 60 => format!("{seconds} s"),
        seconds if seconds < 7_200 && seconds != 3_600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::alerts::Rule;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn summary(rule: Rule, value: Option<f64>, labels: &Labels) -> String {
        let rule = &rule.checked().expect("valid");
        let event = Some("new error: disk full");
        let places = Places {
            rule,
            value,
            labels,
            event,
        };
        places.summary()
    }

    #[test]
    fn summary_has_a_name_a_number_and_the_threshold() {
        let when = |text: &str| Rule::new("r").when(text).label("team", "payments");
        let route = labels(&[("route", "POST /pay"), ("team", "payments")]);
        for (text, value, expected) in [
            (
                "error_ratio{route=\"POST /pay\"} > 5%",
                Some(0.0983),
                "error ratio of route POST /pay is 9.83 %, above 5 %",
            ),
            (
                "call_latency by (route) >= 250ms",
                Some(1.5),
                "p95 latency of route POST /pay is 1.5 s, at least 250 ms",
            ),
            (
                "sum(load) by (route) != 1",
                Some(0.0),
                "sum of load of route POST /pay is 0, not 1",
            ),
            (
                "load by (route) < 1",
                None,
                "load of route POST /pay is unknown",
            ),
            ("event(error)", None, "new error: disk full"),
        ] {
            assert_eq!(summary(when(text), value, &route), expected);
        }
        let subject = labels(&[("subject", "Disk")]);
        assert_eq!(
            summary(when("event(error)"), None, &subject),
            "Disk: new error: disk full"
        );
    }

    #[test]
    fn template_is_filled_and_bounded() {
        let rule = Rule::new("r")
            .when("error_ratio by (route) > 5%")
            .for_(Duration::from_secs(120));
        let text = "{rule}: {value} of {route} for {for}, not {threshold} {unknown} {";
        let route = labels(&[("route", "{value}")]);
        let filled = summary(rule.clone().summary(text), Some(0.5), &route);
        assert_eq!(filled, "r: 50 % of {value} for 2 min, not 5 % {unknown} {");
        let long = labels(&[("route", &"ä".repeat(2_000))]);
        assert_eq!(
            summary(rule.summary("{route}"), None, &long).len(),
            MAX_TEXT - 1
        );
    }

    #[test]
    fn numbers_have_three_digits() {
        let plain = |value| number(value, Unit::None);
        let expected = [
            "0", "5", "0.0123", "1.23", "12.3", "123", "123457", "-0.5", "inf",
        ];
        let values = [
            0.0,
            5.0,
            0.012_345,
            1.2345,
            12.345,
            123.45,
            123_456.7,
            -0.5,
            f64::INFINITY,
        ];
        assert_eq!(values.map(plain), expected);
        assert_eq!(number(0.5, Unit::Seconds), "500 ms");
        assert_eq!(
            [60, 90, 120, 3_600, 86_400].map(|s| span(Duration::from_secs(s))),
            ["1 min", "90 s", "2 min", "1 h", "24 h"]
        );
    }
}
