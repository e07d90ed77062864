use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::secret::Secret;

/// The time for which a login link is valid: long enough to copy it out of a log.
pub(super) const CODE_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The most codes that are valid at once.
const MAX_CODES: usize = 16;

/// The codes of login links that were not used yet, the oldest first.
#[derive(Debug, Default)]
pub(super) struct LoginCodes(VecDeque<(Secret, Instant)>);

impl LoginCodes {
    pub(super) fn insert(&mut self, code: &str, now: Instant) {
        if self.0.len() == MAX_CODES {
            self.0.pop_front();
        }
        self.0.push_back((Secret::new(code), now + CODE_LIFETIME));
    }

    /// Returns whether the code is valid, and uses it up.
    pub(super) fn redeem(&mut self, code: &str, now: Instant) -> bool {
        let mut is_valid = false;
        self.0.retain(|(secret, ends)| {
            let is_meant = secret.matches(code);
            is_valid |= is_meant && *ends > now;
            !is_meant && *ends > now
        });
        is_valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_code_is_valid_once_and_for_a_while() {
        let now = Instant::now();
        let mut codes = LoginCodes::default();
        codes.insert("a", now);
        codes.insert("b", now);
        assert!(!codes.redeem("c", now));
        let lifetime = Duration::from_secs(900);
        assert!(codes.redeem("a", now + lifetime - Duration::from_nanos(1)));
        assert!(!codes.redeem("a", now));
        assert!(!codes.redeem("b", now + lifetime));
    }

    #[test]
    fn login_codes_that_have_ended_are_forgotten_with_the_next_login() {
        let now = Instant::now();
        let mut codes = LoginCodes::default();
        codes.insert("a", now);
        codes.redeem("c", now + CODE_LIFETIME - Duration::from_nanos(1));
        assert_eq!(codes.0.len(), 1);
        codes.redeem("c", now + CODE_LIFETIME);
        assert_eq!(codes.0.len(), 0);
    }

    #[test]
    fn login_codes_are_bounded() {
        let now = Instant::now();
        let mut codes = LoginCodes::default();
        for n in 0..=MAX_CODES {
            codes.insert(&n.to_string(), now);
        }
        assert!(!codes.redeem("0", now));
        assert!(codes.redeem("1", now));
    }
}
