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

    /// Sets the largest number of shared calls in flight. A call with another key is made for itself meanwhile.
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
