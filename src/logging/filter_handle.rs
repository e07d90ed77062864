use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::level_filters::LevelFilter;
use tracing_log::{AsLog, log};
use tracing_subscriber::{EnvFilter, reload};

use super::filter::parse_filter;
use crate::call::ConfigError;

/// The longest directives, in bytes.
const MAX_DIRECTIVES: usize = 4 * 1_024;

/// A handle that reads and changes the filter of the log while the process runs. Created by
/// [`Logging::install_reloadable`](super::Logging::install_reloadable) and
/// [`Logging::reloadable_filter`](super::Logging::reloadable_filter).
///
/// The console of the feature `ops` changes it for a time: `OpsBuilder::log_filter`. Clones share the filter.
#[derive(Clone)]
pub struct FilterHandle(Arc<Shared>);

struct Shared {
    /// Replaces the filter; false if its subscriber is gone.
    replace: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    /// The directives in force. Locked while the filter is replaced, so that they are those of the filter.
    directives: Mutex<String>,
    /// True if records of the `log` crate go to the subscriber, which then need its level.
    forwards_log: AtomicBool,
}

impl FilterHandle {
    pub(super) fn new<S: 'static>(
        handle: reload::Handle<EnvFilter, S>,
        directives: String,
    ) -> Self {
        FilterHandle(Arc::new(Shared {
            replace: Box::new(move |filter| handle.reload(filter).is_ok()),
            directives: Mutex::new(directives),
            forwards_log: AtomicBool::new(false),
        }))
    }

    pub(super) fn set_forwards_log(&self, forwards_log: bool) {
        let shared = &self.0.forwards_log;
        shared.store(forwards_log, Ordering::Relaxed);
    }

    /// Returns the directives in force, as they were set.
    pub fn directives(&self) -> String {
        self.lock().clone()
    }

    /// Sets the directives, such as `info,my_app=debug`, for all events from now on.
    ///
    /// As in [`Logging::filter`](super::Logging::filter), the span of a call stays enabled unless the directives name
    /// `tower_keep`.
    ///
    /// # Errors
    ///
    /// Returns an error that names what is wrong: directives that cannot be parsed or have more than 4 KiB, or a subscriber that
    /// is gone. Nothing is changed then.
    ///
    /// ```
    /// use tower_keep::logging;
    /// use tracing_subscriber::{layer::SubscriberExt, registry};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (filter, handle) = logging::builder().level("info").reloadable_filter()?;
    /// let subscriber = registry().with(filter);
    /// handle.set("info,sqlx=debug")?;
    /// assert_eq!(handle.directives(), "info,sqlx=debug");
    /// let error = handle.set("sqlx=loud").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"logging: filter is "sqlx=loud", must be directives such as info,my_app=debug ("sqlx=loud" is not a directive)"#
    /// );
    /// # drop(subscriber);
    /// # Ok(()) }
    /// ```
    pub fn set(&self, directives: &str) -> Result<(), ConfigError> {
        const FIELD: &str = "filter";
        let directives = directives.trim();
        let error =
            |value: String, expected: &str| ConfigError::new("logging", FIELD, value, expected);
        let len = directives.len();
        if !(1..=MAX_DIRECTIVES).contains(&len) {
            let expected = format!("1 to {MAX_DIRECTIVES} bytes");
            return Err(error(format!("{len} bytes long"), &expected));
        }
        let filter = parse_filter(FIELD, directives)?;
        let mut current = self.lock();
        if !(self.0.replace)(filter) {
            let expected = "left alone, since the subscriber is gone";
            return Err(error(format!("{directives:?}"), expected));
        }
        *current = directives.to_owned();
        if self.0.forwards_log.load(Ordering::Relaxed) {
            log::set_max_level(LevelFilter::current().as_log());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        let directives = &self.0.directives;
        directives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FilterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("FilterHandle");
        debug.field("directives", &self.directives());
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Level, subscriber::with_default};
    use tracing_subscriber::{layer::SubscriberExt, registry};

    use crate::logging;

    #[test]
    fn log_filter_is_changed_while_the_subscriber_is_in_use() {
        crate::util::test_callsites::ask_all_subscribers();
        let logging = logging::builder().level("warn");
        let (filter, handle) = logging.reloadable_filter().expect("valid");
        assert_eq!(handle.directives(), "warn");
        with_default(registry().with(filter), || {
            let is_debug = || tracing::enabled!(target: "orders", Level::DEBUG);
            assert!(!is_debug());
            handle.set(" warn,orders=debug ").expect("valid");
            assert!(is_debug());
            // The span of a call still is.
            assert!(tracing::enabled!(target: "tower_keep::call", Level::INFO));
            assert_eq!(handle.clone().directives(), "warn,orders=debug");
            handle.set("warn").expect("valid");
            assert!(!is_debug());
        });
        let text = r#"FilterHandle { directives: "warn", .. }"#;
        assert_eq!(format!("{handle:?}"), text);
    }

    #[test]
    fn log_filter_that_is_invalid_is_rejected_by_name() {
        crate::util::test_callsites::ask_all_subscribers();
        let logging = logging::builder().level("warn");
        let (filter, handle) = logging.reloadable_filter().expect("valid");
        let subscriber = registry().with(filter);
        let error = |directives: &str| {
            let error = handle.set(directives).expect_err("invalid");
            assert_eq!(error.field(), "filter");
            assert_eq!(handle.directives(), "warn");
            error.to_string()
        };
        assert!(error("info,orders=loud").contains(r#"("orders=loud" is not a directive)"#));
        assert!(error("").contains("0 bytes long, must be 1 to 4096 bytes"));
        assert!(error(&"x".repeat(4_097)).contains("4097 bytes long"));
        handle.set(&"x".repeat(4_096)).expect("a target");
        handle.set("warn").expect("valid");
        drop(subscriber);
        assert!(error("info").contains("the subscriber is gone"));
    }
}
