use std::sync::Arc;

use super::{Budget, Retry, RetrySettings, config_word::ConfigWord};

/// The settings with which a call has begun, whatever becomes of those of the [`Retry`].
///
/// The default is that of a call which has not begun.
#[derive(Debug, Default)]
pub struct CallConfig {
    word: ConfigWord,
    /// Found when the first attempt has failed, since most calls need none of it.
    settings: Option<Arc<RetrySettings>>,
}

impl CallConfig {
    /// Returns the settings of a call that begins now.
    #[inline]
    pub(crate) fn new(retry: &Retry) -> Self {
        CallConfig {
            word: retry.shared.config.word(),
            settings: None,
        }
    }

    /// Returns what a call needs that succeeds at once.
    #[inline]
    pub(crate) fn word(&self) -> ConfigWord {
        self.word
    }

    /// Returns the budget, if the call has one.
    #[inline]
    pub(crate) fn budget<'a>(&self, retry: &'a Retry) -> Option<&'a Budget> {
        self.word.has_budget().then_some(&retry.shared.budget)
    }

    /// Returns all settings. Takes a lock at the first failure of a call.
    pub(super) fn settings(&mut self, retry: &Retry) -> &RetrySettings {
        let word = self.word;
        self.settings
            .get_or_insert_with(|| retry.shared.config.find(word))
    }
}
