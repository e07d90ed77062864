use super::{
    BalanceStats, EndpointStats, EndpointStatus, operator_settings, shared::BalanceShared,
};
use crate::{
    call::{ConfigError, Label},
    registry::{GuardAction, Inspect, Setting, Stats},
};

/// The actions that operators have on a balancer.
const ACTIONS: [GuardAction; 4] = [
    GuardAction::Disable,
    GuardAction::Reset,
    GuardAction::ShadowOn,
    GuardAction::ShadowOff,
];

/// The number of endpoints that are named where there is one line for them.
const MAX_NAMED: usize = 8;

impl Inspect for BalanceShared {
    fn kind(&self) -> &'static str {
        "balance"
    }

    fn name(&self) -> &str {
        BalanceShared::name(self).as_str()
    }

    /// Returns whether there are endpoints, and whether some are ejected.
    fn state(&self) -> &'static str {
        let stats = BalanceShared::stats(self);
        match (stats.endpoints.is_empty(), stats.ejected) {
            _ if self.config.is_disabled() => "disabled",
            (true, _) => "empty",
            (false, 0) => "all_in_rotation",
            (false, _) => "some_ejected",
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let all = BalanceShared::stats(self);
        let sum =
            |count: fn(&EndpointStats) -> u64| -> u64 { all.endpoints.iter().map(count).sum() };
        stats.count("endpoints", all.endpoints.len() as u64);
        stats.count("ejected", all.ejected as u64);
        stats.count("max_ejected", all.max_ejected as u64);
        stats.count("in_flight", sum(|one| u64::from(one.in_flight)));
        stats.count("calls", sum(|one| one.calls));
        stats.count("failures", sum(|one| one.failures));
        stats.count("ejections", all.ejections);
        stats.count("overflows", all.overflows);
        stats.count("rejected", all.rejected);
        stats.count("lookup_failures", all.lookup_failures);
        stats.text("ejected_endpoints", ejected_names(&all));
        let is_shadow = BalanceShared::settings(self).breaker.shadow;
        stats.text("mode", Some(if is_shadow { "shadow" } else { "on" }));
    }

    fn actions(&self) -> &'static [GuardAction] {
        &ACTIONS
    }

    fn act(&self, action: GuardAction) {
        match action {
            GuardAction::Disable => self.config.set_disabled(true),
            GuardAction::Reset => self.reset(),
            GuardAction::ShadowOn => self.set_shadow(true),
            GuardAction::ShadowOff => self.set_shadow(false),
            _ => {}
        }
    }

    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&BalanceShared::settings(self))
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        self.update(|settings| operator_settings::set(settings, setting, value))
    }
}

/// Returns the endpoints that are ejected, a few of them if they are many.
fn ejected_names(stats: &BalanceStats) -> Option<String> {
    let ejected = stats.endpoints.iter();
    let ejected = ejected.filter(|endpoint| endpoint.status != EndpointStatus::InRotation);
    let names: Vec<&str> = ejected
        .map(|endpoint| Label::as_str(&endpoint.endpoint))
        .collect();
    match names.len() {
        0 => None,
        1..=MAX_NAMED => Some(names.join(", ")),
        more => Some(format!(
            "{} and {} more",
            names[..MAX_NAMED].join(", "),
            more - MAX_NAMED
        )),
    }
}
