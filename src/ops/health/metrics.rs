//! The metrics of checks. A run is rare, so that handles are not kept: a recorder that comes late gets the next run.

use std::time::Duration;

use ::metrics::{Unit, describe_gauge, describe_histogram, gauge, histogram};

use super::{ComponentSnapshot, HealthStatus};
use crate::call::catch_hook;

const STATUS: &str = "health_check_status";
const DURATION: &str = "health_check_duration_seconds";

/// Records a run of a component's check.
pub(super) fn record_run(component: &ComponentSnapshot, duration: Duration) {
    // Recorders are code of others.
    catch_hook(|| {
        let name = component.name.as_str();
        let help = "Health of a component.";
        describe_gauge!(STATUS, Unit::Count, help);
        let help = "Runs of the check of a component.";
        describe_histogram!(DURATION, Unit::Seconds, help);
        histogram!(DURATION, "component" => name.to_owned()).record(duration.as_secs_f64());
        gauge!(STATUS, "component" => name.to_owned()).set(gauge_value(component.status));
    });
}

/// Returns the value of the gauge. What is unknown after a run counts as degraded, since a gauge cannot be taken back.
fn gauge_value(status: HealthStatus) -> f64 {
    match status {
        HealthStatus::Healthy => 1.0,
        HealthStatus::Degraded | HealthStatus::Unknown => 0.5,
        HealthStatus::Unhealthy => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauge_is_one_half_or_zero() {
        assert_eq!(HealthStatus::ALL.map(gauge_value), [1.0, 0.5, 0.0, 0.5]);
    }
}
