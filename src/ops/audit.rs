//! The log of what operators did, and of logins: the journal does not survive a restart.

use tracing::{Level, event};

use super::journal::{Event, Severity};
use crate::call::catch_hook;

/// Emits one event for what is in the journal.
pub(super) fn report(recorded: &Event) {
    // A macro, since the level of an event must be a constant. `Debug` escapes line breaks: what operators type is in the text.
    macro_rules! report {
        ($level:expr) => {
            event!(
                target: "tower_keep::ops",
                $level,
                kind = recorded.kind().as_str(),
                subject = recorded.subject(),
                who = recorded.who(),
                text = ?recorded.text(),
                "operations journal"
            )
        };
    }
    // Subscribers are code of others.
    catch_hook(|| match recorded.severity() {
        Severity::Info => report!(Level::INFO),
        _ => report!(Level::WARN),
    });
}
