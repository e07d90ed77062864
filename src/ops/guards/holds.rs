use std::time::Duration;

use tokio::time::Instant;

use super::Hold;
use crate::registry::GuardAction;

/// The most guards that are held at once.
const MAX_HOLDS: usize = 1_000;

/// What an operator can set for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldAction {
    /// Reject every call.
    Open,
    /// Admit every call.
    Closed,
    /// Count, but reject no call.
    Shadow,
}

impl HoldAction {
    pub(crate) const ALL: [HoldAction; 3] =
        [HoldAction::Open, HoldAction::Closed, HoldAction::Shadow];

    /// Returns the action in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            HoldAction::Open => "hold_open",
            HoldAction::Closed => "hold_closed",
            HoldAction::Shadow => "shadow",
        }
    }

    /// Returns what begins the hold.
    pub(crate) const fn begin(self) -> GuardAction {
        match self {
            HoldAction::Open => GuardAction::ForceOpen,
            HoldAction::Closed => GuardAction::Disable,
            HoldAction::Shadow => GuardAction::ShadowOn,
        }
    }

    /// Returns what ends the hold.
    pub(crate) const fn end(self) -> GuardAction {
        match self {
            HoldAction::Open | HoldAction::Closed => GuardAction::Reset,
            HoldAction::Shadow => GuardAction::ShadowOff,
        }
    }
}

/// The guards that an operator holds, one hold each.
#[derive(Debug, Default)]
pub(crate) struct Holds(Vec<Hold>);

impl Holds {
    /// Adds a hold, in place of the one that the guard has. Returns false if there are too many.
    pub(crate) fn insert(
        &mut self,
        kind: &str,
        name: &str,
        action: HoldAction,
        time: Duration,
        now: Instant,
    ) -> bool {
        self.remove(kind, name);
        let has_room = self.0.len() < MAX_HOLDS;
        if has_room {
            self.0.push(Hold {
                kind: kind.into(),
                name: name.into(),
                action,
                until: now + time,
            });
        }
        has_room
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
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn hold_ends_when_its_time_is_over() {
        let now = Instant::now();
        let mut holds = Holds::default();
        assert!(holds.insert("breaker", "a", HoldAction::Open, MINUTE, now));
        assert!(holds.insert("breaker", "b", HoldAction::Closed, 2 * MINUTE, now));
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
            holds.insert("breaker", "a", action, MINUTE, now);
        }
        holds.insert("pool", "a", HoldAction::Open, MINUTE, now);
        let removed = holds.remove("breaker", "a").expect("held");
        assert_eq!(removed.action, HoldAction::Shadow);
        assert_eq!(holds.remove("breaker", "a"), None);
        assert!(holds.get("pool", "a").is_some());
    }

    #[test]
    fn holds_are_bounded() {
        let now = Instant::now();
        let mut holds = Holds::default();
        let mut insert =
            |n: usize| holds.insert("breaker", &n.to_string(), HoldAction::Open, MINUTE, now);
        assert!((0..MAX_HOLDS).all(&mut insert));
        assert!(!insert(MAX_HOLDS));
        assert!(insert(0), "it has a hold already");
    }

    #[test]
    fn hold_actions_begin_and_end() {
        let all = HoldAction::ALL.map(|action| (action.as_str(), action.begin(), action.end()));
        let expected = [
            ("hold_open", GuardAction::ForceOpen, GuardAction::Reset),
            ("hold_closed", GuardAction::Disable, GuardAction::Reset),
            ("shadow", GuardAction::ShadowOn, GuardAction::ShadowOff),
        ];
        assert_eq!(all, expected);
    }
}
