//! Estimates when a slot will be free.

use std::time::Duration;

/// The longest time that is told to a caller: what takes longer is not known.
const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// Returns the time until a call gets a slot that has so many calls ahead of it, if calls take as long as the latest did:
/// all slots are taken, and one becomes free each `run / limit`.
pub(super) fn expected_wait(run: Option<Duration>, ahead: u32, limit: u32) -> Option<Duration> {
    let turns = f64::from(ahead) + 1.0;
    let wait = run?.as_secs_f64() * turns / f64::from(limit.max(1));
    Some(Duration::try_from_secs_f64(wait).map_or(MAX_WAIT, |wait| wait.min(MAX_WAIT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn expected_wait_grows_with_those_ahead_and_shrinks_with_the_limit() {
        let wait = |ahead, limit| expected_wait(Some(SECOND), ahead, limit);
        assert_eq!(wait(0, 1), Some(SECOND));
        assert_eq!(wait(3, 1), Some(4 * SECOND));
        assert_eq!(wait(0, 4), Some(SECOND / 4));
        assert_eq!(wait(7, 4), Some(2 * SECOND));
        assert_eq!(expected_wait(None, 0, 4), None);
    }

    #[test]
    fn expected_wait_is_bounded() {
        let wait = expected_wait(Some(Duration::MAX), u32::MAX, 0);
        assert_eq!(wait, Some(MAX_WAIT));
    }
}
