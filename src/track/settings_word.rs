use super::TrackSettings;

/// The part of the settings that a call needs when it begins, in one word, so that all of it is of one moment. Bits, high to
/// low: 20 unused, 8 version, 1 has slow routes, 1 can be slow, 1 access log, 1 the settings are being changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SettingsWord(u32);

const VERSION_SHIFT: u32 = 4;
const SLOW_ROUTES: u32 = 1 << 3;
const SLOW: u32 = 1 << 2;
const ACCESS_LOG: u32 = 1 << 1;
const CHANGING: u32 = 1;

impl SettingsWord {
    pub(super) fn new(settings: &TrackSettings, version: u8) -> Self {
        let has_routes = !settings.slow_routes.is_empty();
        let bits = [
            (ACCESS_LOG, settings.access_log),
            (SLOW, has_routes || settings.slow.is_some()),
            (SLOW_ROUTES, has_routes),
        ];
        let bits = bits.iter().filter(|(_, is_set)| *is_set);
        let version = u32::from(version) << VERSION_SHIFT;
        SettingsWord(bits.fold(version, |word, (bit, _)| word | bit))
    }

    pub(super) fn pack(self) -> u32 {
        self.0
    }

    #[inline]
    pub(super) fn unpack(word: u32) -> Self {
        SettingsWord(word)
    }

    /// Returns the word while the settings after it are being written.
    pub(super) fn changing(self) -> Self {
        SettingsWord(self.0 | CHANGING)
    }

    /// Returns the word of the latest settings that are complete.
    #[inline]
    pub(super) fn complete(self) -> Self {
        SettingsWord(self.0 & !CHANGING)
    }

    pub(super) fn version(self) -> u8 {
        (self.0 >> VERSION_SHIFT) as u8
    }

    #[inline]
    pub(super) fn access_log(self) -> bool {
        self.0 & ACCESS_LOG != 0
    }

    /// Returns whether a call can be slow at all.
    #[inline]
    pub(super) fn can_be_slow(self) -> bool {
        self.0 & SLOW != 0
    }

    #[inline]
    pub(super) fn has_slow_routes(self) -> bool {
        self.0 & SLOW_ROUTES != 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::track::SlowThresholds;

    #[test]
    fn settings_word_returns_what_it_was_made_of() {
        let second = Duration::from_secs(1);
        let slow = SlowThresholds {
            warning: second,
            critical: second,
        };
        for version in [0, 1, 255] {
            for (access_log, is_slow, has_routes) in [
                (false, false, false),
                (true, false, false),
                (false, true, false),
                (false, false, true),
                (true, true, true),
            ] {
                let mut settings = TrackSettings {
                    access_log,
                    slow: is_slow.then_some(slow),
                    ..TrackSettings::default()
                };
                if has_routes {
                    settings.slow_routes.insert("/a".to_owned(), slow);
                }
                let word = SettingsWord::new(&settings, version);
                let unpacked = SettingsWord::unpack(word.pack());
                assert_eq!(unpacked.version(), version);
                assert_eq!(unpacked.access_log(), access_log);
                assert_eq!(unpacked.can_be_slow(), is_slow || has_routes);
                assert_eq!(unpacked.has_slow_routes(), has_routes);
                assert_ne!(word.changing(), word);
                assert_eq!((word.changing().complete(), word.complete()), (word, word));
                assert_eq!(word.changing().version(), version);
            }
        }
    }
}
