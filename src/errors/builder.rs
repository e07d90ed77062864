use super::store::{GroupStore, StoreLimits, check_limit};
use super::tracker::ErrorTracker;
use crate::call::ConfigError;

/// A subscriber that waits for a slow webhook loses no events unless more groups than this are new in the meantime.
pub(super) const DEFAULT_EVENT_BUFFER: usize = 256;

/// A builder for an [`ErrorTracker`].
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `build` is called"]
pub struct ErrorTrackerBuilder {
    limits: StoreLimits,
    event_buffer: usize,
}

impl ErrorTrackerBuilder {
    pub(super) fn new() -> Self {
        ErrorTrackerBuilder {
            limits: StoreLimits::default(),
            event_buffer: DEFAULT_EVENT_BUFFER,
        }
    }

    /// Sets the maximum number of groups, 1 to 65,536. When it is reached, a new group evicts the one whose last record is
    /// oldest: resolved groups first, ignored ones last.
    ///
    /// A group takes about 1 KiB, and 17 KiB at most. Default: 512, enough for a service with fifty routes.
    pub fn max_groups(mut self, groups: usize) -> Self {
        self.limits.max_groups = groups;
        self
    }

    /// Sets the maximum number of messages per kind and route, 1 to 65,536. All others go to one group with the message
    /// `<other>`.
    ///
    /// Lower it if messages contain names or free text, which no pattern can distinguish from fixed words. Default: 64, so
    /// that one endpoint cannot evict the groups of all others.
    pub fn max_variants(mut self, messages: usize) -> Self {
        self.limits.max_variants = messages;
        self
    }

    /// Sets how many events a subscriber may lag behind before it loses some, 1 to 65,536. Default: 256, so that a slow
    /// webhook loses none.
    pub fn event_buffer(mut self, events: usize) -> Self {
        self.event_buffer = events;
        self
    }

    /// Builds the tracker.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting if one is out of its range.
    pub fn build(self) -> Result<ErrorTracker, ConfigError> {
        let store = GroupStore::new(self.limits)?;
        check_limit("event_buffer", self.event_buffer)?;
        Ok(ErrorTracker::from_store(store, self.event_buffer))
    }
}
