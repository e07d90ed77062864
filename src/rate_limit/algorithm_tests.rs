//! The parts that the tests of all algorithms have in common.

use proptest::prelude::*;

use super::quota::{Denial, Quota};

/// Returns a closure that takes cells now, or within a wait, and returns that wait.
pub(super) fn taker(quota: Quota) -> impl FnMut(u64, u32, u64) -> Result<u64, Denial> {
    let mut state = 0;
    move |now, cells, max_wait| {
        let grant = quota.take(state, now, cells, max_wait)?;
        state = grant.state;
        Ok(grant.wait)
    }
}

/// Plays steps, each a pause and the cells that are asked for after it, and checks that cells are denied for as long as they
/// have to be. Tells `check` when cells may be used, and whether they were taken (or were only said to be free then).
pub(super) fn play(
    quota: Quota,
    max_wait: u64,
    steps: Vec<(u64, u32)>,
    mut check: impl FnMut(u64, u32, bool) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let (mut state, mut now, mut last) = (0, 0, 0);
    for (pause, cells) in steps {
        now += pause;
        match quota.take(state, now, cells, max_wait) {
            Ok(grant) => {
                prop_assert!(grant.wait <= max_wait);
                // Those that wait are admitted in the order in which they came.
                prop_assert!(now + grant.wait >= last);
                (state, last) = (grant.state, now + grant.wait);
                check(last, cells, true)?;
            }
            Err(Denial::Never) => prop_assert!(u64::from(cells) > quota.burst()),
            Err(Denial::After(wait)) => {
                // Neither too early nor later than needed.
                prop_assert!(wait > max_wait);
                check(now + wait, cells, false)?;
                prop_assert!(quota.take(state, now + wait, cells, 0).is_ok());
                prop_assert!(quota.take(state, now + wait - 1, cells, 0).is_err());
            }
        }
    }
    Ok(())
}
