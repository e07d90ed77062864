use super::{not_hedged::NotHedged, operator_settings, shared::HedgeShared};
use crate::{
    call::ConfigError,
    registry::{GuardAction, Inspect, Setting, Stats},
};

impl Inspect for HedgeShared {
    fn kind(&self) -> &'static str {
        "hedge"
    }

    fn name(&self) -> &str {
        HedgeShared::name(self).as_str()
    }

    /// Returns whether hedges are sent, wait for a percentile that is not known, or are off.
    fn state(&self) -> &'static str {
        match self.stats().delay {
            _ if HedgeShared::settings(self).max_hedges == 0 => "off",
            Some(_) => "on",
            None => "learning",
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let now = HedgeShared::stats(self);
        if let Some(delay) = now.delay {
            stats.number("delay_seconds", delay.as_secs_f64());
        }
        stats.count("samples", now.samples);
        stats.count("sent", now.sent);
        stats.count("won", now.won);
        for reason in NotHedged::ALL {
            stats.count(reason.stat_name(), self.metrics.not_hedged(reason));
        }
    }

    fn actions(&self) -> &'static [GuardAction] {
        &[GuardAction::Reset]
    }

    fn act(&self, action: GuardAction) {
        if action == GuardAction::Reset {
            self.reset();
        }
    }

    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&HedgeShared::settings(self))
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        match operator_settings::with(&HedgeShared::settings(self), setting, value) {
            Some(settings) => self.apply(&settings),
            None => Ok(()),
        }
    }
}
