//! The health of several components together.

use super::HealthStatus;

/// Returns the status of components, each with whether it is critical.
///
/// Unhealthy if a critical one is; otherwise unknown if a critical one is; otherwise degraded if any is not healthy.
pub(super) fn aggregate(components: impl Iterator<Item = (bool, HealthStatus)>) -> HealthStatus {
    components
        .map(|(is_critical, status)| match status {
            HealthStatus::Healthy => HealthStatus::Healthy,
            HealthStatus::Unhealthy | HealthStatus::Unknown if is_critical => status,
            _ => HealthStatus::Degraded,
        })
        .max_by_key(|&status| severity(status))
        .unwrap_or(HealthStatus::Healthy)
}

fn severity(status: HealthStatus) -> u8 {
    match status {
        HealthStatus::Healthy => 0,
        HealthStatus::Degraded => 1,
        HealthStatus::Unknown => 2,
        HealthStatus::Unhealthy => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthStatus::*;
    use proptest::prelude::*;

    #[test]
    fn aggregate_of_one_depends_on_whether_it_is_critical() {
        let one = |is_critical, status| aggregate([(is_critical, status)].into_iter());
        assert_eq!(
            HealthStatus::ALL.map(|status| one(true, status)),
            HealthStatus::ALL
        );
        let others = [Healthy, Degraded, Degraded, Degraded];
        assert_eq!(HealthStatus::ALL.map(|status| one(false, status)), others);
    }

    #[test]
    fn aggregate_of_none_is_healthy() {
        assert_eq!(aggregate([].into_iter()), Healthy);
    }

    proptest! {
        /// The rules as the documentation has them, one after the other.
        #[test]
        fn aggregate_follows_the_rules(
            components in proptest::collection::vec(
                (any::<bool>(), proptest::sample::select(HealthStatus::ALL.to_vec())), 0..6),
        ) {
            let has_critical = |status| components.contains(&(true, status));
            let expected = if has_critical(Unhealthy) {
                Unhealthy
            } else if has_critical(Unknown) {
                Unknown
            } else if components.iter().any(|(_, status)| *status != Healthy) {
                Degraded
            } else {
                Healthy
            };
            prop_assert_eq!(aggregate(components.iter().copied()), expected);
            prop_assert_eq!(aggregate(components.iter().rev().copied()), expected, "in any order");
        }
    }
}
