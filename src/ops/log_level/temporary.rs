use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::LogFilter;
use crate::{
    call::{BoxError, catch_hook},
    util::text::truncate,
};

/// The longest directives that are shown, in bytes.
const MAX_SHOWN: usize = 4 * 1_024;

/// A filter of the log that is changed for a time, and then is again what it was.
pub(crate) struct TemporaryFilter {
    filter: Box<dyn LogFilter>,
    /// While it is changed.
    change: Option<Change>,
}

/// The directives of the log filter before a change and after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogLevelChange {
    pub(crate) before: String,
    pub(crate) after: String,
}

/// The directives before the first change, and the end of the last one.
struct Change {
    before: String,
    until: Instant,
}

impl TemporaryFilter {
    pub(crate) fn new(filter: impl LogFilter) -> Self {
        TemporaryFilter {
            filter: Box::new(filter),
            change: None,
        }
    }

    /// Returns the directives in force.
    pub(crate) fn directives(&self) -> String {
        // Code of the application: a panic of it must not end the driver.
        let directives = catch_hook(|| self.filter.directives()).unwrap_or_default();
        truncate(&directives, MAX_SHOWN).to_owned()
    }

    /// Returns until when the filter is changed.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.change.as_ref().map(|change| change.until)
    }

    /// Changes the filter for a time. Of several changes the last one counts, and then what was before the first.
    pub(crate) fn set(
        &mut self,
        directives: &str,
        time: Duration,
        now: Instant,
    ) -> Result<LogLevelChange, BoxError> {
        let before = self.directives();
        self.try_set(directives)?;
        let first = self.change.take().map(|change| change.before);
        self.change = Some(Change {
            before: first.unwrap_or_else(|| before.clone()),
            until: now + time,
        });
        let after = self.directives();
        Ok(LogLevelChange { before, after })
    }

    /// Makes the filter what it was, if the time of a change is over.
    pub(crate) fn end(&mut self, now: Instant) -> Option<Result<LogLevelChange, BoxError>> {
        let change = self.change.take_if(|change| change.until <= now)?;
        let before = self.directives();
        let set = self.try_set(&change.before);
        let after = self.directives();
        Some(set.map(|()| LogLevelChange { before, after }))
    }

    fn try_set(&self, directives: &str) -> Result<(), BoxError> {
        let set = catch_hook(|| self.filter.set_directives(directives));
        set.unwrap_or_else(|| Err("the filter panicked".into()))
    }
}

impl Drop for TemporaryFilter {
    /// Makes the filter what it was, since nobody does it later.
    fn drop(&mut self) {
        if let Some(change) = self.change.take() {
            let _ = self.try_set(&change.before);
        }
    }
}

impl fmt::Debug for TemporaryFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TemporaryFilter");
        debug.field("until", &self.until()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Returns a filter that accepts words without a space.
    fn filter() -> (TemporaryFilter, Arc<Mutex<String>>) {
        let current = Arc::new(Mutex::new("info".to_owned()));
        let (read, write) = (current.clone(), current.clone());
        let read = move || read.lock().expect("no panic").clone();
        let set = move |directives: &str| -> Result<(), BoxError> {
            match directives {
                "panic" => panic!("a filter of the application"),
                _ if directives.contains(' ') => Err("no spaces".into()),
                _ => {
                    *write.lock().expect("no panic") = directives.to_owned();
                    Ok(())
                }
            }
        };
        (TemporaryFilter::new((read, set)), current)
    }

    fn change(before: &str, after: &str) -> LogLevelChange {
        LogLevelChange {
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    #[test]
    fn log_filter_goes_back_when_its_time_is_over() {
        let (mut filter, current) = filter();
        let now = Instant::now();
        assert!(filter.end(now).is_none() && filter.until().is_none());
        let changed = filter.set("debug", MINUTE, now).expect("valid");
        assert_eq!(changed, change("info", "debug"));
        assert_eq!(filter.until(), Some(now + MINUTE));
        assert!(filter.end(now + MINUTE - Duration::from_nanos(1)).is_none());
        assert_eq!(filter.directives(), "debug");
        let ended = filter.end(now + MINUTE).expect("over").expect("valid");
        assert_eq!(ended, change("debug", "info"));
        assert_eq!(*current.lock().expect("no panic"), "info");
        assert!(filter.end(now + 2 * MINUTE).is_none() && filter.until().is_none());
    }

    #[test]
    fn log_filter_goes_back_to_what_was_before_the_first_change() {
        let (mut filter, _) = filter();
        let now = Instant::now();
        filter.set("debug", MINUTE, now).expect("valid");
        let second = filter
            .set("trace", MINUTE, now + MINUTE / 2)
            .expect("valid");
        assert_eq!(second, change("debug", "trace"));
        assert!(filter.end(now + MINUTE).is_none(), "the last change counts");
        let ended = filter.end(now + 2 * MINUTE).expect("over").expect("valid");
        assert_eq!(ended, change("trace", "info"));
    }

    #[test]
    fn log_filter_that_is_invalid_or_panics_changes_nothing() {
        let (mut filter, _) = filter();
        let now = Instant::now();
        filter.set("debug", MINUTE, now).expect("valid");
        for (directives, text) in [("a b", "no spaces"), ("panic", "the filter panicked")] {
            let error = filter
                .set(directives, 2 * MINUTE, now)
                .expect_err("invalid");
            assert_eq!(error.to_string(), text);
            assert_eq!(filter.directives(), "debug");
            assert_eq!(filter.until(), Some(now + MINUTE));
        }
    }

    #[test]
    fn log_filter_goes_back_when_its_owner_is_gone() {
        let (mut filter, current) = filter();
        filter.set("debug", MINUTE, Instant::now()).expect("valid");
        drop(filter);
        assert_eq!(*current.lock().expect("no panic"), "info");
    }

    #[test]
    fn log_filter_shows_bounded_text() {
        let long = || "x".repeat(10_000);
        let set = |_: &str| -> Result<(), BoxError> { Ok(()) };
        let filter = TemporaryFilter::new((long, set));
        assert_eq!(filter.directives().len(), MAX_SHOWN);
        let panics = || -> String { panic!("a filter of the application") };
        assert_eq!(TemporaryFilter::new((panics, set)).directives(), "");
        assert_eq!(format!("{filter:?}"), "TemporaryFilter { until: None, .. }");
    }
}
