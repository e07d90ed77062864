//! The subscribers to the transitions of all guards.

use std::sync::OnceLock;

use tokio::sync::broadcast;

use super::GuardTransition;
use crate::call::catch_hook;

/// The number of transitions that a subscriber may lag behind: those of an outage that many breakers notice at once.
const CHANNEL_CAPACITY: usize = 64;

/// The channel, created for the first subscriber. Of std also in loom tests: it is never replaced, and belongs to no model.
static SUBSCRIBERS: OnceLock<broadcast::Sender<GuardTransition>> = OnceLock::new();

pub(super) fn subscribe() -> broadcast::Receiver<GuardTransition> {
    SUBSCRIBERS
        .get_or_init(|| broadcast::Sender::new(CHANNEL_CAPACITY))
        .subscribe()
}

/// Sends a transition to subscribers; without any, it is not made. Must not be called under a lock: sending wakes
/// subscribers, and a waker is user code.
pub(crate) fn publish(transition: impl FnOnce() -> GuardTransition) {
    let subscribers = SUBSCRIBERS.get();
    if let Some(subscribers) = subscribers.filter(|sender| sender.receiver_count() > 0) {
        catch_hook(|| subscribers.send(transition()).is_ok());
    }
}
