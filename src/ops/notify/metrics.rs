//! The metrics of channels. A message is rare, so that handles are not kept: a recorder that comes late gets the next.

use ::metrics::{Unit, counter, describe_counter};

use crate::call::catch_hook;

const NOTIFICATIONS: &str = "tower_keep_notifications_total";

/// Counts what became of messages to a channel.
pub(super) fn count(channel: &str, outcome: &'static str, messages: u64) {
    // Recorders are code of others.
    catch_hook(|| {
        let help =
            "Messages to a notification channel, and attempts that failed, by what became of them.";
        describe_counter!(NOTIFICATIONS, Unit::Count, help);
        counter!(NOTIFICATIONS, "channel" => channel.to_owned(), "outcome" => outcome)
            .increment(messages);
    });
}
