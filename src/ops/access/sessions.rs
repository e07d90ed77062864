use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{Identity, secret::Secret};

/// The most sessions. More would be many operators of one process; the oldest ends for a new one.
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
            self.sessions.pop_front();
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
}
