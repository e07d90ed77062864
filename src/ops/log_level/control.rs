//! The changes of the log filter by operators, and their end.

use std::time::Duration;

use tokio::time::Instant;

use super::LogLevelChange;
use crate::{
    call::BoxError,
    ops::{
        core::Core,
        journal::{Event, EventKind, Severity},
    },
};

/// Makes the log filter what it was, if the time of its change is over.
pub(crate) fn end(core: &Core, now: Instant) {
    let ended = core
        .log_filter()
        .as_mut()
        .and_then(|filter| filter.end(now));
    let (severity, text, change) = match ended {
        None => return,
        Some(Ok(change)) => {
            core.follow_log_filter(None);
            let text = format!("{} again: the time of the change is over", change.after);
            (Severity::Info, text, Some(change))
        }
        Some(Err(error)) => {
            let text = format!("the log filter could not be set back: {error}");
            (Severity::Warning, text, None)
        }
    };
    core.audit(log_level_event(severity, text, change));
}

/// Changes the log filter for an operator, and records it. Returns the number of the event, or `None` if there is no filter.
pub(crate) fn set(
    core: &Core,
    directives: &str,
    time: Duration,
    (who, reason): (Option<&str>, &str),
    now: Instant,
) -> Option<Result<u64, BoxError>> {
    let set = core.log_filter().as_mut()?.set(directives, time, now);
    Some(set.map(|change| {
        core.follow_log_filter(Some(&change.after));
        let seconds = time.as_secs();
        let text = format!("{} for {seconds} s: {reason}", change.after);
        let event = log_level_event(Severity::Warning, text, Some(change))
            .with_who(who)
            .with("seconds", seconds)
            .with("reason", reason);
        core.audit(event)
    }))
}

fn log_level_event(severity: Severity, text: String, change: Option<LogLevelChange>) -> Event {
    let event = Event::new(EventKind::LogLevel, severity, "log filter", text);
    match change {
        Some(LogLevelChange { before, after }) => event.with("before", before).with("after", after),
        None => event,
    }
}
