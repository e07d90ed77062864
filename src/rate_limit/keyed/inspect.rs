use super::{shard::Shard, shared::KeyedShared};
use crate::{
    call::ConfigError,
    rate_limit::{
        inspect::{ACTIONS, mode},
        limit_metrics::LimitEvent,
        operator_settings,
    },
    registry::{GuardAction, Inspect, Setting, Stats},
};

impl Inspect for KeyedShared {
    fn kind(&self) -> &'static str {
        "keyed_rate_limit"
    }

    fn name(&self) -> &str {
        KeyedShared::name(self).as_str()
    }

    /// Returns whether new keys get a bucket of their own, as far as is known without looking at all of them.
    fn state(&self) -> &'static str {
        let keys = self.table.sum(|shard| shard.len() as u64);
        match keys < self.table.max_keys() as u64 {
            _ if self.control.is_disabled() => "disabled",
            true => "admitting",
            false => "full",
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let settings = self.control.settings();
        let sum = |number: fn(&Shard) -> u64| self.table.sum(number);
        stats.number("rate_per_second", settings.rate_per_second());
        stats.count("burst", settings.effective_burst());
        stats.count("keys", sum(|shard| shard.len() as u64));
        stats.count("max_keys", self.table.max_keys() as u64);
        stats.count("admitted", sum(Shard::admitted) + self.table.overflowed());
        for (name, event) in [
            ("rejected", LimitEvent::Rejected),
            ("waited", LimitEvent::Waited),
            ("emptied", LimitEvent::Emptied),
            ("overflowed", LimitEvent::Overflowed),
        ] {
            stats.count(name, self.control.metrics.get(event));
        }
        stats.count("evicted", sum(Shard::evicted));
        stats.text("mode", Some(mode(self.control.is_shadow())));
    }

    fn actions(&self) -> &'static [GuardAction] {
        &ACTIONS
    }

    fn act(&self, action: GuardAction) {
        self.control.act(action, || self.reset());
    }

    /// Returns the settings of all keys.
    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&self.control.settings())
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        let settings = operator_settings::with(&self.control.settings(), setting, value);
        settings.map_or(Ok(()), |settings| self.apply(&settings))
    }
}
