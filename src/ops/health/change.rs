use std::{sync::Arc, time::SystemTime};

use super::HealthStatus;
use crate::call::Label;

/// A change of a component's status, as sent to subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthChange {
    /// The name of the component.
    pub component: Label,
    /// True if the component is critical.
    pub is_critical: bool,
    /// The status before.
    pub from: HealthStatus,
    /// The status from now on.
    pub to: HealthStatus,
    /// The reason, if there is one.
    pub text: Option<Arc<str>>,
    /// The number of failures in a row.
    pub failures: u32,
    /// The time of the change.
    pub at: SystemTime,
    /// The status of all components together before the change.
    pub overall_from: HealthStatus,
    /// The status of all components together after the change.
    pub overall_to: HealthStatus,
    /// The number of the snapshot that is the first to show the change.
    pub version: u64,
}
