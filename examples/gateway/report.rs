//! A line a second on what became of the calls.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::{MissedTickBehavior, interval};

use crate::histogram::Histogram;
use crate::process::say;

/// In the order in which they are shown.
pub const OUTCOMES: [&str; 8] = [
    "success",
    "failure",
    "overload",
    "ignored",
    "timed_out",
    "cancelled",
    "panicked",
    "rejected",
];

/// The calls that ended since the last line.
#[derive(Default)]
pub struct Window {
    calls: Mutex<Calls>,
}

#[derive(Clone, Default)]
struct Calls {
    by_outcome: [u32; OUTCOMES.len()],
    took: Histogram,
}

/// One line: what ended within `seconds`, and what is still going on.
struct Line {
    calls: Calls,
    seconds: f64,
    in_flight: usize,
}

impl Window {
    /// One call has ended; a word that is none of [`OUTCOMES`] is a mistake and counts as nothing.
    pub fn observe(&self, outcome: &'static str, elapsed: Duration) {
        let known = OUTCOMES.iter().position(|known| *known == outcome);
        debug_assert!(known.is_some(), "unknown outcome {outcome}");
        let Some(index) = known else { return };
        let mut calls = self.lock();
        calls.by_outcome[index] += 1;
        calls.took.record(elapsed);
    }

    fn take(&self) -> Calls {
        std::mem::take(&mut *self.lock())
    }

    /// Counts are whole after any panic, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints for ever.
pub async fn every_second(window: &Window, in_flight: impl Fn() -> usize) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut last = Instant::now();
    loop {
        tick.tick().await;
        let now = Instant::now();
        let line = Line {
            calls: window.take(),
            seconds: (now - last).as_secs_f64(),
            in_flight: in_flight(),
        };
        last = now;
        say(&format!("{}  {line}", time_of_day(SystemTime::now())));
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = &self.calls;
        let total: u32 = calls.by_outcome.iter().sum();
        write!(f, "{:.1}/s", f64::from(total) / self.seconds)?;
        for (name, fraction) in [("p50", 0.5), ("p99", 0.99)] {
            if let Some(took) = calls.took.quantile(fraction) {
                write!(f, "  {name} {}", Millis(took))?;
            }
        }
        write!(f, "  in-flight {}", self.in_flight)?;
        let mut gap = "  ";
        for (outcome, count) in OUTCOMES.iter().zip(calls.by_outcome) {
            if count > 0 {
                write!(f, "{gap}{outcome} {count}")?;
                gap = " ";
            }
        }
        Ok(())
    }
}

/// Milliseconds, with a decimal where it tells something.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1e3;
        let decimals = usize::from(millis < 10.0);
        write!(f, "{millis:.decimals$}ms")
    }
}

/// UTC: the local zone needs more than the standard library.
fn time_of_day(now: SystemTime) -> String {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_rate_quantiles_and_what_happened() {
        let window = Window::default();
        for _ in 0..30 {
            window.observe("success", Duration::from_micros(2000));
        }
        window.observe("timed_out", Duration::from_millis(500));
        let line = line(&window, 3);
        let shown = line.to_string();
        assert_eq!(
            shown,
            "31.0/s  p50 2.0ms  p99 524ms  in-flight 3  success 30 timed_out 1"
        );
    }

    #[test]
    fn an_idle_second_is_quiet() {
        assert_eq!(
            line(&Window::default(), 0).to_string(),
            "0.0/s  in-flight 0"
        );
    }

    #[test]
    fn each_second_starts_anew() {
        let window = Window::default();
        window.observe("failure", Duration::ZERO);
        line(&window, 0);
        assert_eq!(window.take().by_outcome, [0; 8]);
    }

    #[test]
    fn tells_the_time() {
        let noon = UNIX_EPOCH + Duration::from_secs(86_400 * 3 + 12 * 3600 + 61);
        assert_eq!(time_of_day(noon), "12:01:01");
    }

    fn line(window: &Window, in_flight: usize) -> Line {
        let calls = window.take();
        Line {
            calls,
            seconds: 1.0,
            in_flight,
        }
    }
}
