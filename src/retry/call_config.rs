use std::{sync::Arc, time::Duration};

use super::{Budget, Retry, RetrySettings};

const VERSION_SHIFT: u32 = 56;
const BUDGET_BIT: u64 = 1 << 55;
const ATTEMPTS_SHIFT: u32 = 48;
const ATTEMPTS_MASK: u64 = 0x7f;
/// Stands for no limit. Anything above it, some nine years, is no limit either.
const MAX_ELAPSED: u64 = (1 << ATTEMPTS_SHIFT) - 1;

/// The settings with which a call has begun, whatever becomes of those of the [`Retry`].
///
/// The default is that of a call which has not begun.
#[derive(Debug, Default)]
pub struct CallConfig {
    /// The part of the settings that a call needs while nothing fails, in one word, so that all of it is of one moment.
    /// Bits, high to low: 8 version, 1 has a budget, 7 max attempts, 48 max elapsed in microseconds.
    word: u64,
    /// Found when the first attempt has failed, since most calls need none of it.
    settings: Option<Arc<RetrySettings>>,
}

impl CallConfig {
    /// Returns the settings of a call that begins now.
    #[inline]
    pub(crate) fn new(retry: &Retry) -> Self {
        CallConfig::of_word(retry.shared.config_word())
    }

    /// Returns the settings that were [packed](pack).
    #[inline]
    pub(super) fn of_word(word: u64) -> Self {
        CallConfig {
            word,
            settings: None,
        }
    }

    pub(super) fn version(&self) -> u8 {
        (self.word >> VERSION_SHIFT) as u8
    }

    #[inline]
    pub(super) fn has_budget(&self) -> bool {
        self.word & BUDGET_BIT != 0
    }

    #[inline]
    pub(crate) fn max_attempts(&self) -> u32 {
        (self.word >> ATTEMPTS_SHIFT & ATTEMPTS_MASK) as u32
    }

    #[inline]
    pub(super) fn max_elapsed(&self) -> Option<Duration> {
        let micros = self.word & MAX_ELAPSED;
        (micros < MAX_ELAPSED).then(|| Duration::from_micros(micros))
    }

    /// Returns the budget, if the call has one.
    #[inline]
    pub(crate) fn budget<'a>(&self, retry: &'a Retry) -> Option<&'a Budget> {
        self.has_budget().then_some(&retry.shared.budget)
    }

    /// Returns all settings. Takes a lock at the first failure of a call.
    pub(super) fn settings(&mut self, retry: &Retry) -> &RetrySettings {
        let (version, max_attempts) = (self.version(), self.max_attempts());
        let find = || retry.shared.find_settings(version, max_attempts);
        self.settings.get_or_insert_with(find)
    }
}

/// Packs the word of settings, which are valid.
pub(super) fn pack(settings: &RetrySettings, version: u8) -> u64 {
    let micros = |time: Duration| {
        // Rounded up, so that a short time does not become none at all.
        let micros = time.as_nanos().div_ceil(1_000);
        u64::try_from(micros).map_or(MAX_ELAPSED, |micros| micros.min(MAX_ELAPSED))
    };
    let elapsed = settings.max_elapsed.map_or(MAX_ELAPSED, micros);
    let budget = if settings.budget.is_some() {
        BUDGET_BIT
    } else {
        0
    };
    // At most a hundred attempts.
    let attempts = u64::from(settings.max_attempts) << ATTEMPTS_SHIFT;
    u64::from(version) << VERSION_SHIFT | budget | attempts | elapsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::BudgetSettings;
    use proptest::prelude::*;

    #[test]
    fn config_of_a_call_rounds_times_up_and_has_no_limit_above_nine_years() {
        let micros = Duration::from_micros;
        for (time, packed) in [
            (Some(Duration::from_nanos(1)), Some(micros(1))),
            (Some(Duration::from_nanos(1_000)), Some(micros(1))),
            (Some(Duration::from_nanos(1_001)), Some(micros(2))),
            (Some(micros(MAX_ELAPSED - 1)), Some(micros(MAX_ELAPSED - 1))),
            (Some(micros(MAX_ELAPSED)), None),
            (Some(micros(MAX_ELAPSED + 1)), None),
            (Some(Duration::MAX), None),
            (None, None),
        ] {
            let settings = RetrySettings {
                max_elapsed: time,
                ..RetrySettings::default()
            };
            let config = CallConfig::of_word(pack(&settings, 7));
            assert_eq!(
                (config.max_elapsed(), config.version()),
                (packed, 7),
                "{time:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn config_of_a_call_returns_what_it_was_packed_of(
            attempts in 1_u32..=100, micros in prop::option::of(1_u64..MAX_ELAPSED), budget: bool, version: u8,
        ) {
            let settings = RetrySettings {
                max_attempts: attempts,
                max_elapsed: micros.map(Duration::from_micros),
                budget: budget.then(BudgetSettings::default),
                ..RetrySettings::default()
            };
            let config = CallConfig::of_word(pack(&settings, version));
            prop_assert_eq!(config.max_attempts(), attempts);
            prop_assert_eq!(config.max_elapsed(), settings.max_elapsed);
            prop_assert_eq!(config.has_budget(), budget);
            prop_assert_eq!(config.version(), version);
        }
    }
}
