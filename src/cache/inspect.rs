use super::{operator_settings, shared::CacheShared};
use crate::{
    call::ConfigError,
    registry::{GuardAction, Inspect, Setting, Stats},
};

/// The actions that operators have on a cache.
const ACTIONS: [GuardAction; 2] = [GuardAction::Disable, GuardAction::Reset];

impl Inspect for CacheShared {
    fn kind(&self) -> &'static str {
        "cache"
    }

    fn name(&self) -> &str {
        CacheShared::name(self).as_str()
    }

    fn state(&self) -> &'static str {
        match self.is_disabled() {
            true => "disabled",
            false => "on",
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let now = CacheShared::stats(self);
        stats.count("entries", now.entries);
        stats.count("bytes", now.bytes);
        stats.count("hits", now.hits);
        stats.count("stale", now.stale);
        stats.count("misses", now.misses);
        stats.count("stored", now.stored);
        stats.count("bypassed", now.bypassed);
    }

    fn actions(&self) -> &'static [GuardAction] {
        &ACTIONS
    }

    fn act(&self, action: GuardAction) {
        match action {
            GuardAction::Disable => self.disable(),
            GuardAction::Reset => self.reset(),
            _ => {}
        }
    }

    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&CacheShared::settings(self))
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        match operator_settings::with(&CacheShared::settings(self), setting, value) {
            Some(settings) => self.apply(&settings),
            None => Ok(()),
        }
    }
}
