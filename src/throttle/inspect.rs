use tokio::time::Instant;

use super::{operator_settings, shared::ThrottleShared};
use crate::{
    call::ConfigError,
    registry::{GuardAction, Inspect, Setting, Stats},
};

/// The actions that operators have on a throttle.
const ACTIONS: [GuardAction; 4] = [
    GuardAction::Disable,
    GuardAction::Reset,
    GuardAction::ShadowOn,
    GuardAction::ShadowOff,
];

impl Inspect for ThrottleShared {
    fn kind(&self) -> &'static str {
        "throttle"
    }

    fn name(&self) -> &str {
        ThrottleShared::name(self).as_str()
    }

    /// Returns whether calls are admitted, rejected at times, or not throttled at all.
    fn state(&self) -> &'static str {
        let (counts, rejection) = self.counts(Instant::now());
        match rejection > 0.0 || counts.all_rejected() > 0 {
            _ if self.is_disabled() => "disabled",
            true => "throttling",
            false => "admitting",
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let (counts, rejection) = self.counts(Instant::now());
        stats.number("rejection_rate", rejection);
        stats.count("accepted", counts.accepted);
        stats.count("failed", counts.failed);
        stats.count("rejected", self.rejected());
        let is_shadow = ThrottleShared::settings(self).shadow;
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
        operator_settings::list(&ThrottleShared::settings(self))
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        match operator_settings::with(&ThrottleShared::settings(self), setting, value) {
            Some(settings) => self.apply(&settings),
            None => Ok(()),
        }
    }
}
