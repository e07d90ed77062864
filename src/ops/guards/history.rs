use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, SystemTime},
};

use crate::{
    ops::redact::redacted,
    registry::{GuardTransition, LimitChange},
};

/// The most guards with a history. One more takes the place of the one that was quiet for longest, which may be gone.
const MAX_GUARDS: usize = 1_000;
/// The most transitions of one guard.
const MAX_TRANSITIONS: usize = 64;
/// The time for which a strip of states reaches back.
pub(super) const STRIP: Duration = Duration::from_secs(3_600);

/// The kind and the name of a guard.
type GuardKey = (&'static str, Box<str>);

/// The latest transitions of the guards of the process.
#[derive(Debug, Default)]
pub(crate) struct GuardHistory {
    guards: BTreeMap<GuardKey, VecDeque<SeenTransition>>,
    dropped: u64,
}

/// A transition as the console shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenTransition {
    pub(crate) at: SystemTime,
    pub(crate) key: Option<Box<str>>,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// The limits, if they have changed and not the state.
    pub(crate) limits: Option<LimitChange>,
    pub(crate) reason: &'static str,
    pub(crate) last_error: Option<Box<str>>,
}

/// A state, and the share of the strip's time for which it lasted.
pub(crate) type StateShare = (&'static str, f64);

impl SeenTransition {
    /// Returns whether the state of the guard has changed: not that of a key, nor a limit.
    fn is_of_state(&self) -> bool {
        self.key.is_none() && self.limits.is_none()
    }
}

impl GuardHistory {
    pub(crate) fn record(&mut self, transition: &GuardTransition) {
        let key = (transition.kind, Box::from(transition.name.as_str()));
        if !self.guards.contains_key(&key) && self.guards.len() == MAX_GUARDS {
            self.forget_quietest();
        }
        let seen = self.guards.entry(key).or_default();
        if seen.len() == MAX_TRANSITIONS {
            seen.pop_front();
        }
        let text = |label: &crate::call::Label| Box::from(label.as_str());
        let last_error = transition.last_error.as_ref();
        seen.push_back(SeenTransition {
            at: transition.at,
            key: transition.key.as_ref().map(text),
            from: transition.from,
            to: transition.to,
            limits: transition.limits,
            reason: transition.reason,
            last_error: last_error.map(|error| redacted(error.as_str()).into()),
        });
    }

    fn forget_quietest(&mut self) {
        let last = |seen: &VecDeque<SeenTransition>| seen.back().map(|seen| seen.at);
        let quietest = self.guards.iter().min_by_key(|(_, seen)| last(seen));
        if let Some(key) = quietest.map(|(key, _)| key.clone())
            && let Some(forgotten) = self.guards.remove(&key)
        {
            self.dropped += forgotten.len() as u64;
        }
    }

    /// Returns how many transitions were dropped, of guards beyond the limit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns the transitions of a guard, the latest first.
    pub(crate) fn transitions(
        &self,
        kind: &'static str,
        name: &str,
    ) -> impl Iterator<Item = &SeenTransition> {
        let found = self.guards.get(&(kind, Box::from(name)));
        found.into_iter().flat_map(|seen| seen.iter().rev())
    }

    /// Returns the time of the last transition of the guard itself.
    pub(crate) fn since(&self, kind: &'static str, name: &str) -> Option<SystemTime> {
        let mut own = self
            .transitions(kind, name)
            .filter(|seen| seen.is_of_state());
        own.next().map(|seen| seen.at)
    }

    /// Returns the states of the last hour, the oldest first, as shares of the time since then or since `started`.
    pub(crate) fn strip(
        &self,
        kind: &'static str,
        name: &str,
        state: &'static str,
        started: SystemTime,
        now: SystemTime,
    ) -> Vec<StateShare> {
        let hour_ago = now.checked_sub(STRIP).unwrap_or(started);
        let begin = hour_ago.max(started);
        let whole = now.duration_since(begin).unwrap_or_default().as_secs_f64();
        if whole <= 0.0 {
            return vec![(state, 1.0)];
        }
        let (mut strip, mut end, mut present) = (Vec::new(), now, state);
        for seen in self.transitions(kind, name) {
            if !seen.is_of_state() {
                continue;
            }
            let at = seen.at.clamp(begin, end);
            let share = share(at, end, whole);
            strip.push((seen.to, share));
            (end, present) = (at, seen.from);
            if at == begin {
                break;
            }
        }
        strip.push((present, share(begin, end, whole)));
        strip.retain(|(_, share)| *share > 0.0);
        strip.reverse();
        strip
    }
}

/// Returns the share of a time, to the thousandth: finer than a pixel, and mostly the same a second later.
fn share(begin: SystemTime, end: SystemTime, whole: f64) -> f64 {
    let seconds = end.duration_since(begin).unwrap_or_default().as_secs_f64();
    (seconds / whole * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "circuit_breaker";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Returns a transition of a breaker. Not one from the registry, whose channel is full of those of other tests.
    fn transition(name: &str, to: &'static str, seconds: u64) -> GuardTransition {
        GuardTransition {
            kind: KIND,
            name: name.to_owned().into(),
            key: None,
            from: if to == "open" { "closed" } else { "open" },
            to,
            limits: None,
            reason: "forced",
            last_error: None,
            shadow: false,
            at: at(seconds),
        }
    }

    #[test]
    fn strip_has_the_shares_of_the_last_hour() {
        let mut history = GuardHistory::default();
        let strip = |history: &GuardHistory, state, started, now| {
            history.strip(KIND, "strip", state, at(started), at(now))
        };
        assert_eq!(strip(&history, "closed", 0, 100), [("closed", 1.0)]);
        assert_eq!(strip(&history, "closed", 100, 100), [("closed", 1.0)]);
        history.record(&transition("strip", "open", 50));
        assert_eq!(
            strip(&history, "open", 0, 200),
            [("closed", 0.25), ("open", 0.75)]
        );
        history.record(&transition("strip", "closed", 100));
        assert_eq!(
            strip(&history, "closed", 0, 200),
            [("closed", 0.25), ("open", 0.25), ("closed", 0.5)]
        );
        // An hour later, only the last state is in the strip.
        assert_eq!(strip(&history, "closed", 0, 100 + 3_600), [("closed", 1.0)]);
        assert_eq!(
            strip(&history, "closed", 0, 100 + 1_800),
            [("closed", 0.026), ("open", 0.026), ("closed", 0.947)]
        );
    }

    #[test]
    fn guard_has_its_state_since_its_own_last_transition() {
        let mut history = GuardHistory::default();
        assert_eq!(history.since(KIND, "since"), None);
        let own = transition("since", "open", 50);
        history.record(&own);
        history.record(&GuardTransition {
            at: at(60),
            key: Some("a key".into()),
            ..own.clone()
        });
        let limits = Some(LimitChange { from: 20, to: 10 });
        history.record(&GuardTransition {
            at: at(70),
            limits,
            ..own
        });
        assert_eq!(history.since(KIND, "since"), Some(at(50)));
        let seen: Vec<_> = history.transitions(KIND, "since").collect();
        assert_eq!((seen.len(), seen[0].limits), (3, limits));
        let strip = history.strip(KIND, "since", "open", at(0), at(100));
        assert_eq!(strip, [("closed", 0.5), ("open", 0.5)]);
    }

    #[test]
    fn history_is_bounded_by_guards_and_by_transitions() {
        let mut history = GuardHistory::default();
        let one = transition("bounded", "open", 1);
        assert_eq!(history.dropped(), 0);
        for n in 0..MAX_TRANSITIONS as u64 + 10 {
            let at = at(n);
            history.record(&GuardTransition { at, ..one.clone() });
        }
        let seen: Vec<_> = history
            .transitions(KIND, "bounded")
            .map(|seen| seen.at)
            .collect();
        assert_eq!(seen.len(), MAX_TRANSITIONS);
        assert_eq!(seen[0], at(MAX_TRANSITIONS as u64 + 9));
        for n in 0..MAX_GUARDS {
            let name = n.to_string().into();
            history.record(&GuardTransition {
                name,
                ..one.clone()
            });
        }
        assert_eq!((history.guards.len(), history.dropped()), (MAX_GUARDS, 1));
        assert_eq!(history.transitions(KIND, "none").count(), 0);
    }

    /// The first thousand names had a history until the end, be the guards long gone, and later ones never.
    #[test]
    fn history_of_a_guard_beyond_the_limit_replaces_the_quietest() {
        let mut history = GuardHistory::default();
        let one = transition("quietest", "open", 1);
        let mut record = |name: String, seconds| {
            let (name, at) = (name.into(), at(seconds));
            history.record(&GuardTransition {
                name,
                at,
                ..one.clone()
            });
        };
        for n in 0..MAX_GUARDS as u64 {
            record(n.to_string(), 1_000 + n);
        }
        record("0".into(), 5_000);
        record("later".into(), 5_001);
        let seen = ["0", "1", "2", "later"].map(|name| history.transitions(KIND, name).count());
        assert_eq!((seen, history.dropped()), ([2, 0, 1, 1], 1));
    }
}
