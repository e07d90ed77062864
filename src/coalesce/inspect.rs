use super::{operator_settings, shared::CoalesceShared};
use crate::{
    call::ConfigError,
    registry::{GuardAction, Inspect, Setting, Stats},
};

/// The actions that operators have on a coalescing handle.
const ACTIONS: [GuardAction; 2] = [GuardAction::Disable, GuardAction::Reset];

impl Inspect for CoalesceShared {
    fn kind(&self) -> &'static str {
        "coalesce"
    }

    fn name(&self) -> &str {
        CoalesceShared::name(self).as_str()
    }

    fn state(&self) -> &'static str {
        match self.is_disabled() {
            true => "disabled",
            false => "on",
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let now = CoalesceShared::stats(self);
        stats.count("in_flight", now.in_flight as u64);
        stats.count("bytes_in_flight", now.bytes_in_flight);
        stats.count("led", now.led);
        stats.count("joined", now.joined);
        stats.count("alone", now.alone);
        stats.count("handed_over", now.handed_over);
        stats.count("rejected", now.rejected);
        stats.count("timed_out", now.timed_out);
        stats.count("bytes_exceeded", now.bytes_exceeded);
    }

    fn actions(&self) -> &'static [GuardAction] {
        &ACTIONS
    }

    fn act(&self, action: GuardAction) {
        match action {
            GuardAction::Disable => self.set_disabled(true),
            GuardAction::Reset => self.set_disabled(false),
            _ => {}
        }
    }

    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&CoalesceShared::settings(self))
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        match operator_settings::with(&CoalesceShared::settings(self), setting, value) {
            Some(settings) => self.apply(&settings),
            None => Ok(()),
        }
    }
}
