use crate::{
    call::{Label, catch_hook},
    util::setting_changes::SettingChanges,
};

/// Logs once what applied settings have changed. `keys` is the number of changed breakers of a keyed breaker.
///
/// Must not be called under a lock.
pub(super) fn log_applied(
    breaker: &Label,
    key: Option<&Label>,
    keys: Option<usize>,
    changes: &SettingChanges,
) {
    catch_hook(|| {
        tracing::info!(
            target: "tower_keep::breaker",
            breaker = breaker.as_str(),
            key = key.map(Label::as_str),
            keys,
            changes = &*changes.text(),
            "circuit breaker settings applied"
        );
    });
}
