//! Notifications of a rule's alerts: which, and when.
//!
//! | what | when |
//! |---|---|
//! | an alert is active | after the group wait, together with others; not within the cooldown, nor while it is silenced or acknowledged |
//! | it is more severe | after the group wait, unless it is silenced |
//! | it was acknowledged | after the group wait, where it was told before |
//! | it still fires | once per repeat interval, unless it is silenced or acknowledged |
//! | it is resolved | after the group wait, always where it was told, and never where it was not |

use std::time::{Duration, SystemTime};

use super::{
    alert::{Alert, AlertPhase, FiringNotice},
    changes::Changes,
    rule_state::RuleState,
    untold::Untold,
};
use crate::ops::{
    journal::Severity,
    notify::{AlertGroup, AlertNotice, Notification},
};

/// The least time between two notifications of a rule that only add alerts: a storm that spreads tells once per minute.
const GROUP_INTERVAL: Duration = Duration::from_secs(60);
/// The most alerts in one notification.
const MAX_LISTED: usize = 20;

/// The times at which things are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct TellingTimes {
    pub(super) group_wait: Duration,
    pub(super) repeat_interval: Option<Duration>,
}

/// A reason to tell of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Firing,
    MoreSevere,
    Acknowledged,
    Again,
    Resolved,
}

/// Returns why an alert that was not told is not to be told now either, the wait for others apart.
pub(super) fn untold(
    alert: &Alert,
    now: SystemTime,
    is_silenced: bool,
    cooldown: Duration,
) -> Option<Untold> {
    if !alert.is_active() {
        return Some(Untold::Pending);
    }
    if is_silenced {
        return Some(Untold::Silenced);
    }
    if alert.is_acknowledged() {
        return Some(Untold::Acknowledged);
    }
    let last = alert.last_told?;
    let age = now.duration_since(last).unwrap_or_default();
    (age < cooldown).then(|| Untold::Cooldown(last + cooldown))
}

/// Returns why an alert is to be told of now.
fn due(
    alert: &Alert,
    now: SystemTime,
    is_silenced: bool,
    cooldown: Duration,
    times: TellingTimes,
) -> Option<Due> {
    let is_over =
        |since: SystemTime, time: Duration| now.duration_since(since).unwrap_or_default() >= time;
    let Some(told) = alert.told else {
        let untold = untold(alert, now, is_silenced, cooldown);
        return untold.is_none().then_some(Due::Firing);
    };
    if !alert.is_active() {
        return Some(Due::Resolved);
    }
    if alert.is_acknowledged() {
        return (!told.is_acknowledged).then_some(Due::Acknowledged);
    }
    if is_silenced {
        return None;
    }
    if alert.severity > told.severity {
        return Some(Due::MoreSevere);
    }
    let repeat = times.repeat_interval?;
    is_over(told.at, repeat).then_some(Due::Again)
}

/// Returns when a rule's alerts are told. `last` is the time of the last notification, where alerts are only added.
pub(super) fn ready_at(
    since: SystemTime,
    last: Option<SystemTime>,
    times: TellingTimes,
) -> SystemTime {
    let ready_at = since + times.group_wait;
    last.map_or(ready_at, |last| ready_at.max(last + GROUP_INTERVAL))
}

/// Returns the key under which receivers know the alerts of a rule.
pub(super) fn group_key(service: &str, rule: &str) -> String {
    format!("{service}:{rule}")
}

/// Tells what is due of a rule, and returns the notification.
pub(super) fn tell(
    state: &mut RuleState,
    service: &str,
    now: SystemTime,
    times: TellingTimes,
    is_silenced: impl Fn(&Alert) -> bool,
    changes: &mut Changes,
) {
    let cooldown = state.rule.settings.cooldown;
    let reason = |alert: &Alert| due(alert, now, is_silenced(alert), cooldown, times);
    let mut dues: Vec<(&mut Alert, Due)> = Vec::new();
    let mut firing = Vec::new();
    for alert in state.alerts.values_mut() {
        match reason(alert) {
            Some(due) => dues.push((alert, due)),
            // What fires on is in the notification, too.
            None if alert.told.is_some() => firing.push(alert),
            None => {}
        }
    }
    if dues.is_empty() {
        state.waiting_since = None;
        return;
    }
    let since = *state.waiting_since.get_or_insert(now);
    let only_adds = dues.iter().all(|(_, due)| *due == Due::Firing);
    let last = state.last_flush.filter(|_| only_adds);
    if now < ready_at(since, last, times) {
        return;
    }
    // What is most severe first, then what is new.
    dues.sort_by_key(|(alert, _)| (std::cmp::Reverse(severity_told(alert)), alert.seq));
    let is_firing = !firing.is_empty() || dues.iter().any(|(alert, _)| alert.is_active());
    let severity = group_severity(
        dues.iter()
            .map(|(alert, _)| &**alert)
            .chain(firing.iter().map(|it| &**it)),
        is_firing,
    );
    let total = dues.len() + firing.len();
    firing.retain(|alert| !is_silenced(alert));
    let mut notices = Vec::new();
    for (alert, due) in dues {
        if notices.len() < MAX_LISTED {
            notices.push(notice(alert));
        }
        mark(alert, due, now, changes);
    }
    let room = MAX_LISTED.saturating_sub(notices.len());
    notices.extend(firing.iter().take(room).map(|alert| notice(alert)));
    changes.notifications.push(Notification::Alerts(AlertGroup {
        rule: state.rule.name().to_owned().into(),
        key: group_key(service, state.rule.name()),
        is_firing,
        severity,
        truncated: total - notices.len(),
        alerts: notices,
    }));
    (state.waiting_since, state.last_flush) = (None, Some(now));
}

/// Returns the notification that alerts are over whose rule there is no more.
pub(super) fn tell_ends(
    service: &str,
    rule: &str,
    alerts: &mut [Alert],
    now: SystemTime,
    changes: &mut Changes,
) {
    let severity = group_severity(alerts.iter(), false);
    let listed: Vec<_> = alerts.iter().take(MAX_LISTED).map(notice).collect();
    for alert in alerts.iter_mut() {
        mark(alert, Due::Resolved, now, changes);
    }
    changes.notifications.push(Notification::Alerts(AlertGroup {
        rule: rule.to_owned().into(),
        key: group_key(service, rule),
        is_firing: false,
        severity,
        truncated: alerts.len() - listed.len(),
        alerts: listed,
    }));
}

/// Remembers that it was told.
fn mark(alert: &mut Alert, due: Due, now: SystemTime, changes: &mut Changes) {
    let text = match due {
        Due::Firing => "it fires",
        Due::MoreSevere => "it is more severe",
        Due::Acknowledged => "it is acknowledged",
        Due::Again => "it still fires",
        Due::Resolved => "it is resolved",
    };
    alert.note(now, "notified", text, None);
    match due {
        Due::Resolved => {
            alert.told = None;
            // One that is pending again is stored for that.
            match alert.is_resolved() {
                true => changes.forget(&alert.fingerprint),
                false => changes.save(alert),
            }
            return;
        }
        Due::Acknowledged => {
            if let Some(told) = &mut alert.told {
                told.is_acknowledged = true;
            }
        }
        Due::Firing | Due::MoreSevere | Due::Again => {
            alert.last_told = Some(now);
            alert.told = Some(FiringNotice {
                at: now,
                severity: alert.severity,
                is_acknowledged: false,
            });
        }
    }
    changes.save(alert);
}

/// Returns the severity with which an alert is told.
pub(super) fn severity_told(alert: &Alert) -> Severity {
    let told = alert.told.map_or(Severity::Info, |told| told.severity);
    alert.severity.max(told)
}

/// Returns the highest severity of those that fire, or of all where none does.
fn group_severity<'a>(alerts: impl Iterator<Item = &'a Alert>, is_firing: bool) -> Severity {
    let meant = alerts.filter(|alert| alert.is_active() || !is_firing);
    meant.map(severity_told).max().unwrap_or(Severity::Info)
}

fn notice(alert: &Alert) -> AlertNotice {
    let ended_at = match &alert.phase {
        AlertPhase::Resolved { at, .. } => Some(*at),
        // It was told as active, and is pending anew.
        AlertPhase::Pending { .. } => Some(alert.started_at),
        AlertPhase::Active { .. } => None,
    };
    let acknowledged = alert.acknowledged();
    let acknowledged_by =
        acknowledged.map(|it| it.by.clone().unwrap_or_else(|| "an operator".to_owned()));
    AlertNotice {
        fingerprint: alert.fingerprint.clone(),
        is_firing: alert.is_active(),
        severity: severity_told(alert),
        summary: alert.summary.clone(),
        value: alert.value,
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        started_at: alert.started_at,
        ended_at,
        acknowledged_by,
    }
}
