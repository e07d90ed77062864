//! The shortest steps that have ever told a faulty breaker from a sound one. As steps, not as seeds: a seed means
//! something else as soon as a kind of step is added.

use super::*;
use Step::{Admit, Advance, OpenFor, Settle, Unready};

/// Opens, where it does, for 50 ms; one probe decides.
fn plain(in_a_row: Option<u32>, growth: u32, most_open: u64) -> Settings {
    Settings {
        bucket: 100,
        buckets: 5,
        count_window: None,
        min_calls: 1,
        failure_rate: None,
        in_a_row,
        slow_call: None,
        slow_rate: None,
        open: 50,
        growth,
        most_open,
        jitter: 0.0,
        probes: 1,
        probe_ratio: Ratio(1, 1),
        probe_limit: None,
        seed: 0,
    }
}

/// Being told to open made it forget that all had been well.
#[test]
fn open_for_keeps_earlier_success() {
    let steps = vec![
        Unready,
        Advance(50),
        Admit,
        Settle(0, Outcome::Success, None),
        Advance(100),
        OpenFor(1),
        Advance(1),
        Admit,
        Settle(0, Outcome::Failure, None),
        Advance(50),
    ];
    agrees(plain(Some(1), 2, 178), steps);
}

#[test]
fn half_open_released_probe_frees_its_slot() {
    let steps = vec![
        OpenFor(1),
        Advance(1),
        Admit,
        Settle(0, Outcome::Rejected, None),
        Admit,
    ];
    agrees(plain(None, 1, 50), steps.clone());
    closes(plain(None, 1, 50), steps, 1);
}

#[test]
fn half_open_not_ready_service_takes_no_probe() {
    let steps = vec![
        Admit,
        Settle(0, Outcome::Failure, None),
        Advance(50),
        Admit,
        Unready,
        Admit,
        Admit,
    ];
    agrees(plain(Some(1), 2, 198), steps.clone());
    closes(plain(Some(1), 2, 198), steps, 1);
}

#[test]
fn window_success_expires_with_its_bucket() {
    let steps = vec![
        Advance(27),
        Admit,
        Settle(0, Outcome::Success, None),
        Advance(219),
        Advance(254),
    ];
    agrees(plain(None, 1, 50), steps);
}
