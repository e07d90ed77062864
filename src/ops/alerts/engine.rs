use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    AlertSettings, NotDone,
    alert::{Acknowledgement, Alert, AlertPhase},
    changes::Changes,
    checked_rule::CheckedRule,
    expression::ValueSource,
    history::ResolvedAlerts,
    restart::{StoredAlerts, end_orphans, resume},
    rule_state::{EvaluationContext, RuleState},
    sample::RuleSamples,
    silence::Silence,
    silences::Silences,
    stored,
    telling::{TellingTimes, group_key, ready_at, severity_told, tell, untold},
    trigger::Condition,
    untold::Untold,
    uptime::Uptime,
};
use crate::ops::journal::{Event, EventKind, Severity};

/// The time after which an alert that goes on is stored again, with what has become of it: sooner what is pending, whose time counts.
const SAVE_EVERY: Duration = Duration::from_secs(60);
const SAVE_PENDING_EVERY: Duration = Duration::from_secs(10);

/// All rules with their alerts, silences and history. It has no clock: each method that needs the time takes it.
#[derive(Debug)]
pub(in crate::ops) struct Engine {
    service: String,
    times: TellingTimes,
    started_at: SystemTime,
    uptime: Uptime,
    pub(super) rules: Vec<RuleState>,
    silences: Silences,
    history: ResolvedAlerts,
    next_seq: u64,
    /// The number of alerts that were not begun, since their rule had too many.
    dropped: u64,
}

impl Engine {
    pub(super) fn new(
        service: &str,
        settings: &AlertSettings,
        rules: Vec<CheckedRule>,
        now: SystemTime,
    ) -> Self {
        let rules = rules.into_iter().enumerate().map(|(at, rule)| {
            // Spread over time: a thousand rules are not evaluated in one tick.
            let every = rule.settings.every.as_secs().max(1);
            RuleState::new(rule, now + Duration::from_secs(at as u64 % every))
        });
        Engine {
            service: service.to_owned(),
            times: TellingTimes {
                group_wait: settings.group_wait,
                repeat_interval: settings.repeat_interval,
            },
            started_at: now,
            uptime: Uptime::new(now),
            rules: rules.collect(),
            silences: Silences::default(),
            history: ResolvedAlerts::new(settings.max_history),
            next_seq: 1,
            dropped: 0,
        }
    }

    /// Sets the time of the start, from which on evaluations are due.
    pub(super) fn start(&mut self, now: SystemTime) {
        self.started_at = now;
        self.uptime = Uptime::new(now);
        for (at, state) in self.rules.iter_mut().enumerate() {
            let every = state.rule.settings.every.as_secs().max(1);
            state.begin_at(now + Duration::from_secs(at as u64 % every));
        }
    }

    /// Returns all rules that are evaluated.
    pub(super) fn all(&self) -> Vec<(usize, Arc<CheckedRule>)> {
        self.rules_where(|state| matches!(state.rule.condition, Condition::Value(_)))
    }

    /// Returns the rules that are to be evaluated now.
    pub(super) fn due(&self, now: SystemTime) -> Vec<(usize, Arc<CheckedRule>)> {
        self.rules_where(|state| state.is_due(now))
    }

    /// Returns the rules about what is of now, and may have changed with an event of this kind.
    pub(super) fn affected_by(&self, kind: EventKind) -> Vec<(usize, Arc<CheckedRule>)> {
        self.rules_where(|state| match &state.rule.condition {
            Condition::Event(_) => false,
            Condition::Value(value) => match value.expression.source {
                ValueSource::Guards(_) => kind == EventKind::Guard,
                ValueSource::Health => kind == EventKind::Health,
                _ => false,
            },
        })
    }

    fn rules_where(&self, is_meant: impl Fn(&RuleState) -> bool) -> Vec<(usize, Arc<CheckedRule>)> {
        let states = self.rules.iter().enumerate();
        let meant = states.filter(|(_, state)| is_meant(state));
        meant.map(|(at, state)| (at, state.rule.clone())).collect()
    }

    /// Returns whether a rule asks for what was dropped.
    pub(super) fn asks_for_dropped(&self) -> bool {
        self.rules.iter().any(|state| match &state.rule.condition {
            Condition::Value(value) => value.expression.source == ValueSource::Dropped,
            Condition::Event(_) => false,
        })
    }

    /// Takes in the values of rules, and returns what has changed.
    pub(super) fn observe(&mut self, now: SystemTime, all: Vec<(usize, RuleSamples)>) -> Changes {
        let mut changes = Changes::default();
        let age = now.duration_since(self.started_at).unwrap_or_default();
        for (at, samples) in all {
            let Some(state) = self.rules.get_mut(at) else {
                continue;
            };
            let before = state.truncated;
            let mut context = EvaluationContext {
                now,
                is_warming_up: age < state.rule.warm_up(),
                next_seq: &mut self.next_seq,
                changes: &mut changes,
            };
            state.observe(&samples, &mut context);
            self.dropped += state.truncated.saturating_sub(before) as u64;
        }
        self.finish(now, &mut changes);
        changes
    }

    /// Takes in an event of the journal, and returns what has changed.
    pub(super) fn on_event(&mut self, now: SystemTime, event: &Event) -> Changes {
        let mut changes = Changes::default();
        for state in &mut self.rules {
            let before = state.truncated;
            let mut context = EvaluationContext {
                now,
                is_warming_up: false,
                next_seq: &mut self.next_seq,
                changes: &mut changes,
            };
            state.on_event(event, &mut context);
            self.dropped += state.truncated.saturating_sub(before) as u64;
        }
        self.finish(now, &mut changes);
        changes
    }

    /// Does what time brings, and tells what is due.
    fn finish(&mut self, now: SystemTime, changes: &mut Changes) {
        for state in &mut self.rules {
            if state.alerts.is_empty() {
                continue;
            }
            state.expire(now, changes);
            let silences = &self.silences;
            let is_silenced = |alert: &Alert| silences.of(alert, now).next().is_some();
            tell(state, &self.service, now, self.times, is_silenced, changes);
            for alert in state
                .alerts
                .values_mut()
                .filter(|alert| !alert.is_resolved())
            {
                let age = now.duration_since(alert.saved_at).unwrap_or_default();
                let every = if alert.is_active() {
                    SAVE_EVERY
                } else {
                    SAVE_PENDING_EVERY
                };
                if age >= every {
                    alert.saved_at = now;
                    changes.save(alert);
                }
            }
        }
        if self.alerts().any(|alert| !alert.is_resolved()) {
            self.uptime.save(now, changes);
        }
        self.history.keep(changes);
        self.silences.forget_old(now, changes);
    }

    /// Acknowledges an active alert.
    pub(super) fn acknowledge(
        &mut self,
        now: SystemTime,
        fingerprint: &str,
        (by, reason): (Option<&str>, &str),
    ) -> Result<(Alert, Changes), NotDone> {
        self.act(now, fingerprint, |alert, changes| {
            let severity = alert.severity;
            let AlertPhase::Active { acknowledged, .. } = &mut alert.phase else {
                return Err(NotDone::NotActive);
            };
            *acknowledged = Some(Acknowledgement {
                by: by.map(str::to_owned),
                at: now,
                reason: reason.to_owned(),
                severity,
            });
            alert.note(now, "acknowledged", reason, by);
            changes.save(alert);
            Ok(())
        })
    }

    /// Resolves an active or pending alert. If its condition holds on, it begins anew.
    pub(super) fn resolve(
        &mut self,
        now: SystemTime,
        fingerprint: &str,
        (by, reason): (Option<&str>, &str),
    ) -> Result<(Alert, Changes), NotDone> {
        self.act(now, fingerprint, |alert, changes| {
            if alert.is_resolved() {
                return Err(NotDone::NotActive);
            }
            alert.resolve(now, reason);
            changes.resolved(alert, now, by);
            Ok(())
        })
    }

    /// Does something to an alert, and returns it as it was before.
    fn act(
        &mut self,
        now: SystemTime,
        fingerprint: &str,
        act: impl FnOnce(&mut Alert, &mut Changes) -> Result<(), NotDone>,
    ) -> Result<(Alert, Changes), NotDone> {
        let mut states = self.rules.iter_mut();
        let alert = states.find_map(|state| state.alerts.get_mut(fingerprint));
        let alert = alert.ok_or(NotDone::Unknown)?;
        let before = alert.clone();
        let mut changes = Changes::default();
        act(alert, &mut changes)?;
        self.finish(now, &mut changes);
        Ok((before, changes))
    }

    /// Adds a silence, and returns its name.
    pub(super) fn silence(
        &mut self,
        now: SystemTime,
        silence: Silence,
    ) -> Result<(String, Changes), NotDone> {
        let mut changes = Changes::default();
        let id = self.silences.add(now, silence, &mut changes)?;
        self.finish(now, &mut changes);
        Ok((id, changes))
    }

    /// Ends a silence before its time.
    pub(super) fn end_silence(
        &mut self,
        now: SystemTime,
        id: &str,
    ) -> Result<(Silence, Changes), NotDone> {
        let mut changes = Changes::default();
        let before = self.silences.end(now, id, &mut changes)?;
        self.finish(now, &mut changes);
        Ok((before, changes))
    }

    /// Takes in what was stored before a restart.
    pub(super) fn restore(&mut self, now: SystemTime, stored: &StoredAlerts) -> Changes {
        let mut changes = Changes::default();
        self.uptime.restore(&stored.processes);
        self.silences.restore(&stored.silences);
        let alerts = stored.alerts.iter();
        let alerts = alerts.filter_map(|document| stored::alert(&document.json));
        let alerts: Vec<_> = alerts.collect();
        let in_history = self.history.restore(&stored.history);
        let last = alerts.iter().map(|alert| alert.seq).max();
        let last = last.unwrap_or(0).max(in_history);
        self.next_seq = last.max(self.next_seq - 1) + 1;
        let mut orphans: Vec<Alert> = Vec::new();
        for alert in alerts {
            let mut states = self.rules.iter_mut();
            match states.find(|state| state.rule.name() == alert.rule) {
                Some(state) => resume(state, alert, &self.uptime, now, &mut changes),
                None => orphans.push(alert),
            }
        }
        end_orphans(&self.service, now, orphans, &mut changes);
        self.finish(now, &mut changes);
        changes
    }

    /// Returns all alerts that are pending or active, and those that were resolved of late.
    pub(in crate::ops) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.rules.iter().flat_map(|state| state.alerts.values())
    }

    /// Returns the resolved alerts, the oldest first.
    pub(in crate::ops) fn history(&self) -> impl DoubleEndedIterator<Item = &Alert> {
        self.history.iter()
    }

    pub(in crate::ops) fn silences(&self) -> &[Silence] {
        self.silences.as_slice()
    }

    /// Returns the names of the silences that keep an alert silent now.
    pub(in crate::ops) fn silenced_by<'a>(
        &'a self,
        alert: &'a Alert,
        now: SystemTime,
    ) -> impl Iterator<Item = &'a str> {
        self.silences.of(alert, now)
    }

    /// Returns why nobody is told that an alert fires. `None` if it was told, or is over.
    pub(in crate::ops) fn untold(&self, alert: &Alert, now: SystemTime) -> Option<Untold> {
        if alert.told.is_some() || alert.is_resolved() {
            return None;
        }
        let state = self.state_of(alert)?;
        let is_silenced = self.silenced_by(alert, now).next().is_some();
        let cooldown = state.rule.settings.cooldown;
        let waits = || {
            let since = state.waiting_since.unwrap_or(now);
            Untold::GroupWait(ready_at(since, state.last_flush, self.times))
        };
        Some(untold(alert, now, is_silenced, cooldown).unwrap_or_else(waits))
    }

    /// Returns the key under which receivers know an alert, with the others of its rule.
    pub(in crate::ops) fn group_key(&self, alert: &Alert) -> String {
        group_key(&self.service, &alert.rule)
    }

    /// Returns the severity with which an alert is told, together with those of its rule that were.
    pub(in crate::ops) fn group_severity(&self, alert: &Alert) -> Severity {
        let state = self.state_of(alert).into_iter();
        let others = state.flat_map(|state| state.alerts.values());
        let others = others.filter(|other| other.is_active() && other.told.is_some());
        let all = others.chain([alert]).map(severity_told);
        all.max().unwrap_or(alert.severity)
    }

    /// Returns the rule of an alert with its state, if it is still there.
    pub(in crate::ops) fn state_of(&self, alert: &Alert) -> Option<&RuleState> {
        let mut states = self.rules.iter();
        states.find(|state| state.rule.name() == alert.rule)
    }

    pub(in crate::ops) fn rules(&self) -> &[RuleState] {
        &self.rules
    }

    /// Returns how many alerts were not begun, since their rule had too many.
    pub(in crate::ops) fn dropped(&self) -> u64 {
        self.dropped
    }
}
