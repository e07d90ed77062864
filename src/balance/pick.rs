//! The endpoint of a call: the one with less load of two that are drawn (power of two choices). Pure.

use std::{cmp::Ordering, iter};

use crate::util::mix::mix;

/// A load of more than this part of another one is equal to it. Otherwise noise decides between equal endpoints: one whose
/// connection took a bit longer to make would get no call until its latency is forgotten.
const CLEARLY: f64 = 0.8;

/// An endpoint as a call sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Candidate {
    /// Gets calls.
    InRotation(EndpointLoad),
    /// Ejected, and a call may find out whether it has recovered.
    ProbeDue,
    /// Gets no call.
    Out,
}

/// The load of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct EndpointLoad {
    /// The latency that is expected, in nanoseconds; `None` before the first answer, and long after the last one.
    pub(super) nanos: Option<f32>,
    pub(super) in_flight: u32,
    /// The part of its calls that it gets, below 1 while it is new.
    pub(super) weight: f64,
    /// The number of calls that have failed in a row, the last one included.
    pub(super) failed_in_row: u32,
}

impl EndpointLoad {
    /// Returns whether a call costs clearly less here than there: by latency times the calls in flight, this one included. While one
    /// of the two latencies is not known, by the calls in flight alone.
    fn is_less_than(&self, other: &EndpointLoad) -> bool {
        match (self.nanos, other.nanos) {
            (Some(one), Some(another)) => {
                f64::from(one) * (f64::from(self.in_flight) + 1.0)
                    < f64::from(another) * (f64::from(other.in_flight) + 1.0) * CLEARLY
            }
            _ => self.in_flight < other.in_flight,
        }
    }
}

/// Picks one of `count` endpoints by a random number; `None` if none is in rotation.
///
/// The first attempt of a call takes the better one of two, or probes. A `retry` takes the best of those whose latest calls have failed
/// least often in a row: its call has failed once already, and of two endpoints that have failed, the one that failed by chance is
/// known by fewer failures than the one that is gone.
pub(super) fn pick(
    count: usize,
    random: u64,
    is_retry: bool,
    look: impl Fn(usize) -> Candidate,
) -> Option<usize> {
    if count == 0 {
        return None;
    }
    if is_retry {
        return pick_best(count, random, &look);
    }
    let (first, second) = draw_two(count, random);
    // Looked at once: the load of an endpoint is calculated each time.
    let [first, second] = [first, second].map(|index| (index, look(index)));
    for (index, candidate) in [first, second] {
        if candidate == Candidate::ProbeDue {
            return Some(index);
        }
    }
    // The place of one that is out goes to the next one.
    let one = next_in_rotation(count, first, None, &look)?;
    let Some(other) = next_in_rotation(count, second, Some(one.0), &look) else {
        return Some(one.0);
    };
    Some(better(one, other, mix(random)).0)
}

/// Picks the better one of two. One that is newer than the other takes part with the probability of its weight, relative to that
/// of the other: among endpoints that are all new, as after the start of the process, load alone decides.
fn better(
    one: (usize, EndpointLoad),
    other: (usize, EndpointLoad),
    random: u64,
) -> (usize, EndpointLoad) {
    let full = one.1.weight.max(other.1.weight);
    let takes_part =
        |load: &EndpointLoad, random: u64| load.weight >= full || unit(random) * full < load.weight;
    match (
        takes_part(&one.1, random),
        takes_part(&other.1, mix(random)),
    ) {
        (true, false) => one,
        (false, true) => other,
        _ if other.1.is_less_than(&one.1) => other,
        _ => one,
    }
}

fn pick_best(count: usize, random: u64, look: &impl Fn(usize) -> Candidate) -> Option<usize> {
    // From a random place on, since the first of equals is taken.
    let start = draw_two(count, random).0;
    let mut best: Option<(usize, EndpointLoad)> = None;
    for index in (0..count).map(|offset| (start + offset) % count) {
        let Candidate::InRotation(load) = look(index) else {
            continue;
        };
        let is_better =
            best.is_none_or(
                |(_, best)| match load.failed_in_row.cmp(&best.failed_in_row) {
                    Ordering::Less => true,
                    Ordering::Greater => false,
                    Ordering::Equal => load.is_less_than(&best),
                },
            );
        if is_better {
            best = Some((index, load));
        }
    }
    best.map(|(index, _)| index)
}

/// Returns the first endpoint in rotation from one on that was looked at, other than one.
fn next_in_rotation(
    count: usize,
    (from, candidate): (usize, Candidate),
    other_than: Option<usize>,
    look: &impl Fn(usize) -> Candidate,
) -> Option<(usize, EndpointLoad)> {
    let indices = (1..count).map(|offset| (from + offset) % count);
    let others = indices.map(|index| (index, look(index)));
    let mut candidates = iter::once((from, candidate)).chain(others);
    candidates.find_map(|(index, candidate)| match candidate {
        Candidate::InRotation(load) if Some(index) != other_than => Some((index, load)),
        _ => None,
    })
}

/// Draws two indices, which differ if there are two.
fn draw_two(count: usize, random: u64) -> (usize, usize) {
    let first = scale(random >> 32, count);
    if count == 1 {
        return (first, first);
    }
    let second = scale(random & u64::from(u32::MAX), count - 1);
    (first, second + usize::from(second >= first))
}

/// Returns a number below `count` for one of 32 bits.
fn scale(random: u64, count: usize) -> usize {
    ((random * count as u64) >> 32) as usize
}

/// Returns a number from 0 up to 1.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{Candidate::*, *};
    use crate::util::mix::stream;

    const DRAWS: u64 = 20_000;

    fn load(millis: f32, in_flight: u32) -> EndpointLoad {
        EndpointLoad {
            nanos: Some(millis * 1e6),
            in_flight,
            weight: 1.0,
            failed_in_row: 0,
        }
    }

    /// Returns the part of calls that each endpoint gets.
    fn shares(all: &[Candidate], is_retry: bool) -> Vec<f64> {
        let mut counts = vec![0_u32; all.len()];
        for ordinal in 0..DRAWS {
            let index = pick(all.len(), stream(7, ordinal), is_retry, |index| all[index]);
            counts[index.expect("one is in rotation")] += 1;
        }
        let part = |count: &u32| f64::from(*count) / DRAWS as f64;
        counts.iter().map(part).collect()
    }

    fn assert_near(shares: &[f64], expected: &[f64]) {
        for (share, expected) in shares.iter().zip(expected) {
            assert!((share - expected).abs() < 0.02, "{shares:?}");
        }
    }

    #[test]
    fn pick_takes_the_less_loaded_of_two() {
        assert_eq!(
            shares(&[InRotation(load(1.0, 0)), InRotation(load(2.0, 0))], false),
            [1.0, 0.0]
        );
        assert_eq!(
            shares(&[InRotation(load(1.0, 2)), InRotation(load(2.0, 0))], false),
            [0.0, 1.0]
        );
        // Of three, the worst never wins, and the best whenever it is drawn.
        let three = [1.0, 2.0, 3.0].map(|millis| InRotation(load(millis, 0)));
        assert_near(&shares(&three, false), &[2.0 / 3.0, 1.0 / 3.0, 0.0]);
    }

    #[test]
    fn pick_spreads_calls_evenly_where_loads_are_equal() {
        let equal = [InRotation(load(1.0, 0)); 5];
        assert_near(&shares(&equal, false), &[0.2; 5]);
    }

    #[test]
    fn pick_spreads_calls_over_loads_that_are_about_equal() {
        let two = |other: f32| [9.35, other].map(|millis| InRotation(load(millis, 0)));
        assert_near(&shares(&two(9.6), false), &[0.5, 0.5]);
        assert_eq!(shares(&two(12.0), false), [1.0, 0.0]);
    }

    #[test]
    fn pick_compares_calls_in_flight_until_both_latencies_are_known() {
        let unknown = |in_flight| {
            InRotation(EndpointLoad {
                nanos: None,
                ..load(0.0, in_flight)
            })
        };
        assert_eq!(
            shares(&[unknown(1), InRotation(load(1_000.0, 0))], false),
            [0.0, 1.0]
        );
        assert_eq!(
            shares(&[unknown(0), InRotation(load(0.1, 1))], false),
            [1.0, 0.0]
        );
    }

    #[test]
    fn new_endpoint_gets_its_weight_of_a_fair_share() {
        for weight in [0.1, 0.5] {
            let new = EndpointLoad {
                weight,
                ..load(1.0, 0)
            };
            let old = InRotation(load(1.0, 0));
            let all = [InRotation(new), old, old, old];
            let share = shares(&all, false)[0];
            assert!((share - weight * 0.25).abs() < 0.02, "{weight}: {share}");
        }
        let new = [0.1, 0.1].map(|weight| {
            InRotation(EndpointLoad {
                weight,
                ..load(1.0, 0)
            })
        });
        assert_near(&shares(&new, false), &[0.5, 0.5]);
    }

    /// Each took part by its own weight: of two endpoints of weight 0.5, one alone took part in half of the calls, whatever its load.
    #[test]
    fn load_alone_decides_among_endpoints_that_are_equally_new() {
        let new = [1.0, 2.0].map(|millis| {
            InRotation(EndpointLoad {
                weight: 0.5,
                ..load(millis, 0)
            })
        });
        assert_eq!(shares(&new, false), [1.0, 0.0]);
    }

    #[test]
    fn probe_comes_before_load_and_not_for_a_retry() {
        let all = [ProbeDue, InRotation(load(1.0, 0)), InRotation(load(1.0, 0))];
        let share = shares(&all, false)[0];
        assert!((share - 2.0 / 3.0).abs() < 0.02, "{share}");
        assert_eq!(shares(&all, true)[0], 0.0);
    }

    #[test]
    fn retry_takes_the_best_whose_last_call_did_not_fail() {
        let failed = EndpointLoad {
            failed_in_row: 1,
            ..load(0.1, 0)
        };
        let all = [failed, load(9.0, 0), load(5.0, 0)].map(InRotation);
        assert_eq!(shares(&all, true), [0.0, 0.0, 1.0]);
        assert_eq!(
            shares(&[InRotation(failed), Out], true),
            [1.0, 0.0],
            "better than none"
        );
    }

    /// It took the one with less load when all had failed: one that fails at once, again and again.
    #[test]
    fn retry_takes_the_one_that_has_failed_least_often_in_a_row() {
        let failed = |failed_in_row, millis| {
            InRotation(EndpointLoad {
                failed_in_row,
                ..load(millis, 0)
            })
        };
        let all = [failed(7, 0.1), failed(1, 50.0), failed(2, 0.1)];
        assert_eq!(shares(&all, true), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn single_endpoint_gets_all_calls_however_new_it_is() {
        let new = EndpointLoad {
            weight: 0.1,
            ..load(1.0, 9)
        };
        assert_eq!(shares(&[InRotation(new)], false), [1.0]);
        assert_eq!(shares(&[Out, InRotation(new), Out], false), [0.0, 1.0, 0.0]);
        assert_eq!(pick(0, 1, false, |_| Out), None);
    }

    proptest! {
        #[test]
        fn pick_finds_an_endpoint_wherever_one_is_in_rotation_and_none_that_is_out(
            all in vec(prop_oneof![
                Just(Out),
                Just(ProbeDue),
                (0.1f32..100.0, 0_u32..50, 0.1f64..=1.0).prop_map(|(millis, in_flight, weight)| {
                    InRotation(EndpointLoad { weight, ..load(millis, in_flight) })
                }),
            ], 0..12),
            random: u64,
            is_retry: bool,
        ) {
            let is_any = all.iter().any(|one| matches!(one, InRotation(_)));
            match pick(all.len(), random, is_retry, |index| all[index]) {
                Some(index) => prop_assert!(all[index] != Out && !(is_retry && all[index] == ProbeDue)),
                None => prop_assert!(!is_any),
            }
        }
    }
}
