use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Comparison, NoData,
    alert::{Alert, AlertPhase, AlertStep, Reading, RuleTimes},
    changes::Changes,
    checked_rule::CheckedRule,
    sample::{Labels, RuleSamples, fingerprint},
    text::Places,
    trigger::Condition,
};
use crate::ops::journal::{Event, EventKind, Severity};

/// The time for which a resolved alert is remembered: whether it flaps, and when it was told.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Ticks may be early or late by so much.
const TOLERANCE: Duration = Duration::from_millis(500);

/// A rule with its alerts.
#[derive(Debug)]
pub(in crate::ops) struct RuleState {
    pub(in crate::ops) rule: Arc<CheckedRule>,
    next_at: SystemTime,
    /// The alerts by fingerprint: those that are not resolved, and those that were of late.
    pub(in crate::ops) alerts: BTreeMap<String, Alert>,
    /// The time since which something is to be told.
    pub(super) waiting_since: Option<SystemTime>,
    pub(super) last_flush: Option<SystemTime>,
    pub(in crate::ops) last: Option<Evaluation>,
    /// The alerts beyond the limit, in the last evaluation.
    pub(in crate::ops) truncated: usize,
}

/// The finding of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Evaluation {
    pub(in crate::ops) at: SystemTime,
    /// The value that is nearest to the threshold, or furthest beyond it.
    pub(in crate::ops) value: Option<f64>,
    pub(in crate::ops) series: usize,
    pub(in crate::ops) error: Option<String>,
}

/// The surroundings of an evaluation besides the rule.
pub(super) struct EvaluationContext<'a> {
    pub(super) now: SystemTime,
    /// True while too little was recorded to know anything.
    pub(super) is_warming_up: bool,
    pub(super) next_seq: &'a mut u64,
    pub(super) changes: &'a mut Changes,
}

impl RuleState {
    pub(super) fn new(rule: CheckedRule, next_at: SystemTime) -> Self {
        RuleState {
            rule: Arc::new(rule),
            next_at,
            alerts: BTreeMap::new(),
            waiting_since: None,
            last_flush: None,
            last: None,
            truncated: 0,
        }
    }

    /// Sets the time of the first evaluation.
    pub(super) fn begin_at(&mut self, at: SystemTime) {
        self.next_at = at;
    }

    /// Returns whether it is time to look.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        matches!(self.rule.condition, Condition::Value(_)) && self.next_at <= now + TOLERANCE
    }

    fn times(&self) -> RuleTimes {
        RuleTimes {
            for_: self.rule.settings.for_,
            keep_firing_for: self.rule.keep_firing_for(),
        }
    }

    /// Takes in the values of an evaluation.
    pub(super) fn observe(&mut self, samples: &RuleSamples, context: &mut EvaluationContext<'_>) {
        // One that an event has asked for comes between the others.
        if self.is_due(context.now) {
            let every = self.rule.settings.every;
            let next = self.next_at + every;
            // Evaluations that were missed are not made up for.
            self.next_at = if next + TOLERANCE < context.now {
                context.now + every
            } else {
                next
            };
        }
        self.truncated = 0;
        let mut seen = BTreeSet::new();
        for sample in &samples.values {
            let fingerprint = fingerprint(self.rule.name(), &sample.labels);
            let reading = self.reading(sample.value, context);
            self.apply(&fingerprint, &sample.labels, reading, None, context);
            seen.insert(fingerprint);
        }
        self.observe_absent(samples, &seen, context);
        self.last = Some(Evaluation {
            at: context.now,
            value: self.telling_value(samples),
            series: samples.values.len(),
            error: samples.error.clone(),
        });
    }

    /// Takes in that some series are not there any more, or that there is none.
    fn observe_absent(
        &mut self,
        samples: &RuleSamples,
        seen: &BTreeSet<String>,
        context: &mut EvaluationContext<'_>,
    ) {
        let unknown = self.reading(None, context);
        let absent = self
            .alerts
            .values()
            .filter(|alert| !seen.contains(&alert.fingerprint));
        let absent = absent.filter(|alert| !alert.is_resolved());
        let absent: Vec<_> = absent
            .map(|alert| (alert.fingerprint.clone(), alert.series.clone()))
            .collect();
        for (fingerprint, series) in absent {
            // The alert that there is no series at all.
            let reading = match series.is_empty() && !samples.values.is_empty() {
                true => Reading::False(None),
                false => unknown,
            };
            self.apply(&fingerprint, &series, reading, None, context);
        }
        if samples.values.is_empty() && matches!(unknown, Reading::True(..)) {
            let series = Labels::new();
            let fingerprint = fingerprint(self.rule.name(), &series);
            if self.alerts.get(&fingerprint).is_none_or(Alert::is_resolved) {
                self.apply(&fingerprint, &series, unknown, None, context);
            }
        }
    }

    fn reading(&self, value: Option<f64>, context: &EvaluationContext<'_>) -> Reading {
        let usual = self.rule.settings.severity.unwrap_or(Severity::Warning);
        match (&self.rule.condition, value.filter(|value| !value.is_nan())) {
            (Condition::Value(condition), Some(value)) => {
                match condition.comparison.holds(value, condition.threshold) {
                    true => Reading::True(Some(value), self.rule.severity_at(value)),
                    false => Reading::False(Some(value)),
                }
            }
            _ if context.is_warming_up => Reading::Keep,
            _ => match self.rule.settings.no_data {
                NoData::Keep => Reading::Keep,
                NoData::Ok => Reading::False(None),
                NoData::Alert => Reading::True(None, usual),
            },
        }
    }

    /// Returns the value that tells most about the rule.
    fn telling_value(&self, samples: &RuleSamples) -> Option<f64> {
        let Condition::Value(condition) = &self.rule.condition else {
            return None;
        };
        let values = samples.values.iter().filter_map(|sample| sample.value);
        match condition.comparison {
            Comparison::Lt | Comparison::Lte => values.reduce(f64::min),
            Comparison::Gt | Comparison::Gte => values.reduce(f64::max),
            Comparison::Eq | Comparison::Neq => {
                let mut values = values.peekable();
                let first = values.peek().copied();
                let mut values =
                    values.filter(|value| condition.comparison.holds(*value, condition.threshold));
                values.next().or(first)
            }
        }
    }

    /// Takes in an event of the journal.
    pub(super) fn on_event(&mut self, event: &Event, context: &mut EvaluationContext<'_>) {
        let Condition::Event(condition) = &self.rule.condition else {
            return;
        };
        if condition.kind != event.kind() {
            return;
        }
        let series = identity(event);
        let fingerprint = fingerprint(self.rule.name(), &series);
        let is_end = event.severity() == Severity::Info
            && matches!(event.kind(), EventKind::Guard | EventKind::Health);
        if is_end {
            if let Some(alert) = self.alerts.get_mut(&fingerprint)
                && alert.is_active()
            {
                alert.resolve(context.now, event.text());
                context.changes.resolved(alert, context.now, None);
            }
            return;
        }
        let labels = event_labels(event);
        if condition
            .filters
            .iter()
            .all(|filter| filter.matches(&labels))
        {
            let severity = self.rule.settings.severity.unwrap_or(event.severity());
            let reading = Reading::True(None, severity);
            self.apply(&fingerprint, &series, reading, Some(event.text()), context);
        }
    }

    /// Takes in what is known of one alert, which may be new.
    fn apply(
        &mut self,
        fingerprint: &str,
        series: &Labels,
        reading: Reading,
        event: Option<&str>,
        context: &mut EvaluationContext<'_>,
    ) {
        let now = context.now;
        let times = self.times();
        let is_quiet = self.alerts.get(fingerprint).is_none_or(Alert::is_resolved);
        if is_quiet && !self.may_begin(fingerprint, reading) {
            return;
        }
        let rule = self.rule.clone();
        let alert = self.alerts.get_mut(fingerprint);
        let (alert, step) = match (alert, reading) {
            (Some(alert), _) => {
                let step = alert.step(now, reading, times);
                (alert, step)
            }
            (None, Reading::True(value, severity)) => {
                let mut alert = new_alert(&rule, fingerprint, series, now);
                alert.value = value;
                let step = alert.begin(now, severity, times);
                (
                    self.alerts.entry(fingerprint.to_owned()).or_insert(alert),
                    step,
                )
            }
            (None, _) => return,
        };
        if !alert.is_resolved() {
            let places = Places {
                rule: &rule,
                value: alert.value,
                labels: &alert.labels,
                event,
            };
            // Without a new event, its text stays.
            if event.is_some() || matches!(rule.condition, Condition::Value(_)) {
                (alert.summary, alert.annotations) = (places.summary(), places.annotations());
            }
        }
        if is_quiet && !alert.is_resolved() {
            alert.seq = *context.next_seq;
            *context.next_seq += 1;
        }
        context.changes.add(alert, step, now);
        if step == AlertStep::Gone {
            self.alerts.remove(fingerprint);
        }
    }

    /// Returns whether an occurrence may begin: there is room, or is made.
    fn may_begin(&mut self, fingerprint: &str, reading: Reading) -> bool {
        if !matches!(reading, Reading::True(..)) {
            return false;
        }
        let max = self.rule.settings.max_alerts;
        let begun = self
            .alerts
            .values()
            .filter(|alert| !alert.is_resolved())
            .count();
        if begun >= max {
            self.truncated += 1;
            return false;
        }
        // Resolved ones are remembered as long as there is room for them.
        if self.alerts.len() >= 2 * max && !self.alerts.contains_key(fingerprint) {
            let resolved = self
                .alerts
                .values()
                .filter(|alert| alert.is_resolved() && alert.told.is_none());
            let oldest = resolved.min_by_key(|alert| alert.seq);
            match oldest.map(|alert| alert.fingerprint.clone()) {
                Some(oldest) => drop(self.alerts.remove(&oldest)),
                None => {
                    self.truncated += 1;
                    return false;
                }
            }
        }
        true
    }

    /// Ends alerts of events that did not come again, and forgets what was resolved long ago.
    pub(super) fn expire(&mut self, now: SystemTime, changes: &mut Changes) {
        let keep = self.rule.keep_firing_for();
        if matches!(self.rule.condition, Condition::Event(_)) {
            for alert in self.alerts.values_mut().filter(|alert| alert.is_active()) {
                if now.duration_since(alert.seen_at).unwrap_or_default() >= keep {
                    alert.resolve(now, "it has not happened again");
                    changes.resolved(alert, now, None);
                }
            }
        }
        let remembered = REMEMBERED.max(self.rule.settings.cooldown);
        self.alerts.retain(|_, alert| match &alert.phase {
            AlertPhase::Resolved { at, .. } => {
                alert.told.is_some() || now.duration_since(*at).unwrap_or_default() < remembered
            }
            _ => true,
        });
    }
}

fn new_alert(rule: &CheckedRule, fingerprint: &str, series: &Labels, now: SystemTime) -> Alert {
    let mut labels = series.clone();
    // Those of the rule win, as in Prometheus.
    labels.extend(rule.settings.labels.clone());
    Alert {
        seq: 0,
        rule: rule.name().to_owned(),
        fingerprint: fingerprint.to_owned(),
        series: series.clone(),
        labels,
        severity: Severity::Info,
        value: None,
        summary: String::new(),
        annotations: Labels::new(),
        started_at: now,
        phase: AlertPhase::Pending { since: now },
        flaps: 0,
        told: None,
        last_told: None,
        no_data_since: None,
        seen_at: now,
        was_down: false,
        saved_at: now,
        timeline: Default::default(),
    }
}

/// Returns the labels that tell what an event is about.
fn identity(event: &Event) -> Labels {
    let text = |name: &str| event.data().get(name).and_then(serde_json::Value::as_str);
    let labels = [
        ("subject", Some(event.subject())),
        ("kind", text("kind")),
        ("key", text("key")),
        ("error", text("fingerprint")),
    ];
    labels
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Returns what conditions can ask of an event.
fn event_labels(event: &Event) -> Vec<(Arc<str>, Arc<str>)> {
    let data = event.data().iter();
    let texts = data.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let own = [
        ("subject", event.subject()),
        ("severity", event.severity().as_str()),
    ];
    own.into_iter()
        .chain(texts)
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}
