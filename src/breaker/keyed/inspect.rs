use std::hash::Hash;

use super::KeyedShared;
use crate::{
    breaker::{inspect::mode, operator_settings, state::CircuitState, validate::validate},
    call::ConfigError,
    registry::{GuardAction, Inspect, Setting, Stats},
};

impl<K: Hash + Eq + Send> Inspect for KeyedShared<K> {
    fn kind(&self) -> &'static str {
        "keyed_circuit_breaker"
    }

    fn name(&self) -> &str {
        self.metrics.name().as_str()
    }

    /// Returns the worst state of any key.
    fn state(&self) -> &'static str {
        let counts = self.metrics.counts();
        let worst_first = [
            CircuitState::ForcedOpen,
            CircuitState::Open,
            CircuitState::HalfOpen,
        ];
        let worst = worst_first
            .into_iter()
            .find(|state| counts[*state as usize] > 0);
        worst.unwrap_or(CircuitState::Closed).as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        self.metrics.report_state();
        let counts = self.metrics.counts();
        let shadow = self.lock_template().value.settings.shadow;
        stats.count("keys", self.lock_map().len() as u64);
        stats.count("max_keys", self.max_keys as u64);
        for (state, keys) in CircuitState::ALL.into_iter().zip(counts) {
            stats.count(state.as_str(), keys);
        }
        stats.count("rejected", self.metrics.rejected());
        stats.count("evicted", self.metrics.evicted());
        stats.text("mode", Some(mode(shadow)));
    }

    /// Returns the only action that makes sense for all keys at once.
    fn actions(&self) -> &'static [GuardAction] {
        &[GuardAction::Reset]
    }

    fn act(&self, action: GuardAction) {
        if action == GuardAction::Reset {
            self.reset_all();
        }
    }

    /// Returns the settings of all keys.
    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&self.lock_template().value.settings)
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        let settings = self.lock_template().value.settings.clone();
        if let Some(settings) = operator_settings::with(&settings, setting, value) {
            self.apply(validate(self.name(), &settings)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        breaker::{CircuitBreaker, KeyedBreaker},
        registry,
    };

    #[test]
    fn keyed_breaker_resets_all_keys_by_the_registry() {
        let name = "keys of the registry";
        let keyed: KeyedBreaker<u8> = KeyedBreaker::builder(CircuitBreaker::builder(name))
            .build()
            .expect("valid");
        for key in [1, 2] {
            keyed.get_owned(key).force_open();
        }
        let act = |action| registry::act("keyed_circuit_breaker", name, action);
        assert_eq!(act(GuardAction::ForceOpen), 0);
        assert_eq!(keyed.keys_in(CircuitState::ForcedOpen), 2);
        assert_eq!(act(GuardAction::Reset), 1);
        assert_eq!(keyed.keys_in(CircuitState::ForcedOpen), 0);
    }
}
