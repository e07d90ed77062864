use std::time::Duration;

use super::CacheSettings;
use crate::call::SharedDuration;

/// The times of a cache, which each look-up reads without a lock.
///
/// A look-up that reads one of before a change and one of after it counts as one that came between them: nothing but the use of a single
/// result depends on them.
#[derive(Debug)]
pub(super) struct LiveTimes {
    ttl: SharedDuration,
    stale_if_error: SharedDuration,
}

impl LiveTimes {
    pub(super) fn new(settings: &CacheSettings) -> Self {
        LiveTimes {
            ttl: SharedDuration::new(Some(settings.ttl)),
            stale_if_error: SharedDuration::new(settings.stale_if_error),
        }
    }

    /// Applies the times of other settings. Called under the lock of the settings, so that both end as the same ones.
    pub(super) fn set(&self, settings: &CacheSettings) {
        self.ttl.set(Some(settings.ttl));
        self.stale_if_error.set(settings.stale_if_error);
    }

    /// Returns the time for which a result is fresh.
    #[inline]
    pub(super) fn ttl(&self) -> Duration {
        self.ttl.get().unwrap_or_default()
    }

    /// Returns the time after that in which it takes the place of a failure.
    pub(super) fn stale_if_error(&self) -> Option<Duration> {
        self.stale_if_error.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::settings::MAX_TIME;

    #[test]
    fn times_are_those_of_the_settings_up_to_the_longest() {
        let mut settings = CacheSettings::default();
        let times = LiveTimes::new(&settings);
        assert_eq!((times.ttl(), times.stale_if_error()), (settings.ttl, None));
        (settings.ttl, settings.stale_if_error) = (MAX_TIME, Some(MAX_TIME));
        times.set(&settings);
        let set = (times.ttl(), times.stale_if_error());
        assert_eq!(set, (MAX_TIME, Some(MAX_TIME)));
    }
}
