use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    ops::{journal::Severity, redact::redacted},
    util::{
        fnv::{FNV_OFFSET_BASIS, fnv1a},
        text::truncated,
    },
};

/// The longest name of a label or an annotation, in bytes.
const MAX_NAME: usize = 64;
/// The longest summary and the longest value, in bytes.
const MAX_TEXT: usize = 1_024;
/// The most labels, and the most annotations.
const MAX_PAIRS: usize = 32;

/// An alert, as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertNotice {
    /// 16 hexadecimal digits, of rule and labels.
    pub(crate) fingerprint: String,
    pub(crate) is_firing: bool,
    pub(crate) severity: Severity,
    /// A sentence with a name, a number and a time.
    pub(crate) summary: String,
    pub(crate) value: Option<f64>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) started_at: SystemTime,
    pub(crate) ended_at: Option<SystemTime>,
    pub(crate) acknowledged_by: Option<String>,
}

impl AlertNotice {
    /// Creates an alert that fires from now on. Texts are shortened, and lose what looks like a credential.
    ///
    /// [`AlertGroup::new`](super::AlertGroup::new) has an example.
    pub fn new(severity: Severity, summary: impl AsRef<str>) -> Self {
        AlertNotice {
            fingerprint: String::new(),
            is_firing: true,
            severity,
            summary: truncated(&redacted(summary.as_ref()), MAX_TEXT).into_owned(),
            value: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            started_at: SystemTime::now(),
            ended_at: None,
            acknowledged_by: None,
        }
    }

    /// Adds a label, unless there are 32 already. Rule and labels are what the alert is recognized by.
    #[must_use]
    pub fn with_label(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        insert(&mut self.labels, name.as_ref(), value.as_ref());
        self
    }

    /// Adds an annotation, such as `runbook`, unless there are 32 already.
    #[must_use]
    pub fn with_annotation(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        insert(&mut self.annotations, name.as_ref(), value.as_ref());
        self
    }

    /// Sets the value that the rule compares. Default: none.
    #[must_use]
    pub fn with_value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// Sets since when the alert fires. Default: since it was created.
    #[must_use]
    pub fn with_start(mut self, at: SystemTime) -> Self {
        self.started_at = at;
        self
    }

    /// Ends the alert now.
    #[must_use]
    pub fn resolved(mut self) -> Self {
        self.is_firing = false;
        self.ended_at = Some(SystemTime::now());
        self
    }

    /// Sets the fingerprint of rule and labels, if there is none yet.
    pub(super) fn set_fingerprint(&mut self, rule: &str) {
        if self.fingerprint.is_empty() {
            let add = |hash, text: &str| fnv1a(fnv1a(hash, text.as_bytes()), &[0xff]);
            let rule = add(FNV_OFFSET_BASIS, rule);
            let hash = self
                .labels
                .iter()
                .fold(rule, |hash, (name, value)| add(add(hash, name), value));
            self.fingerprint = format!("{hash:016x}");
        }
    }

    /// Returns the fingerprint of rule and labels: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns false once the alert is resolved.
    pub fn is_firing(&self) -> bool {
        self.is_firing
    }

    /// Returns the severity.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns one sentence for people.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Returns the value that the rule compares, if there is one.
    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// Returns the labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Returns the annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Returns since when the alert fires, or did.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Returns when it was resolved.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.ended_at
    }

    /// Returns who acknowledged it.
    pub fn acknowledged_by(&self) -> Option<&str> {
        self.acknowledged_by.as_deref()
    }
}

fn insert(pairs: &mut BTreeMap<String, String>, name: &str, value: &str) {
    if pairs.len() < MAX_PAIRS {
        let name = truncated(name, MAX_NAME).into_owned();
        let value = truncated(&redacted(value), MAX_TEXT).into_owned();
        pairs.insert(name, value);
    }
}
