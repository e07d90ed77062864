use tokio::time::Instant;

use super::{limit_metrics::LimitEvent, operator_settings, shared::RateLimitShared};
use crate::{
    call::ConfigError,
    registry::{GuardAction, Inspect, Setting, Stats},
};

/// The actions that operators have on a limit.
pub(super) const ACTIONS: [GuardAction; 4] = [
    GuardAction::Disable,
    GuardAction::Reset,
    GuardAction::ShadowOn,
    GuardAction::ShadowOff,
];

impl Inspect for RateLimitShared {
    fn kind(&self) -> &'static str {
        "rate_limit"
    }

    fn name(&self) -> &str {
        RateLimitShared::name(self).as_str()
    }

    /// Returns whether calls are admitted, rejected for now, or not limited at all.
    fn state(&self) -> &'static str {
        let (state, quota, now) = self.read(Instant::now());
        match quota.available(state, now) {
            _ if self.control.is_disabled() => "disabled",
            0 => "limiting",
            _ => "admitting",
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let (state, quota, now) = self.read(Instant::now());
        let settings = self.control.settings();
        stats.number("rate_per_second", settings.rate_per_second());
        stats.count("burst", quota.burst());
        stats.count("available", quota.available(state, now));
        stats.count("admitted", self.admitted());
        for (name, event) in [
            ("rejected", LimitEvent::Rejected),
            ("waited", LimitEvent::Waited),
            ("emptied", LimitEvent::Emptied),
        ] {
            stats.count(name, self.control.metrics.get(event));
        }
        stats.text("mode", Some(mode(self.control.is_shadow())));
    }

    fn actions(&self) -> &'static [GuardAction] {
        &ACTIONS
    }

    fn act(&self, action: GuardAction) {
        self.control.act(action, || self.reset());
    }

    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&self.control.settings())
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        let settings = operator_settings::with(&self.control.settings(), setting, value);
        settings.map_or(Ok(()), |settings| self.apply(&settings))
    }
}

/// Returns the text of the stat `mode`.
pub(super) fn mode(is_shadow: bool) -> &'static str {
    if is_shadow { "shadow" } else { "on" }
}

#[cfg(test)]
mod tests {
    use crate::{
        rate_limit::RateLimit,
        registry::{self, GuardAction, Stat},
    };

    #[test]
    fn rate_limit_does_the_actions_of_the_registry() {
        let limit = RateLimit::builder("actions of the registry")
            .rate(1, std::time::Duration::from_secs(3_600))
            .build()
            .expect("valid");
        let entry = || {
            let all = registry::snapshots();
            let own = all.into_iter().find(|guard| guard.name() == limit.name());
            own.expect("registered")
        };
        let act = |action| {
            assert_eq!(registry::act("rate_limit", limit.name(), action), 1);
            entry().state()
        };
        assert_eq!(entry().state(), "admitting");
        limit.check().expect("the only one");
        assert_eq!(entry().state(), "limiting");
        assert_eq!(act(GuardAction::Disable), "disabled");
        limit.check().expect("disabled");
        assert_eq!(act(GuardAction::Reset), "admitting");
        assert_eq!(act(GuardAction::ShadowOn), "admitting");
        for _ in 0..3 {
            limit.check().expect("a shadow rejects nothing");
        }
        assert_eq!(act(GuardAction::ShadowOff), "limiting");
        limit.check().expect_err("no cell");
        let entry = entry();
        assert_eq!(entry.actions(), super::ACTIONS);
        let count = |name| match entry.stat(name) {
            Some(Stat::Count(count)) => *count,
            other => panic!("{name}: {other:?}"),
        };
        let counts = ["burst", "available", "admitted", "rejected", "waited"].map(count);
        assert_eq!(counts, [1, 0, 2, 3, 0]);
        assert_eq!(
            entry.stat("rate_per_second"),
            Some(&Stat::Number(1.0 / 3_600.0))
        );
    }
}
