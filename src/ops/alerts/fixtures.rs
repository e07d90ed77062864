//! An engine in a world that a test makes.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{
    AlertSettings, Rule,
    alert::Alert,
    changes::{Changes, Write},
    engine::Engine,
    restart::StoredAlerts,
    sample::{Labels, RuleSample, RuleSamples},
    silence::{Matcher, Silence},
};
use crate::ops::{
    journal::{Event, EventKind, Severity},
    notify::{AlertGroup, Notification},
    store::{Collection, Document},
};

pub(super) const MIN: Duration = Duration::from_secs(60);

pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + s(1_000_000 + second)
}

/// Returns a rule whose condition holds above 0.5, and that tells at once and always.
pub(super) fn rule() -> Rule {
    let rule = Rule::new("r").when("load by (id) > 0.5");
    rule.keep_firing_for(Duration::ZERO)
        .cooldown(Duration::ZERO)
}

/// An engine with the time, what is stored, and a log of what others were told.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) settings: AlertSettings,
    pub(super) second: u64,
    pub(super) stored: BTreeMap<(&'static str, String), Document>,
    pub(super) log: Vec<String>,
    pub(super) groups: Vec<AlertGroup>,
}

impl World {
    pub(super) fn new(rule: Rule) -> Self {
        let settings = AlertSettings {
            group_wait: Duration::ZERO,
            repeat_interval: None,
            ..AlertSettings::default()
        };
        Self::with(settings, rule)
    }

    pub(super) fn with(settings: AlertSettings, rule: Rule) -> Self {
        World {
            engine: engine(&settings, vec![rule], 0),
            settings,
            second: 0,
            stored: BTreeMap::new(),
            log: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Evaluates the rule at a second.
    pub(super) fn see(&mut self, second: u64, values: &[(&str, Option<f64>)]) {
        self.second = second;
        let values = values.iter().map(|(id, value)| RuleSample {
            labels: labels(&[("id", *id)]),
            value: *value,
        });
        let samples = RuleSamples {
            values: values.collect(),
            error: None,
        };
        let changes = self.engine.observe(at(second), vec![(0, samples)]);
        self.take(changes);
    }

    /// Evaluates the rule every 10 s from now on: `1` holds, `2` is critical, `0` does not hold, `-` is unknown, a space is a
    /// series that is gone.
    pub(super) fn run(&mut self, values: &str) -> &mut Self {
        for value in values.chars() {
            let value = match value {
                '0' => Some(0.0),
                '1' => Some(1.0),
                '2' => Some(2.0),
                _ => None,
            };
            let second = self.second;
            match values {
                " " => self.see(second, &[]),
                _ => self.see(second, &[("a", value)]),
            }
            self.second = second + 10;
        }
        self
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, second: u64) {
        self.second = second;
        let changes = self.engine.observe(at(second), Vec::new());
        self.take(changes);
    }

    pub(super) fn happen(
        &mut self,
        second: u64,
        kind: EventKind,
        severity: Severity,
        subject: &str,
    ) {
        self.second = second;
        let event = Event::new(kind, severity, subject, "it happened");
        let changes = self.engine.on_event(at(second), &event);
        self.take(changes);
    }

    pub(super) fn take(&mut self, changes: Changes) {
        let second = self.second;
        for write in changes.writes {
            match write {
                Write::Put(collection, document) => {
                    let key = (collection.as_str(), document.key.clone());
                    self.stored.insert(key, document);
                }
                Write::Delete(collection, key) => {
                    drop(self.stored.remove(&(collection.as_str(), key)))
                }
            }
        }
        for (_, event) in changes.events {
            let to = event.data()["to"].as_str().unwrap_or_default();
            let severity = match event.severity() {
                Severity::Critical => ", critical",
                _ => "",
            };
            self.log.push(format!("{second} {to}{severity}"));
        }
        for notification in changes.notifications {
            let Notification::Alerts(group) = notification else {
                continue;
            };
            let states =
                group
                    .alerts
                    .iter()
                    .map(|alert| match (alert.is_firing, &alert.acknowledged_by) {
                        (true, None) => "firing",
                        (true, Some(_)) => "acknowledged",
                        (false, _) => "resolved",
                    });
            let states: Vec<_> = states.collect();
            self.log.push(format!("{second} told {}", states.join(" ")));
            self.groups.push(group);
        }
    }

    /// Ends the process, and starts it after a time with another rule or the same.
    pub(super) fn restart(&mut self, down: u64, rule: Rule) -> &mut Self {
        self.second += down;
        let second = self.second;
        let all = |collection: Collection| {
            let name = collection.as_str();
            let documents = self.stored.iter().filter(|((each, _), _)| *each == name);
            documents.map(|(_, document)| document.clone()).collect()
        };
        let stored = StoredAlerts {
            alerts: all(Collection::Alerts),
            history: all(Collection::AlertHistory),
            silences: all(Collection::Silences),
            processes: all(Collection::Processes),
        };
        self.engine = engine(&self.settings, vec![rule], second);
        let changes = self.engine.restore(at(second), &stored);
        self.take(changes);
        self
    }

    pub(super) fn fingerprint(&self) -> String {
        self.engine
            .alerts()
            .next()
            .expect("an alert")
            .fingerprint
            .clone()
    }

    pub(super) fn acknowledge(&mut self) {
        let by = (Some("mira"), "on it");
        let done = self
            .engine
            .acknowledge(at(self.second), &self.fingerprint(), by);
        self.take(done.expect("it is active").1);
    }

    pub(super) fn silence(&mut self, matcher: &str, time: u64) -> String {
        let now = at(self.second);
        let silence = Silence {
            id: String::new(),
            matchers: vec![Matcher::parse(matcher).expect(matcher)],
            starts_at: now,
            ends_at: now + s(time),
            by: None,
            comment: "a deployment".to_owned(),
        };
        let (id, changes) = self.engine.silence(now, silence).expect("there is room");
        self.take(changes);
        id
    }

    #[track_caller]
    pub(super) fn expect(&mut self, log: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.log), log);
        self
    }
}

pub(super) fn engine(settings: &AlertSettings, rules: Vec<Rule>, second: u64) -> Engine {
    let rules = settings.checked_rules(rules).expect("valid");
    // Started long before, so that what is unknown is not so because of the start.
    let start = at(second) - s(900);
    let mut engine = Engine::new("orders", settings, rules, start);
    engine.start(start);
    engine
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Returns an active alert of a rule.
pub(super) fn active(name: &str, pairs: &[(&str, &str)]) -> Alert {
    let mut engine = engine(
        &AlertSettings::default(),
        vec![Rule::new(name).when("load by (*) > 0.5")],
        0,
    );
    let sample = RuleSample {
        labels: labels(pairs),
        value: Some(1.0),
    };
    let samples = RuleSamples {
        values: vec![sample],
        error: None,
    };
    let _ = engine.observe(at(0), vec![(0, samples)]);
    engine.alerts().next().expect("it is active").clone()
}
