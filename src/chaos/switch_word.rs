//! The state of a switch in one word: 0 while nobody has switched it on, which is all that most calls look at.
//!
//! | bits | what |
//! |---|---|
//! | 63, 62 | the override: 0 none, 1 on, 2 off |
//! | 61 to 0 | the end of the time for which the application has switched it on, in nanoseconds since the chaos was made; 0 is off, all ones has no end |

/// The nanoseconds that stand for no end.
const NO_END: u64 = (1 << 62) - 1;
const OVERRIDE_ON: u64 = 1 << 62;
const OVERRIDE_OFF: u64 = 2 << 62;

/// The state of a switch. See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SwitchWord(pub(super) u64);

impl SwitchWord {
    /// Returns whether it is on at this time.
    pub(super) fn is_on(self, now: u64) -> bool {
        match self.overridden() {
            OVERRIDE_ON => true,
            OVERRIDE_OFF => false,
            _ => now < self.own_end() || self.own_end() == NO_END,
        }
    }

    /// Returns when it will be off by itself, if ever.
    pub(super) fn end(self) -> Option<u64> {
        let end = self.own_end();
        (self.overridden() == 0 && end != 0 && end != NO_END).then_some(end)
    }

    /// Returns the switch after the application has switched it on for good.
    pub(super) fn enabled(self) -> Self {
        SwitchWord(self.overridden() | NO_END)
    }

    /// Returns the switch after the application has switched it on until `end`.
    pub(super) fn enabled_until(self, end: u64, now: u64) -> Self {
        // A time that is over before it begins would be reported as one that has ended.
        let end = if end > now { end.min(NO_END - 1) } else { 0 };
        SwitchWord(self.overridden() | end)
    }

    /// Returns the switch after the application has switched it off, whoever had switched it on.
    pub(super) fn disabled(self) -> Self {
        match self.overridden() {
            OVERRIDE_OFF => SwitchWord(OVERRIDE_OFF),
            _ => SwitchWord(0),
        }
    }

    /// Returns the switch with what an operator says; `None` for what the application says.
    pub(super) fn overridden_by(self, state: Option<bool>) -> Self {
        let bits = match state {
            None => 0,
            Some(true) => OVERRIDE_ON,
            Some(false) => OVERRIDE_OFF,
        };
        SwitchWord(bits | self.own_end())
    }

    /// Returns the switch without the application's time, if that is over.
    pub(super) fn expired(self, now: u64) -> Option<Self> {
        let end = self.own_end();
        let is_over = end != 0 && end != NO_END && end <= now;
        is_over.then(|| SwitchWord(self.overridden()))
    }

    fn overridden(self) -> u64 {
        self.0 & !NO_END
    }

    fn own_end(self) -> u64 {
        self.0 & NO_END
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: SwitchWord = SwitchWord(0);

    #[test]
    fn switch_is_on_until_its_end() {
        assert!(!OFF.is_on(0));
        let on = OFF.enabled();
        assert!(on.is_on(0) && on.is_on(u64::MAX));
        assert_eq!((on.end(), on.expired(u64::MAX)), (None, None));
        let timed = OFF.enabled_until(10, 0);
        assert!(timed.is_on(9) && !timed.is_on(10));
        assert_eq!(timed.end(), Some(10));
        assert_eq!((timed.expired(9), timed.expired(10)), (None, Some(OFF)));
        let long = OFF.enabled_until(u64::MAX, 7);
        assert!(long.is_on(7) && long.end().is_some());
        assert_eq!(
            (OFF.enabled_until(7, 7), on.enabled_until(6, 7)),
            (OFF, OFF)
        );
    }

    #[test]
    fn override_hides_what_the_application_says_and_gives_it_back() {
        for own in [OFF, OFF.enabled(), OFF.enabled_until(10, 0)] {
            let on = own.overridden_by(Some(true));
            let off = own.overridden_by(Some(false));
            assert!(on.is_on(u64::MAX) && !off.is_on(0), "{own:?}");
            assert_eq!((on.end(), off.end()), (None, None));
            assert_eq!(off.overridden_by(Some(true)), on);
            assert_eq!(on.overridden_by(None), own);
            assert_eq!(off.overridden_by(None), own);
        }
        let over = OFF.enabled_until(10, 0).overridden_by(Some(true));
        assert_eq!(over.expired(10), Some(OFF.overridden_by(Some(true))));
    }

    #[test]
    fn application_switches_off_an_override_that_is_on_but_not_one_that_is_off() {
        let on = OFF.enabled().overridden_by(Some(true));
        assert_eq!(on.disabled(), OFF);
        let off = OFF.enabled().overridden_by(Some(false));
        assert_eq!(off.disabled(), OFF.overridden_by(Some(false)));
        assert!(!off.disabled().enabled().is_on(0));
    }
}
