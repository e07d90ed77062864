use std::{collections::BTreeSet, hash::BuildHasher, sync::Arc, time::Duration};

use super::{SlowThresholds, TrackSettings, settings_word::SettingsWord, slow::shown};
use crate::{
    call::ConfigError,
    util::{
        append_map::AppendMap,
        history::History,
        setting_changes::SettingChanges,
        sync::{
            HashKeys,
            atomic::{AtomicU32, AtomicU64, Ordering, fence},
        },
    },
};

/// Maximum number of routes that ever have thresholds in the life of a tracker, since none of them is removed.
const MAX_ROUTES: usize = 2_000;
/// Stands for a threshold that is none. The longest other one is a nanosecond shorter.
const NO_THRESHOLD: u64 = u64::MAX;

/// The settings of a tracker that can be changed while calls use them.
///
/// A call reads the word when it begins, and the rest when it ends: without a lock if the word is still the same, else
/// from the settings with which it began, which are kept under one.
#[derive(Debug)]
pub(super) struct LiveSettings {
    /// See [`SettingsWord`].
    word: AtomicU32,
    /// The bits of an `f64`.
    sample: AtomicU64,
    slow: LiveThresholds,
    hasher: HashKeys,
    /// Labels that have, or once had, thresholds of their own.
    slow_labels: AppendMap<SlowLabel>,
    history: History<TrackSettings>,
}

#[derive(Debug)]
struct SlowLabel {
    label: Box<str>,
    thresholds: LiveThresholds,
}

/// Thresholds in nanoseconds.
#[derive(Debug)]
struct LiveThresholds {
    warning: AtomicU64,
    critical: AtomicU64,
}

impl LiveThresholds {
    fn none() -> Self {
        LiveThresholds {
            warning: AtomicU64::new(NO_THRESHOLD),
            critical: AtomicU64::new(NO_THRESHOLD),
        }
    }

    // Relaxed: whoever reads looks at the word of the settings before and after.

    fn store(&self, slow: Option<SlowThresholds>) {
        let nanos = |time: Duration| {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(NO_THRESHOLD);
            nanos.min(NO_THRESHOLD - 1)
        };
        let none = (NO_THRESHOLD, NO_THRESHOLD);
        let (warning, critical) =
            slow.map_or(none, |slow| (nanos(slow.warning), nanos(slow.critical)));
        self.warning.store(warning, Ordering::Relaxed);
        self.critical.store(critical, Ordering::Relaxed);
    }

    fn load(&self) -> Option<SlowThresholds> {
        let warning = self.warning.load(Ordering::Relaxed);
        let critical = self.critical.load(Ordering::Relaxed);
        (warning != NO_THRESHOLD).then(|| SlowThresholds {
            warning: Duration::from_nanos(warning),
            critical: Duration::from_nanos(critical),
        })
    }
}

impl LiveSettings {
    /// Takes settings that are valid.
    pub(super) fn new(settings: TrackSettings) -> Self {
        let live = LiveSettings {
            word: AtomicU32::new(SettingsWord::new(&settings, 0).pack()),
            sample: AtomicU64::new(0),
            slow: LiveThresholds::none(),
            hasher: HashKeys::default(),
            // Each has two labels: as a path, and as a gRPC method.
            slow_labels: AppendMap::new(2 * MAX_ROUTES),
            history: History::new(settings),
        };
        let settings = live.history.latest();
        // Nobody reads yet. There are fewer routes in valid settings than there is room for.
        live.write(&settings);
        live
    }

    /// Returns what a call needs that begins now.
    #[inline]
    pub(super) fn word(&self) -> SettingsWord {
        SettingsWord::unpack(self.word.load(Ordering::Relaxed)).complete()
    }

    /// Returns the settings of calls that begin now.
    pub(super) fn latest(&self) -> Arc<TrackSettings> {
        self.history.latest()
    }

    /// Returns the fraction of calls to log, for a call that began with this word.
    #[inline]
    pub(super) fn sample(&self, began: SettingsWord) -> f64 {
        let current = || f64::from_bits(self.sample.load(Ordering::Relaxed));
        self.read(began, current, |settings| settings.sample)
    }

    /// Returns the thresholds for calls of this target, for a call that began with this word.
    #[inline]
    pub(super) fn slow_thresholds(
        &self,
        began: SettingsWord,
        target: Option<&str>,
    ) -> Option<SlowThresholds> {
        if !began.can_be_slow() {
            return None;
        }
        let own = |target: &str| self.find(target)?.thresholds.load();
        let current = || {
            let target = target.filter(|_| began.has_slow_routes());
            // Its own thresholds count for a route, be they shorter or longer.
            target.and_then(own).or_else(|| self.slow.load())
        };
        self.read(began, current, |settings| settings.slow_thresholds(target))
    }

    /// Changes the settings, which are valid, for calls that begin later. Returns what was changed.
    ///
    /// `on_route` runs for each route that has thresholds, before they count.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there is no room for the thresholds of another route; nothing is changed then.
    pub(super) fn apply(
        &self,
        component: &str,
        settings: &TrackSettings,
        on_route: impl Fn(&str),
    ) -> Result<SettingChanges, ConfigError> {
        // Held to the end, so that the settings of two changes do not mix.
        let mut versions = self.history.lock();
        let former = versions.latest().clone();
        let changes = former.changes(settings);
        if changes.is_empty() {
            return Ok(changes);
        }
        self.add_labels(component, settings)?;
        settings
            .slow_routes
            .keys()
            .for_each(|route| on_route(route));
        let version = versions.push(settings.clone());
        let word = self.word().changing().pack();
        self.word.store(word, Ordering::Relaxed);
        // Pairs with the fence of `read`: whoever reads something new sees that the word has changed.
        fence(Ordering::Release);
        for (label, _) in former.slow_labels() {
            self.store_label(label, None);
        }
        self.write(settings);
        let word = SettingsWord::new(settings, version).pack();
        // Released, so that a call that begins with this word reads what belongs to it.
        self.word.store(word, Ordering::Release);
        Ok(changes)
    }

    /// Reads without a lock if the settings are those with which the call began; else those, from the history.
    #[inline]
    fn read<T>(
        &self,
        began: SettingsWord,
        current: impl FnOnce() -> T,
        earlier: impl FnOnce(&TrackSettings) -> T,
    ) -> T {
        if self.word.load(Ordering::Acquire) == began.pack() {
            let value = current();
            fence(Ordering::Acquire);
            if self.word.load(Ordering::Relaxed) == began.pack() {
                return value;
            }
        }
        earlier(&self.history.find(began.version()))
    }

    fn write(&self, settings: &TrackSettings) {
        let sample = settings.sample.to_bits();
        self.sample.store(sample, Ordering::Relaxed);
        self.slow.store(settings.slow);
        for (label, slow) in settings.slow_labels() {
            self.store_label(label, Some(slow));
        }
    }

    fn store_label(&self, label: &str, slow: Option<SlowThresholds>) {
        if let Some(found) = self.find_or_insert(label) {
            found.thresholds.store(slow);
        }
    }

    /// Adds the labels of all routes, which have no thresholds yet.
    fn add_labels(&self, component: &str, settings: &TrackSettings) -> Result<(), ConfigError> {
        let capacity = self.slow_labels.remaining_capacity();
        let mut added = BTreeSet::new();
        // All before the first is added: routes that do not fit take no capacity from later ones.
        for route in settings.slow_routes.keys() {
            let method = route.strip_prefix('/').unwrap_or(route);
            let labels = [route.as_str(), method].into_iter();
            added.extend(labels.filter(|label| self.find(label).is_none()));
            if added.len() > capacity {
                return Err(capacity_error(component, route));
            }
        }
        for label in added {
            self.find_or_insert(label);
        }
        Ok(())
    }

    fn find(&self, label: &str) -> Option<&SlowLabel> {
        let hash = self.hasher.hash_one(label);
        self.slow_labels.find(hash, |slow| *slow.label == *label)
    }

    fn find_or_insert(&self, label: &str) -> Option<&SlowLabel> {
        let hash = self.hasher.hash_one(label);
        let matches = |slow: &SlowLabel| *slow.label == *label;
        let make = |_| {
            Some(SlowLabel {
                label: label.into(),
                thresholds: LiveThresholds::none(),
            })
        };
        self.slow_labels.find_or_insert(hash, matches, make, || ())
    }
}

fn capacity_error(component: &str, route: &str) -> ConfigError {
    let expected = format!(
        "one of the {MAX_ROUTES} routes for which this tracker has had thresholds since it was built"
    );
    ConfigError::new(component, "slow_route", shown(route), expected)
}

#[cfg(test)]
#[path = "live_settings_tests.rs"]
mod tests;
