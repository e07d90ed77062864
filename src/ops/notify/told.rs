use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::Notification;

/// The most alert groups that a channel is known to have been told.
const MAX_GROUPS: usize = 4_096;
/// The time for which what was told before a restart is sent again without news: its rule may be gone.
const RESTORED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// The alert groups whose trigger a channel has taken, and whose resolve it has not: where a resolve must go.
#[derive(Debug, Default)]
pub(super) struct OpenGroups {
    groups: BTreeMap<String, ToldGroup>,
    resend_every: Option<Duration>,
}

/// The last that a channel was told of a group.
#[derive(Clone, Debug)]
pub(super) struct ToldGroup {
    pub(super) at: SystemTime,
    pub(super) notification: Arc<Notification>,
    resend_at: Option<Instant>,
    resend_until: Option<Instant>,
}

impl OpenGroups {
    pub(super) fn new(resend_every: Option<Duration>) -> Self {
        OpenGroups {
            groups: BTreeMap::new(),
            resend_every,
        }
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.groups.contains_key(key)
    }

    /// Adds a group, or what is new of it. Returns the key of one that is forgotten in its place.
    pub(super) fn insert(
        &mut self,
        key: &str,
        notification: Arc<Notification>,
        at: SystemTime,
        now: Instant,
    ) -> Option<String> {
        let group = ToldGroup {
            at,
            notification,
            resend_at: self.resend_every.map(|every| now + every),
            resend_until: None,
        };
        self.groups.insert(key.to_owned(), group);
        if self.groups.len() <= MAX_GROUPS {
            return None;
        }
        let others = self.groups.iter().filter(|(each, _)| *each != key);
        let (oldest, _) = others.min_by_key(|(_, group)| group.at)?;
        let oldest = oldest.clone();
        self.groups.remove(&oldest);
        Some(oldest)
    }

    /// Adds a group that was told before a restart.
    pub(super) fn restore(
        &mut self,
        key: String,
        notification: Arc<Notification>,
        at: SystemTime,
        now: Instant,
    ) {
        if self.groups.len() < MAX_GROUPS {
            let group = ToldGroup {
                at,
                notification,
                resend_at: self.resend_every.map(|_| now),
                resend_until: Some(now + RESTORED_FOR),
            };
            self.groups.insert(key, group);
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        self.groups.remove(key).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns a group that is to be sent again, and sets when it is next.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Arc<Notification>> {
        let every = self.resend_every?;
        let mut groups = self.groups.values_mut();
        let due = groups.find(|group| group.resend_at().is_some_and(|at| at <= now))?;
        due.resend_at = Some(now + every);
        Some(due.notification.clone())
    }

    /// Returns when the next group is to be sent again.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.groups.values().filter_map(ToldGroup::resend_at).min()
    }
}

impl ToldGroup {
    fn resend_at(&self) -> Option<Instant> {
        let is_old = |at: &Instant| self.resend_until.is_some_and(|until| *at > until);
        self.resend_at.filter(|at| !is_old(at))
    }
}
