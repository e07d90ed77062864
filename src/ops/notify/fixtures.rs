//! Values for tests.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

#[cfg(feature = "ops-notify")]
use std::sync::Arc;

use super::{AlertGroup, AlertNotice};
#[cfg(feature = "ops-notify")]
use super::{Message, Notification, Origin};
use crate::ops::journal::Severity;

/// Returns a group with one alert, whose key is that of the rule.
pub(super) fn group(rule: &str, severity: Severity, is_firing: bool) -> AlertGroup {
    AlertGroup {
        rule: rule.to_owned().into(),
        key: format!("orders/{rule}"),
        is_firing,
        severity,
        alerts: vec![alert("00000000000000a1", severity, is_firing)],
        truncated: 0,
    }
}

pub(super) fn alert(fingerprint: &str, severity: Severity, is_firing: bool) -> AlertNotice {
    let started_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_621_008);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    AlertNotice {
        fingerprint: fingerprint.to_owned(),
        is_firing,
        severity,
        summary: "error ratio of POST /pay is 0.12, above 0.05 for 2 min".to_owned(),
        value: Some(0.12),
        labels: BTreeMap::from([pair("route", "POST /pay")]),
        annotations: BTreeMap::from([pair("runbook", "https://wiki/pay")]),
        started_at,
        ended_at: (!is_firing).then(|| started_at + Duration::from_secs(300)),
        acknowledged_by: None,
    }
}

/// Returns a message of the service `orders`.
#[cfg(feature = "ops-notify")]
pub(super) fn message(notification: Notification) -> Message {
    Message {
        id: "msg_1".into(),
        channel: "slack".into(),
        notification: Arc::new(notification),
        origin: Arc::new(Origin {
            service: "orders".into(),
            version: Some("2.14.0".into()),
            instance: Some("orders-7f9c".into()),
            environment: Some("production".into()),
            external_url: Some("https://ops.example/ops".to_owned()),
        }),
        attempt: 1,
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_621_100),
    }
}
