//! The log of changes.

use super::{HealthChange, HealthStatus};
use crate::{call::catch_hook, util::event::warn_or_info};

/// Emits one event for a change: at `INFO` if the component works again, otherwise at `WARN`.
pub(super) fn report_change(change: &HealthChange) {
    catch_hook(|| {
        warn_or_info!(
            change.to != HealthStatus::Healthy,
            target: "tower_keep::health",
            component = change.component.as_str(),
            critical = change.is_critical,
            from = change.from.as_str(),
            to = change.to.as_str(),
            failures = change.failures,
            overall = change.overall_to.as_str(),
            reason = change.text.as_deref(),
            "health changed"
        )
    });
}
