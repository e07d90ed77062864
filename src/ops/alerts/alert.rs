use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use super::sample::Labels;
use crate::ops::journal::Severity;

/// The most entries of a timeline: those in the middle of a long one are dropped.
const MAX_TIMELINE: usize = 50;
/// The time within which an alert that comes back flaps.
const FLAPS_WITHIN: Duration = Duration::from_secs(3_600);
/// The longest time for which an alert stays as it is without data.
pub(super) const MAX_WITHOUT_DATA: Duration = Duration::from_secs(3_600);

/// An alert: one series for which the condition of a rule holds, or held.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Alert {
    /// The number of its latest occurrence, by which alerts are in order.
    pub(in crate::ops) seq: u64,
    pub(in crate::ops) rule: String,
    pub(in crate::ops) fingerprint: String,
    /// The labels of the series.
    pub(in crate::ops) series: Labels,
    /// The labels of series and rule.
    pub(in crate::ops) labels: Labels,
    pub(in crate::ops) severity: Severity,
    /// The last value that was known.
    pub(in crate::ops) value: Option<f64>,
    pub(in crate::ops) summary: String,
    pub(in crate::ops) annotations: Labels,
    /// The time from which on the condition held.
    pub(in crate::ops) started_at: SystemTime,
    pub(in crate::ops) phase: AlertPhase,
    /// The number of times it came back, or nearly resolved, since it was quiet for an hour.
    pub(in crate::ops) flaps: u32,
    /// The last notification that it fires which receivers have not seen end.
    pub(super) told: Option<FiringNotice>,
    /// The time of the last notification that it fires.
    pub(super) last_told: Option<SystemTime>,
    /// The time since which nothing is known.
    pub(super) no_data_since: Option<SystemTime>,
    /// The time of the last evaluation.
    pub(super) seen_at: SystemTime,
    /// True from a restart of the process until the condition holds again.
    pub(super) was_down: bool,
    /// The time at which it was stored last.
    pub(super) saved_at: SystemTime,
    pub(in crate::ops) timeline: VecDeque<TimelineEntry>,
}

/// The state of an alert.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) enum AlertPhase {
    /// The condition holds, but not for long enough.
    Pending {
        /// Later than it began where there were gaps.
        since: SystemTime,
    },
    Active {
        since: SystemTime,
        /// The time since which the condition no longer holds.
        clear_since: Option<SystemTime>,
        acknowledged: Option<Acknowledgement>,
    },
    Resolved {
        at: SystemTime,
        reason: String,
    },
}

/// An operator's word to take care of an alert.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Acknowledgement {
    pub(in crate::ops) by: Option<String>,
    pub(in crate::ops) at: SystemTime,
    pub(in crate::ops) reason: String,
    /// The severity for which it holds.
    pub(super) severity: Severity,
}

/// A notification that an alert fires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FiringNotice {
    pub(super) at: SystemTime,
    pub(super) severity: Severity,
    pub(super) is_acknowledged: bool,
}

/// An entry of the timeline of an alert.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct TimelineEntry {
    pub(in crate::ops) at: SystemTime,
    /// A word such as `active`, `acknowledged`, `notified`.
    pub(in crate::ops) what: &'static str,
    pub(in crate::ops) text: String,
    pub(in crate::ops) by: Option<String>,
}

/// The word of an evaluation about an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    True(Option<f64>, Severity),
    False(Option<f64>),
    /// The value is unknown, and the alert stays as it is.
    Keep,
}

/// The times of a rule that decide what becomes of its alerts.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleTimes {
    pub(super) for_: Duration,
    pub(super) keep_firing_for: Duration,
}

/// A change of an alert, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlertStep {
    /// The alert is as before for others.
    Same,
    Pending,
    Active,
    /// Active, and more severe than before.
    Rose,
    Resolved,
    /// The alert was pending only, and never told.
    Gone,
    /// The alert was pending only, and told some time before.
    Lapsed,
}

impl Alert {
    /// Moves times that are still to come to now: the clock was set back since. An alert must not wait until it is there again.
    pub(super) fn bound_times(&mut self, now: SystemTime) {
        let times = match &mut self.phase {
            AlertPhase::Pending { since } => [Some(since), None],
            AlertPhase::Active {
                since, clear_since, ..
            } => [Some(since), clear_since.as_mut()],
            AlertPhase::Resolved { at, .. } => [Some(at), None],
        };
        let own = [&mut self.started_at, &mut self.seen_at, &mut self.saved_at];
        let told = self.told.as_mut().map(|told| &mut told.at);
        let others = [told, self.last_told.as_mut(), self.no_data_since.as_mut()];
        let optional = times.into_iter().chain(others).flatten();
        for time in optional.chain(own) {
            *time = now.min(*time);
        }
    }

    pub(in crate::ops) fn is_acknowledged(&self) -> bool {
        self.acknowledged().is_some()
    }

    pub(in crate::ops) fn acknowledged(&self) -> Option<&Acknowledgement> {
        match &self.phase {
            AlertPhase::Active { acknowledged, .. } => acknowledged.as_ref(),
            _ => None,
        }
    }

    pub(in crate::ops) fn is_active(&self) -> bool {
        matches!(self.phase, AlertPhase::Active { .. })
    }

    pub(in crate::ops) fn is_resolved(&self) -> bool {
        matches!(self.phase, AlertPhase::Resolved { .. })
    }

    /// Returns when it was told last that it fires.
    pub(in crate::ops) fn notified_at(&self) -> Option<SystemTime> {
        let last = self.last_told;
        last.filter(|last| *last >= self.started_at)
    }

    /// Returns the state in one word.
    pub(in crate::ops) fn state(&self) -> &'static str {
        match &self.phase {
            AlertPhase::Pending { .. } => "pending",
            AlertPhase::Active {
                acknowledged: Some(_),
                ..
            } => "acknowledged",
            AlertPhase::Active { .. } => "active",
            AlertPhase::Resolved { .. } => "resolved",
        }
    }

    /// Adds to the timeline.
    pub(super) fn note(
        &mut self,
        at: SystemTime,
        what: &'static str,
        text: impl Into<String>,
        by: Option<&str>,
    ) {
        if self.timeline.len() >= MAX_TIMELINE {
            // The beginning tells more than what came after it again and again.
            self.timeline.remove(MAX_TIMELINE / 2);
        }
        let (text, by) = (text.into(), by.map(str::to_owned));
        self.timeline
            .push_back(TimelineEntry { at, what, text, by });
    }

    /// Takes in an evaluation.
    pub(super) fn step(
        &mut self,
        now: SystemTime,
        reading: Reading,
        times: RuleTimes,
    ) -> AlertStep {
        let gap = now.duration_since(self.seen_at).unwrap_or_default();
        self.seen_at = now;
        let reading = self.bridged(now, reading);
        if let Reading::True(Some(value), _) | Reading::False(Some(value)) = reading {
            self.value = Some(value);
        }
        match reading {
            Reading::True(_, severity) => self.on_true(now, severity, times),
            Reading::False(_) => self.on_false(now, times),
            Reading::Keep => {
                // Time of which nothing is known does not count.
                if let AlertPhase::Pending { since } = &mut self.phase {
                    *since = (*since + gap).min(now);
                }
                AlertStep::Same
            }
        }
    }

    /// Returns the reading; without data for too long, that the condition no longer holds.
    fn bridged(&mut self, now: SystemTime, reading: Reading) -> Reading {
        if reading != Reading::Keep {
            self.no_data_since = None;
            return reading;
        }
        let since = *self.no_data_since.get_or_insert(now);
        let age = now.duration_since(since).unwrap_or_default();
        match age >= MAX_WITHOUT_DATA {
            true => Reading::False(None),
            false => reading,
        }
    }

    fn on_true(&mut self, now: SystemTime, severity: Severity, times: RuleTimes) -> AlertStep {
        self.was_down = false;
        match &mut self.phase {
            AlertPhase::Pending { since } => {
                let since = *since;
                self.severity = severity;
                match now.duration_since(since).unwrap_or_default() >= times.for_ {
                    true => self.activate(now),
                    false => AlertStep::Same,
                }
            }
            AlertPhase::Active { .. } => self.stay_active(now, severity),
            AlertPhase::Resolved { at, .. } => {
                let quiet = now.duration_since(*at).unwrap_or_default();
                self.flaps = match quiet < FLAPS_WITHIN {
                    true => self.flaps.saturating_add(1),
                    false => 0,
                };
                self.begin(now, severity, times)
            }
        }
    }

    /// Takes in that the condition of an active alert holds, with this severity.
    fn stay_active(&mut self, now: SystemTime, severity: Severity) -> AlertStep {
        if let AlertPhase::Active {
            clear_since,
            acknowledged,
            ..
        } = &mut self.phase
        {
            if clear_since.take().is_some() {
                self.flaps = self.flaps.saturating_add(1);
            }
            if acknowledged
                .as_ref()
                .is_some_and(|it| severity > it.severity)
            {
                *acknowledged = None;
                let text = "it is more severe than when it was acknowledged";
                self.note(now, "unacknowledged", text, None);
            }
        }
        let before = std::mem::replace(&mut self.severity, severity);
        match severity > before {
            true => AlertStep::Rose,
            false => AlertStep::Same,
        }
    }

    /// Begins an occurrence.
    pub(super) fn begin(
        &mut self,
        now: SystemTime,
        severity: Severity,
        times: RuleTimes,
    ) -> AlertStep {
        self.timeline.clear();
        self.severity = severity;
        self.started_at = now;
        self.no_data_since = None;
        self.phase = AlertPhase::Pending { since: now };
        self.note(now, "pending", "the condition holds", None);
        match times.for_.is_zero() {
            true => self.activate(now),
            false => AlertStep::Pending,
        }
    }

    fn activate(&mut self, now: SystemTime) -> AlertStep {
        self.phase = AlertPhase::Active {
            since: now,
            clear_since: None,
            acknowledged: None,
        };
        AlertStep::Active
    }

    fn on_false(&mut self, now: SystemTime, times: RuleTimes) -> AlertStep {
        match &mut self.phase {
            AlertPhase::Pending { .. } if self.told.is_none() && self.last_told.is_none() => {
                AlertStep::Gone
            }
            AlertPhase::Pending { .. } => {
                // It was told before: the cooldown goes on.
                let reason = "the condition held for too short a time".to_owned();
                self.phase = AlertPhase::Resolved { at: now, reason };
                AlertStep::Lapsed
            }
            AlertPhase::Active { clear_since, .. } => {
                let since = *clear_since.get_or_insert(now);
                let clear = now.duration_since(since).unwrap_or_default();
                if clear < times.keep_firing_for {
                    return AlertStep::Same;
                }
                let reason = match (self.no_data_since, self.was_down) {
                    (Some(_), _) => "there has been no data for an hour",
                    (None, true) => "the condition has not held since the process was restarted",
                    (None, false) => "the condition no longer holds",
                };
                self.resolve(now, reason);
                AlertStep::Resolved
            }
            AlertPhase::Resolved { .. } => AlertStep::Same,
        }
    }

    /// Ends an occurrence.
    pub(super) fn resolve(&mut self, now: SystemTime, reason: impl Into<String>) {
        let reason = reason.into();
        self.phase = AlertPhase::Resolved { at: now, reason };
    }
}
