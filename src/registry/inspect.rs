use super::{GuardAction, Setting, Stats};
use crate::call::ConfigError;

/// A guard that can be listed.
///
/// Implement it for a custom guard, and [`register`](super::register) it.
pub trait Inspect: Send + Sync {
    /// Returns the kind of guard in snake case, such as `circuit_breaker`.
    fn kind(&self) -> &'static str;

    /// Returns the name.
    fn name(&self) -> &str;

    /// Returns the state in one word, as in metrics.
    fn state(&self) -> &'static str;

    /// Adds the stats of the guard.
    fn stats(&self, stats: &mut Stats);

    /// Returns the actions that [`act`](Self::act) does. Default: none.
    fn actions(&self) -> &'static [GuardAction] {
        &[]
    }

    /// Does one of its [actions](Self::actions); any other does nothing.
    fn act(&self, action: GuardAction) {
        let _ = action;
    }

    /// Returns the settings that [`set`](Self::set) changes, with their values. Default: none.
    fn settings(&self) -> Vec<Setting> {
        Vec::new()
    }

    /// Changes one of its [settings](Self::settings) to a value that it allows; any other does nothing.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting where the value does not go with other settings. Then nothing is changed.
    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        let _ = (setting, value);
        Ok(())
    }
}
