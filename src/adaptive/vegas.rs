use std::time::Duration;

use super::{Limit, Window};

/// The number of windows after which the shortest time is measured anew, so that a peer that has become slower for good is not
/// taken for a queue for ever.
const REPROBE_AFTER: u32 = 60;

/// Estimates from the times how many calls wait in a queue of the peer, and keeps that queue short: TCP Vegas.
///
/// The queue is `limit × (1 − shortest time / mean time)`. With `log₁₀ limit` as the unit, the limit grows by six of them
/// while the queue is shorter than one, by one below three, and falls by one above six, or after an overload. The formula is
/// that of Netflix's `VegasLimit`. It suits peers whose times differ little: a call that is fast by nature makes the others
/// look like a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vegas {
    shortest: Option<Duration>,
    windows: u32,
}

impl Limit for Vegas {
    fn update(&mut self, limit: f64, window: &Window) -> f64 {
        let unit = limit.log10().floor().max(1.0);
        if window.is_overloaded() {
            return limit - unit;
        }
        if window.mean.is_zero() {
            return limit;
        }
        self.windows += 1;
        if self.windows >= REPROBE_AFTER {
            (self.windows, self.shortest) = (0, None);
        }
        let shortest = self
            .shortest
            .map_or(window.min, |time| time.min(window.min));
        self.shortest = Some(shortest);
        let ratio = shortest.as_secs_f64() / window.mean.as_secs_f64();
        let queue = (limit * (1.0 - ratio)).ceil();
        match queue {
            _ if queue <= unit => limit + 6.0 * unit,
            _ if queue < 3.0 * unit => limit + unit,
            _ if queue > 6.0 * unit => limit - unit,
            _ => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn vegas_keeps_the_queue_short() {
        let window = |mean: u32| Window {
            min: 100 * MILLI,
            ..Window::new(100, mean * MILLI)
        };
        // Queues of 0, 2, 5 and 10 calls at a limit of 20.
        for (mean, after) in [(100, 26.0), (111, 21.0), (133, 20.0), (200, 19.0)] {
            assert_eq!(
                Vegas::default().update(20.0, &window(mean)),
                after,
                "{mean}"
            );
        }
        assert_eq!(
            Vegas::default().update(200.0, &window(200)),
            198.0,
            "a larger unit"
        );
        assert_eq!(
            Vegas::default().update(20.0, &window(100).with_overloads(9)),
            19.0
        );
    }

    #[test]
    fn vegas_forgets_a_shortest_time_that_is_long_ago() {
        let mut vegas = Vegas::default();
        vegas.update(20.0, &Window::new(100, 10 * MILLI));
        let slower = Window::new(100, 100 * MILLI);
        assert_eq!(vegas.update(20.0, &slower), 19.0);
        (0..REPROBE_AFTER).for_each(|_| _ = vegas.update(20.0, &slower));
        assert_eq!(vegas.update(20.0, &slower), 26.0);
    }
}
