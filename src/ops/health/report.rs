//! The log of changes.

use super::HealthChange;
use crate::call::catch_hook;

/// Emits one event for a change: at `INFO` if the component works again, otherwise at `WARN`.
pub(super) fn report_change(change: &HealthChange) {
    // A macro, since the level of an event must be a constant.
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: "tower_keep::health",
                $level,
                component = change.component.as_str(),
                critical = change.is_critical,
                from = change.from.as_str(),
                to = change.to.as_str(),
                failures = change.failures,
                overall = change.overall_to.as_str(),
                reason = change.text.as_deref(),
                "health changed"
            )
        };
    }
    let is_better = change.to == super::HealthStatus::Healthy;
    catch_hook(|| match is_better {
        true => event!(tracing::Level::INFO),
        false => event!(tracing::Level::WARN),
    });
}
