use fastrand::Rng;

use crate::util::mix::stream;

/// The random numbers of one call, each from 0 up to 1.
///
/// All are drawn for each call, whatever is injected: another rate changes which calls get a fault, but no draw, so that a
/// higher rate adds faults to those of a lower one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Draw {
    /// The number that decides whether the call is late.
    pub(super) latency: f64,
    /// The number that decides how late it is.
    pub(super) spread: f64,
    /// The number that decides what comes in its place.
    pub(super) in_place: f64,
    /// The number that decides what becomes of its body.
    pub(super) body: f64,
}

impl Draw {
    /// Draws for the call of this ordinal, from a stream of its own: calls that run at once do not disturb each other.
    pub(super) fn of_call(seed: u64, ordinal: u64) -> Self {
        let mut random = Rng::with_seed(stream(seed, ordinal));
        Draw {
            latency: random.f64(),
            spread: random.f64(),
            in_place: random.f64(),
            body: random.f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draw_is_the_same_for_the_same_seed_and_ordinal() {
        for ordinal in 0..100 {
            assert_eq!(Draw::of_call(7, ordinal), Draw::of_call(7, ordinal));
            assert_ne!(Draw::of_call(7, ordinal), Draw::of_call(7, ordinal + 1));
            assert_ne!(Draw::of_call(7, ordinal), Draw::of_call(8, ordinal));
        }
    }

    #[test]
    fn draws_of_calls_in_a_row_are_spread_evenly_and_independent() {
        let draws: Vec<_> = (0..10_000).map(|n| Draw::of_call(0, n)).collect();
        let columns: [fn(&Draw) -> f64; 4] = [
            |draw| draw.latency,
            |draw| draw.spread,
            |draw| draw.in_place,
            |draw| draw.body,
        ];
        let share = |chosen: &dyn Fn(&Draw) -> bool| {
            draws.iter().filter(|draw| chosen(draw)).count() as f64 / draws.len() as f64
        };
        for (index, column) in columns.iter().enumerate() {
            assert!((share(&|draw| column(draw) < 0.1) - 0.1).abs() < 0.02);
            for other in &columns[index + 1..] {
                let both = share(&|draw| column(draw) < 0.5 && other(draw) < 0.5);
                assert!((both - 0.25).abs() < 0.02, "{both}");
            }
        }
        let pairs = draws.windows(2);
        let alike = pairs.filter(|pair| pair[0].in_place < 0.5 && pair[1].in_place < 0.5);
        let alike = alike.count() as f64 / draws.len() as f64;
        assert!((alike - 0.25).abs() < 0.02, "{alike}");
    }
}
