use std::{fmt, str::FromStr};

/// An action of an operator on a guard: see [`act`](super::act).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuardAction {
    /// Reject every call until [`Reset`](Self::Reset).
    ForceOpen,
    /// Admit every call and do nothing to it, and count none, until [`Reset`](Self::Reset).
    Disable,
    /// Take back what was forced, and forget what was counted.
    Reset,
    /// Count and report as ever, but reject no call.
    ShadowOn,
    /// Reject calls again.
    ShadowOff,
    /// Do what is off until it is switched on, such as injecting [faults](crate::chaos), until [`Reset`](Self::Reset).
    Enable,
}

impl GuardAction {
    /// All actions.
    pub const ALL: [GuardAction; 6] = [
        GuardAction::ForceOpen,
        GuardAction::Disable,
        GuardAction::Reset,
        GuardAction::ShadowOn,
        GuardAction::ShadowOff,
        GuardAction::Enable,
    ];

    /// Returns the action in lower case, words joined by `_`.
    pub const fn as_str(self) -> &'static str {
        match self {
            GuardAction::ForceOpen => "force_open",
            GuardAction::Disable => "disable",
            GuardAction::Reset => "reset",
            GuardAction::ShadowOn => "shadow_on",
            GuardAction::ShadowOff => "shadow_off",
            GuardAction::Enable => "enable",
        }
    }
}

impl fmt::Display for GuardAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Parses what [`as_str`](GuardAction::as_str) returns.
impl FromStr for GuardAction {
    type Err = UnknownGuardAction;

    fn from_str(text: &str) -> Result<Self, UnknownGuardAction> {
        let mut all = GuardAction::ALL.into_iter();
        all.find(|action| action.as_str() == text)
            .ok_or(UnknownGuardAction)
    }
}

/// The error of a text that is no [`GuardAction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownGuardAction;

impl fmt::Display for UnknownGuardAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an action is one of force_open, disable, reset, shadow_on, shadow_off, enable")
    }
}

impl std::error::Error for UnknownGuardAction {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guard_action_parses_its_own_text() {
        for action in GuardAction::ALL {
            assert_eq!(action.to_string().parse(), Ok(action));
        }
        let error = "open".parse::<GuardAction>().unwrap_err().to_string();
        for action in GuardAction::ALL {
            assert!(error.contains(action.as_str()), "{error}");
        }
    }
}
