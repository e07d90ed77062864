//! The documents of the time before a restart, and what becomes of the alerts in them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{
    alert::{Alert, AlertPhase},
    changes::Changes,
    rule_state::RuleState,
    telling::tell_ends,
    trigger::Condition,
    uptime::Uptime,
};
use crate::ops::store::Document;

/// An outage that is longer makes pending alerts begin anew; a deployment takes less.
const OUTAGE_TOLERANCE: Duration = Duration::from_secs(300);

/// The documents of the time before.
#[derive(Debug, Default)]
pub(super) struct StoredAlerts {
    pub(super) alerts: Vec<Document>,
    pub(super) history: Vec<Document>,
    pub(super) silences: Vec<Document>,
    pub(super) processes: Vec<Document>,
}

/// Goes on with an alert of before a restart.
pub(super) fn resume(
    state: &mut RuleState,
    mut alert: Alert,
    uptime: &Uptime,
    now: SystemTime,
    changes: &mut Changes,
) {
    alert.bound_times(now);
    let seen_at = uptime.last_seen(alert.seen_at);
    let outage = now.duration_since(seen_at).unwrap_or_default();
    if let AlertPhase::Pending { since } = &mut alert.phase {
        if outage > OUTAGE_TOLERANCE {
            if alert.told.is_none() {
                return changes.forget(&alert.fingerprint);
            }
            alert.resolve(now, "the process was down for too long");
        } else {
            // Time of which nothing is known does not count.
            *since = (*since + outage).min(now);
        }
    }
    if !alert.is_resolved() {
        let text = format!("the process was down for {}", super::text::span(outage));
        alert.note(now, "restarted", text, None);
        alert.was_down = true;
        if matches!(state.rule.condition, Condition::Value(_)) {
            alert.seen_at = now;
        }
    }
    alert.labels = alert.series.clone();
    alert.labels.extend(state.rule.settings.labels.clone());
    // It is here already, where the file could not be read at first: what receivers were told then is still to be ended.
    if let Some(own) = state.alerts.get_mut(&alert.fingerprint) {
        own.told = own.told.or(alert.told);
        own.last_told = own.last_told.or(alert.last_told);
        return changes.save(own);
    }
    changes.save(&mut alert);
    // More than there may be, if the limit is a lower one now.
    if state.alerts.len() < 2 * state.rule.settings.max_alerts {
        state.alerts.insert(alert.fingerprint.clone(), alert);
    }
}

/// Ends alerts whose rule there is no more.
pub(super) fn end_orphans(
    service: &str,
    now: SystemTime,
    orphans: Vec<Alert>,
    changes: &mut Changes,
) {
    let mut by_rule = BTreeMap::<String, Vec<Alert>>::new();
    for mut alert in orphans {
        if alert.is_active() {
            alert.resolve(now, "its rule is no longer there");
            changes.resolved(&mut alert, now, None);
        } else {
            changes.forget(&alert.fingerprint);
        }
        if alert.told.is_some() {
            by_rule.entry(alert.rule.clone()).or_default().push(alert);
        }
    }
    for (rule, mut alerts) in by_rule {
        tell_ends(service, &rule, &mut alerts, now, changes);
    }
}
