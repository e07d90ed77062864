use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;

use super::Notification;

/// A message that waits to be sent.
#[derive(Clone, Debug)]
pub(super) struct QueuedMessage {
    pub(super) id: Arc<str>,
    pub(super) notification: Arc<Notification>,
    pub(super) queued_at: SystemTime,
    pub(super) give_up_at: Instant,
    /// The attempts that were made.
    pub(super) attempts: u32,
    pub(super) next_at: Instant,
    /// True if the receiver may have it, though no attempt has succeeded.
    pub(super) is_uncertain: bool,
    /// True for alerts that are sent again because the receiver forgets them: they are no news.
    pub(super) is_resend: bool,
}

impl QueuedMessage {
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.notification.key() == Some(key)
    }

    pub(super) fn is_resolve(&self) -> bool {
        self.notification.is_resolve()
    }
}
