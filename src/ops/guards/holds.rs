use tokio::time::Instant;

use super::Hold;
use crate::{ops::control::GuardMode, registry::GuardAction};

/// The most guards that are held at once.
const MAX_HOLDS: usize = 1_000;

/// A state that an operator can set for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldAction {
    /// Reject every call.
    Open,
    /// Admit every call.
    Closed,
    /// Count, but reject no call.
    Shadow,
    /// Do what is off otherwise.
    On,
    /// Do nothing.
    Off,
}

impl HoldAction {
    pub(crate) const ALL: [HoldAction; 5] = [
        HoldAction::Open,
        HoldAction::Closed,
        HoldAction::Shadow,
        HoldAction::On,
        HoldAction::Off,
    ];

    /// Returns the action in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            HoldAction::Open => "hold_open",
            HoldAction::Closed => "hold_closed",
            HoldAction::Shadow => "shadow",
            HoldAction::On => "hold_on",
            HoldAction::Off => "hold_off",
        }
    }

    /// Returns whether a guard is in the state that the hold sets.
    pub(super) fn is_in_force(self, mode: GuardMode) -> bool {
        match self {
            HoldAction::Open => mode.state == "forced_open",
            // A word of each kind of guard for the same action.
            HoldAction::Closed | HoldAction::Off => matches!(mode.state, "disabled" | "off"),
            HoldAction::Shadow => mode.is_shadow,
            HoldAction::On => mode.state == "on",
        }
    }

    /// Returns what begins the hold.
    pub(crate) const fn begin(self) -> GuardAction {
        match self {
            HoldAction::Open => GuardAction::ForceOpen,
            HoldAction::Closed | HoldAction::Off => GuardAction::Disable,
            HoldAction::Shadow => GuardAction::ShadowOn,
            HoldAction::On => GuardAction::Enable,
        }
    }
}

/// The guards that an operator holds, one hold each.
#[derive(Debug, Default)]
pub(crate) struct Holds(Vec<Hold>);

impl Holds {
    /// Adds a hold, in place of the one that the guard has.
    pub(crate) fn insert(&mut self, hold: Hold) {
        self.remove(&hold.kind, &hold.name);
        self.0.push(hold);
    }

    /// Returns whether there are as many holds as there may be.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= MAX_HOLDS
    }

    /// Makes all guards as they were before.
    pub(crate) fn end_all(&self) {
        self.0.iter().for_each(|hold| _ = hold.end());
    }

    /// Removes the hold of a guard.
    pub(crate) fn remove(&mut self, kind: &str, name: &str) -> Option<Hold> {
        let at = self.position(kind, name)?;
        Some(self.0.swap_remove(at))
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<&Hold> {
        self.position(kind, name).map(|at| &self.0[at])
    }

    /// Removes and returns the holds whose time is over.
    pub(crate) fn take_ended(&mut self, now: Instant) -> Vec<Hold> {
        let is_ended = |hold: &Hold| hold.until <= now;
        let ended = self.0.iter().filter(|hold| is_ended(hold)).cloned();
        let ended = ended.collect();
        self.0.retain(|hold| !is_ended(hold));
        ended
    }

    fn position(&self, kind: &str, name: &str) -> Option<usize> {
        let mut holds = self.0.iter();
        holds.position(|hold| *hold.kind == *kind && *hold.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{CircuitBreaker, breaker::CircuitState};

    const MINUTE: Duration = Duration::from_secs(60);

    fn hold(kind: &str, name: &str, action: HoldAction, until: Instant) -> Hold {
        let before = GuardMode {
            state: "closed",
            is_shadow: false,
        };
        Hold {
            kind: kind.into(),
            name: name.into(),
            action,
            before,
            until,
            until_at: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn hold_ends_when_its_time_is_over() {
        let now = Instant::now();
        let mut holds = Holds::default();
        holds.insert(hold("breaker", "a", HoldAction::Open, now + MINUTE));
        holds.insert(hold("breaker", "b", HoldAction::Closed, now + 2 * MINUTE));
        assert_eq!(holds.take_ended(now + MINUTE - Duration::from_nanos(1)), []);
        let ended = holds.take_ended(now + MINUTE);
        assert_eq!(
            (ended.len(), &*ended[0].name, ended[0].action),
            (1, "a", HoldAction::Open)
        );
        assert!(holds.get("breaker", "a").is_none());
        assert_eq!(
            holds.get("breaker", "b").map(|hold| hold.until),
            Some(now + 2 * MINUTE)
        );
    }

    #[test]
    fn guard_has_one_hold_the_latest() {
        let now = Instant::now();
        let mut holds = Holds::default();
        for action in HoldAction::ALL {
            holds.insert(hold("breaker", "a", action, now));
        }
        holds.insert(hold("pool", "a", HoldAction::Open, now));
        let removed = holds.remove("breaker", "a").expect("held");
        assert_eq!(removed.action, HoldAction::Off);
        assert_eq!(holds.remove("breaker", "a"), None);
        assert!(holds.get("pool", "a").is_some());
    }

    #[test]
    fn holds_end_together() {
        let breakers = ["hold-a", "hold-b"].map(CircuitBreaker::new);
        let mut holds = Holds::default();
        for breaker in &breakers {
            breaker.force_open();
            let name = breaker.name();
            let now = Instant::now();
            holds.insert(hold("circuit_breaker", name, HoldAction::Open, now));
        }
        holds.end_all();
        let states = breakers.map(|breaker| breaker.state());
        assert_eq!(states, [CircuitState::Closed; 2]);
    }

    #[test]
    fn holds_are_bounded() {
        let now = Instant::now();
        let mut holds = Holds::default();
        for n in 0..MAX_HOLDS {
            assert!(!holds.is_full());
            holds.insert(hold("breaker", &n.to_string(), HoldAction::Open, now));
        }
        assert!(holds.is_full());
    }

    #[test]
    fn hold_actions_have_words_and_begin() {
        let all = HoldAction::ALL.map(|action| (action.as_str(), action.begin()));
        let expected = [
            ("hold_open", GuardAction::ForceOpen),
            ("hold_closed", GuardAction::Disable),
            ("shadow", GuardAction::ShadowOn),
            ("hold_on", GuardAction::Enable),
            ("hold_off", GuardAction::Disable),
        ];
        assert_eq!(all, expected);
    }
}
