use std::time::Duration;

use super::{Coalesce, CoalesceSettings};
use crate::call::{ConfigError, Label};

/// A builder of [`Coalesce`]; made by [`Coalesce::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CoalesceBuilder {
    name: Label,
    settings: CoalesceSettings,
}

impl CoalesceBuilder {
    pub(super) fn new(name: Label) -> Self {
        CoalesceBuilder {
            name,
            settings: CoalesceSettings::default(),
        }
    }

    /// Sets all [settings](CoalesceSettings) at once. Setters that follow override them.
    ///
    /// ```
    /// use tower_keep::coalesce::{Coalesce, CoalesceSettings};
    ///
    /// let mut settings = CoalesceSettings::default();
    /// settings.max_keys = 50;
    /// let coalesce = Coalesce::builder("quotes").settings(&settings).max_waiters(9).build()?;
    /// assert_eq!((coalesce.settings().max_keys, coalesce.settings().max_waiters), (50, 9));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn settings(mut self, settings: &CoalesceSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets the largest number of shared calls in flight that others join. A call with another key is made for itself meanwhile.
    ///
    /// Calls that are too old to be joined do not count: their callers keep them anyway.
    ///
    /// Must be 1 to 1,000,000. Default: 10,000, more than most processes have in flight.
    pub fn max_keys(mut self, keys: u32) -> Self {
        self.settings.max_keys = keys;
        self
    }

    /// Sets the largest number of calls that wait for one shared call. Further ones are rejected as
    /// [`Full`](crate::RejectionKind::Full).
    ///
    /// Must be 1 to 1,000,000. Default: 10,000, since each keeps its request and a waker.
    pub fn max_waiters(mut self, calls: u32) -> Self {
        self.settings.max_waiters = calls;
        self
    }

    /// Sets the longest response body that is shared over HTTP, in bytes. A longer one goes to the call that is reading it, and the
    /// others are made for themselves.
    ///
    /// Must be 1 to 1,073,741,824. Default: 1 MiB, which few responses of an API exceed.
    pub fn max_body_bytes(mut self, bytes: u32) -> Self {
        self.settings.max_body_bytes = bytes;
        self
    }

    /// Sets the largest sum of the response bodies over HTTP that are shared at a time, or being read for that, in bytes. A response
    /// that does not fit goes to one call, and the others are made for themselves, as with one that is too long.
    ///
    /// A body counts from its first byte, or from the head if that gives its length, until the last of its callers has dropped it.
    ///
    /// Must be 1 to 4,294,967,295. Default: 64 MiB, which most processes can spare.
    pub fn max_bytes_in_flight(mut self, bytes: u32) -> Self {
        self.settings.max_bytes_in_flight = bytes;
        self
    }

    /// Sets the age at which a shared call is not joined any more; `None` for never. The next caller leads another one, and the old one
    /// goes on for those that have joined it: see [calls that take long](super#calls-that-take-long).
    ///
    /// Must be 1 ms to 24 h. Default: 5 s, longer than most calls that end well, and as long as nginx waits for one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::coalesce::Coalesce;
    ///
    /// // Reports take up to a minute.
    /// let reports = Coalesce::builder("reports").max_join_age(Duration::from_secs(90)).build()?;
    /// assert_eq!(reports.settings().max_join_age, Some(Duration::from_secs(90)));
    /// let error = Coalesce::builder("quotes").max_join_age(Duration::ZERO).build().unwrap_err();
    /// assert_eq!(error.to_string(), r#"coalesce "quotes": max_join_age is 0ns, must be 1 ms to 24 h, or off"#);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn max_join_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.settings.max_join_age = age.into();
        self
    }

    /// Checks the settings, and creates the handle.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<Coalesce, ConfigError> {
        self.settings.check(self.name.as_str())?;
        Ok(Coalesce::from_settings(self.name, self.settings))
    }
}
