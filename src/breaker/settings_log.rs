use super::settings::BreakerSettings;
use crate::call::{Label, catch_hook};

/// Logs once what applied settings have changed. `keys` is the number of changed breakers of a keyed breaker.
///
/// Must not be called under a lock.
pub(super) fn log_applied(
    breaker: &Label,
    key: Option<&Label>,
    keys: Option<usize>,
    (before, after): (&BreakerSettings, &BreakerSettings),
) {
    catch_hook(|| {
        tracing::info!(
            target: "tower_keep::breaker",
            breaker = breaker.as_str(),
            key = key.map(Label::as_str),
            keys,
            changes = after.changes_from(before),
            "circuit breaker settings applied"
        );
    });
}
