//! Quantiles of counted values.

use crate::util::log_linear::middle_of;

/// Returns the rank, from 1, of the value that a fraction `q` of `count` values does not exceed.
pub(super) fn rank_of(q: f64, count: u64) -> u64 {
    ((count as f64 * q).ceil() as u64).clamp(1, count.max(1))
}

/// Returns the value of a rank among ascending buckets, to their precision.
pub(super) fn value_of_rank(
    buckets: impl IntoIterator<Item = (u16, u64)>,
    rank: u64,
) -> Option<f64> {
    let mut not_above: u64 = 0;
    let found = buckets.into_iter().find(|(_, count)| {
        not_above = not_above.saturating_add(*count);
        not_above >= rank
    });
    found.map(|(index, _)| middle_of(index))
}
