use tokio::time::Instant;

use super::{operator_settings, shared::PrioritizerShared};
use crate::{
    call::ConfigError,
    context::PriorityClass,
    registry::{GuardAction, Inspect, Setting, Stats},
};

/// The actions that operators have on a prioritizer.
const ACTIONS: [GuardAction; 4] = [
    GuardAction::Disable,
    GuardAction::Reset,
    GuardAction::ShadowOn,
    GuardAction::ShadowOff,
];

/// The names of the stats of each class, in the order of the classes.
const ADMITTED: [&str; PriorityClass::ALL.len()] = [
    "admitted_bulk",
    "admitted_low",
    "admitted_normal",
    "admitted_high",
    "admitted_critical",
];
const SHED: [&str; PriorityClass::ALL.len()] = [
    "shed_bulk",
    "shed_low",
    "shed_normal",
    "shed_high",
    "shed_critical",
];

impl Inspect for PrioritizerShared {
    fn kind(&self) -> &'static str {
        "prioritizer"
    }

    fn name(&self) -> &str {
        PrioritizerShared::name(self).as_str()
    }

    /// Returns whether calls are admitted, shed, or admitted whatever happens.
    fn state(&self) -> &'static str {
        let is_shedding = self.is_shedding(Instant::now());
        match is_shedding {
            _ if self.is_disabled() => "disabled",
            true => "shedding",
            false => "admitting",
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let numbers = PrioritizerShared::stats(self, Instant::now());
        stats.number("shed_rate", numbers.shed_rate);
        for class in PriorityClass::ALL.into_iter().rev() {
            stats.count(ADMITTED[class as usize], numbers.class(class).admitted);
            stats.count(SHED[class as usize], numbers.class(class).shed);
        }
        let is_shadow = PrioritizerShared::settings(self).shadow;
        stats.text("mode", Some(if is_shadow { "shadow" } else { "on" }));
    }

    fn actions(&self) -> &'static [GuardAction] {
        &ACTIONS
    }

    fn act(&self, action: GuardAction) {
        match action {
            GuardAction::Disable => self.disable(),
            GuardAction::Reset => self.reset(),
            GuardAction::ShadowOn => self.set_shadow(true),
            GuardAction::ShadowOff => self.set_shadow(false),
            _ => {}
        }
    }

    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&PrioritizerShared::settings(self))
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        match operator_settings::with(&PrioritizerShared::settings(self), setting, value) {
            Some(settings) => self.apply(&settings),
            None => Ok(()),
        }
    }
}
