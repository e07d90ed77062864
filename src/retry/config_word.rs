use std::time::Duration;

use super::RetrySettings;

/// The part of the settings that a call needs while nothing fails, in one word, so that all of it is of one moment. Bits,
/// high to low: 8 version, 1 has a budget, 7 max attempts, 48 max elapsed in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfigWord(u64);

const VERSION_SHIFT: u32 = 56;
const BUDGET_BIT: u64 = 1 << 55;
const ATTEMPTS_SHIFT: u32 = 48;
const ATTEMPTS_MASK: u64 = 0x7f;
/// Stands for no limit. Anything above it, some nine years, is no limit either.
const MAX_ELAPSED: u64 = (1 << ATTEMPTS_SHIFT) - 1;

impl ConfigWord {
    /// Packs settings that are valid.
    pub(super) fn new(settings: &RetrySettings, version: u8) -> Self {
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
        ConfigWord(u64::from(version) << VERSION_SHIFT | budget | attempts | elapsed)
    }

    #[inline]
    pub(super) fn pack(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) fn unpack(word: u64) -> Self {
        ConfigWord(word)
    }

    pub(super) fn version(self) -> u8 {
        (self.0 >> VERSION_SHIFT) as u8
    }

    #[inline]
    pub(super) fn has_budget(self) -> bool {
        self.0 & BUDGET_BIT != 0
    }

    #[inline]
    pub(crate) fn max_attempts(self) -> u32 {
        (self.0 >> ATTEMPTS_SHIFT & ATTEMPTS_MASK) as u32
    }

    #[inline]
    pub(super) fn max_elapsed(self) -> Option<Duration> {
        let micros = self.0 & MAX_ELAPSED;
        (micros < MAX_ELAPSED).then(|| Duration::from_micros(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::BudgetSettings;
    use proptest::prelude::*;

    #[test]
    fn config_word_rounds_times_up_and_has_no_limit_above_nine_years() {
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
            let word = ConfigWord::new(&settings, 7);
            assert_eq!(
                (word.max_elapsed(), word.version()),
                (packed, 7),
                "{time:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn config_word_returns_what_it_was_made_of(
            attempts in 1_u32..=100, micros in prop::option::of(1_u64..MAX_ELAPSED), budget: bool, version: u8,
        ) {
            let settings = RetrySettings {
                max_attempts: attempts,
                max_elapsed: micros.map(Duration::from_micros),
                budget: budget.then(BudgetSettings::default),
                ..RetrySettings::default()
            };
            let word = ConfigWord::unpack(ConfigWord::new(&settings, version).pack());
            prop_assert_eq!(word.max_attempts(), attempts);
            prop_assert_eq!(word.max_elapsed(), settings.max_elapsed);
            prop_assert_eq!(word.has_budget(), budget);
            prop_assert_eq!(word.version(), version);
        }
    }
}
