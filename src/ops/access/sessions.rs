use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{Identity, secret::Secret};

/// The most sessions. More would be many operators of one process; the oldest ends for a new one, but no operator's for a viewer's
/// while there is one of a viewer.
const MAX_SESSIONS: usize = 256;

/// The sessions of those who have logged in, the oldest first.
#[derive(Debug)]
pub(super) struct Sessions {
    lifetime: Duration,
    sessions: VecDeque<Session>,
}

#[derive(Debug)]
struct Session {
    secret: Secret,
    identity: Identity,
    ends: Instant,
}

impl Sessions {
    pub(super) fn new(lifetime: Duration) -> Self {
        Sessions {
            lifetime,
            sessions: VecDeque::new(),
        }
    }

    pub(super) fn insert(&mut self, secret: &str, identity: Identity, now: Instant) {
        self.sessions.retain(|session| session.ends > now);
        if self.sessions.len() == MAX_SESSIONS {
            let mut oldest = self.sessions.iter();
            let oldest = oldest.position(|session| session.identity.role() <= identity.role());
            self.sessions.remove(oldest.unwrap_or(0));
        }
        self.sessions.push_back(Session {
            secret: Secret::new(secret),
            identity,
            ends: now + self.lifetime,
        });
    }

    pub(super) fn find(&self, secret: &str, now: Instant) -> Option<Identity> {
        let found = self.sessions.iter().filter(|session| session.ends > now);
        found
            .fold(None, |found, session| {
                match session.secret.matches(secret) {
                    true => Some(session),
                    false => found,
                }
            })
            .map(|session| session.identity.clone())
    }

    pub(super) fn remove(&mut self, secret: &str) {
        self.sessions
            .retain(|session| !session.secret.matches(secret));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::access::Role;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn identity() -> Identity {
        Identity::new(Role::Viewer)
    }

    #[test]
    fn session_ends_after_its_lifetime_or_when_it_is_removed() {
        let now = Instant::now();
        let mut sessions = Sessions::new(HOUR);
        sessions.insert("a", identity(), now);
        sessions.insert("b", identity().named("mira"), now);
        let name = |sessions: &Sessions, secret, at| {
            let found = sessions.find(secret, at);
            found.map(|identity| identity.name().map(str::to_owned))
        };
        assert_eq!(name(&sessions, "b", now), Some(Some("mira".into())));
        assert_eq!(
            name(&sessions, "a", now + HOUR - Duration::from_nanos(1)),
            Some(None)
        );
        assert_eq!(name(&sessions, "a", now + HOUR), None);
        assert_eq!(name(&sessions, "c", now), None);
        sessions.remove("a");
        assert_eq!(name(&sessions, "a", now), None);
        assert_eq!(name(&sessions, "b", now), Some(Some("mira".into())));
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_ends() {
        let now = Instant::now();
        let mut sessions = Sessions::new(HOUR);
        for n in 0..=MAX_SESSIONS {
            sessions.insert(&n.to_string(), identity(), now);
        }
        assert_eq!(sessions.sessions.len(), MAX_SESSIONS);
        assert!(sessions.find("0", now).is_none() && sessions.find("1", now).is_some());
        // Those that have ended make room for themselves.
        sessions.insert("later", identity(), now + HOUR);
        assert_eq!(sessions.sessions.len(), 1);
    }

    /// A holder of a viewer's token could log all operators out.
    #[test]
    fn session_of_an_operator_does_not_end_for_those_of_viewers() {
        let now = Instant::now();
        let mut sessions = Sessions::new(HOUR);
        for n in 0..10 {
            sessions.insert(&format!("operator {n}"), Identity::new(Role::Operator), now);
        }
        for n in 0..2 * MAX_SESSIONS {
            sessions.insert(&n.to_string(), identity(), now);
        }
        assert_eq!(sessions.sessions.len(), MAX_SESSIONS);
        assert!((0..10).all(|n| sessions.find(&format!("operator {n}"), now).is_some()));
        // One of an operator ends the oldest of all.
        sessions.insert("another", Identity::new(Role::Operator), now);
        assert!(sessions.find("operator 0", now).is_none());
    }
}
