use std::time::SystemTime;

use tokio::time::Instant;

use super::HoldAction;
use crate::{
    ops::control::GuardMode,
    registry::{self, GuardAction},
};

/// The state of a guard at the end of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldEnd {
    /// The guard as it was held. It is as it was before.
    Held,
    /// A guard that somebody else has changed since, or another one of this name. It stays so.
    Changed,
    /// A guard that has gone.
    Gone,
}

/// A state that an operator has set for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) kind: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) action: HoldAction,
    /// The guard as it was before.
    pub(crate) before: GuardMode,
    pub(crate) until: Instant,
    /// The same by the clock on the wall, for people.
    pub(crate) until_at: SystemTime,
}

impl Hold {
    /// Makes the guard as it was before, if it is as it was held.
    pub(crate) fn end(&self) -> HoldEnd {
        let found = self.find();
        if found == HoldEnd::Held {
            registry::act(&self.kind, &self.name, self.end_action());
        }
        found
    }

    /// Returns whether the guard is as it was held.
    pub(crate) fn find(&self) -> HoldEnd {
        let modes = GuardMode::all(&self.kind, &self.name);
        match modes.iter().any(|mode| self.action.is_in_force(*mode)) {
            true => HoldEnd::Held,
            false if modes.is_empty() => HoldEnd::Gone,
            false => HoldEnd::Changed,
        }
    }

    /// Returns what ends the hold: a guard that the application itself had forced, or put into shadow mode, stays so.
    pub(super) fn end_action(&self) -> GuardAction {
        match (self.action, self.before.state) {
            (HoldAction::Shadow, _) if self.before.is_shadow => GuardAction::ShadowOn,
            (HoldAction::Shadow, _) => GuardAction::ShadowOff,
            (_, "forced_open") => GuardAction::ForceOpen,
            (_, "disabled") => GuardAction::Disable,
            _ => GuardAction::Reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CircuitBreaker, breaker::CircuitState};

    #[test]
    fn hold_of_a_guard_that_is_gone_ends_without_it() {
        let breaker = CircuitBreaker::new("hold-of-one");
        breaker.force_open();
        let hold = |name: &str| Hold {
            kind: "circuit_breaker".into(),
            name: name.into(),
            action: HoldAction::Open,
            before: GuardMode {
                state: "closed",
                is_shadow: false,
            },
            until: Instant::now(),
            until_at: SystemTime::UNIX_EPOCH,
        };
        assert_eq!(hold("hold-of-none").end(), HoldEnd::Gone);
        assert_eq!(breaker.state(), CircuitState::ForcedOpen);
        assert_eq!(hold("hold-of-one").end(), HoldEnd::Held);
        assert_eq!(breaker.state(), CircuitState::Closed);
        assert_eq!(hold("hold-of-one").end(), HoldEnd::Changed);
    }

    #[test]
    fn hold_ends_with_what_was_before() {
        let end = |action, state, is_shadow| {
            let hold = Hold {
                kind: "breaker".into(),
                name: "a".into(),
                action,
                before: GuardMode { state, is_shadow },
                until: Instant::now(),
                until_at: SystemTime::UNIX_EPOCH,
            };
            hold.end_action()
        };
        for (action, state, is_shadow, expected) in [
            (HoldAction::Open, "closed", false, GuardAction::Reset),
            (HoldAction::Closed, "open", true, GuardAction::Reset),
            (
                HoldAction::Closed,
                "forced_open",
                false,
                GuardAction::ForceOpen,
            ),
            (HoldAction::Open, "disabled", false, GuardAction::Disable),
            (
                HoldAction::Shadow,
                "forced_open",
                false,
                GuardAction::ShadowOff,
            ),
            (HoldAction::Shadow, "closed", true, GuardAction::ShadowOn),
            (HoldAction::On, "off", false, GuardAction::Reset),
            (HoldAction::Off, "on", false, GuardAction::Reset),
        ] {
            assert_eq!(
                end(action, state, is_shadow),
                expected,
                "{action:?} {state}"
            );
        }
    }
}
