use std::sync::Arc;

use super::{RetrySettings, config_word::ConfigWord};
use crate::util::{
    history::{History, Versions},
    sync::{
        MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// The settings of a retry, which can be changed while calls use them.
///
/// A call that succeeds at once reads one word. One that fails takes the settings with which it began, by their version.
#[derive(Debug)]
pub(super) struct LiveConfig {
    /// See [`ConfigWord`].
    word: AtomicU64,
    history: History<RetrySettings>,
}

impl LiveConfig {
    /// Takes settings that are valid.
    pub(super) fn new(settings: RetrySettings) -> Self {
        LiveConfig {
            word: AtomicU64::new(ConfigWord::new(&settings, 0).pack()),
            history: History::new(settings),
        }
    }

    /// Returns what a call needs that begins now.
    #[inline]
    pub(super) fn word(&self) -> ConfigWord {
        // Relaxed: the settings of a version are read under a lock, and were added before the version was published.
        ConfigWord::unpack(self.word.load(Ordering::Relaxed))
    }

    /// Returns the settings of calls that begin now.
    pub(super) fn latest(&self) -> Arc<RetrySettings> {
        self.history.latest()
    }

    /// Returns the settings of a call that began with this word, or the oldest ones that are kept.
    pub(super) fn find(&self, word: ConfigWord) -> Arc<RetrySettings> {
        let mut settings = self.history.find(word.version());
        if settings.max_attempts != word.max_attempts() {
            // Its own are gone. The attempts stay as many as they were, since what keeps no request for another attempt
            // relies on that.
            Arc::make_mut(&mut settings).max_attempts = word.max_attempts();
        }
        settings
    }

    /// Locks the settings, for a change that must not meet another.
    pub(super) fn lock(&self) -> MutexGuard<'_, Versions<RetrySettings>> {
        self.history.lock()
    }

    /// Makes settings, which are valid, those of calls that begin later.
    pub(super) fn publish(&self, versions: &mut Versions<RetrySettings>, settings: RetrySettings) {
        let version = versions.push(settings.clone());
        let word = ConfigWord::new(&settings, version);
        self.word.store(word.pack(), Ordering::Relaxed);
    }
}
