//! A line a second on what became of the calls.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};
use tower_keep::Outcome;
use tower_keep::balance::{Balance, BalanceStats, EndpointStatus};
use tower_keep::breaker::Transition;
use tower_keep::registry::GuardTransition;

use super::histogram::Histogram;
use super::process::say;

/// The calls in flight, and those that ended since the last line.
#[derive(Default)]
pub struct Window {
    in_flight: AtomicUsize,
    calls: Mutex<Calls>,
}

#[derive(Clone, Default)]
struct Calls {
    by_outcome: [u32; Outcome::ALL.len()],
    took: Histogram,
}

/// One line: what ended within `seconds`, and what is still going on.
struct Line {
    calls: Calls,
    seconds: f64,
    in_flight: usize,
}

impl Window {
    pub fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ended(&self, outcome: Outcome, elapsed: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut calls = self.lock();
        calls.by_outcome[outcome.index()] += 1;
        calls.took.record(elapsed);
    }

    /// Returns the line of `seconds`; the next one begins anew.
    fn line(&self, seconds: f64) -> Line {
        Line {
            calls: std::mem::take(&mut *self.lock()),
            seconds,
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }

    /// Counts are whole after any panic, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints for ever. Of several endpoints, it has the calls of each.
pub async fn every_second(window: Arc<Window>, balance: Balance) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut last = Instant::now();
    let mut before = balance.stats();
    loop {
        tick.tick().await;
        let now = Instant::now();
        let line = window.line((now - last).as_secs_f64());
        last = now;
        let stats = balance.stats();
        let endpoints = endpoints_text(&before, &stats);
        before = stats;
        say(&format!(
            "{}  {line}{endpoints}",
            time_of_day(SystemTime::now())
        ));
    }
}

/// The calls of each endpoint since `before`, or that it is ejected; nothing of a single one.
fn endpoints_text(before: &BalanceStats, now: &BalanceStats) -> String {
    if now.endpoints.len() < 2 {
        return String::new();
    }
    let mut text = "  endpoints".to_owned();
    for (index, endpoint) in now.endpoints.iter().enumerate() {
        let calls = before.endpoints.get(index).map_or(0, |before| before.calls);
        let calls = endpoint.calls.saturating_sub(calls);
        text += &match endpoint.status {
            EndpointStatus::InRotation => format!(" {} {calls}", endpoint.endpoint),
            status => format!(" {} {status}", endpoint.endpoint),
        };
    }
    text
}

/// Tells of each endpoint that is ejected or returns.
pub async fn ejections() {
    let mut changes = tower_keep::registry::subscribe();
    loop {
        match changes.recv().await {
            Ok(change) if change.kind == "balance" => say(&format!(
                "{}  {}",
                time_of_day(SystemTime::now()),
                told_of_endpoint(&change)
            )),
            Ok(_) => {}
            Err(RecvError::Lagged(lost)) => say(&format!("{lost} changes of guards were lost")),
            Err(RecvError::Closed) => return,
        }
    }
}

fn told_of_endpoint(change: &GuardTransition) -> String {
    let endpoint = change.key.as_ref().map_or("", |key| key.as_str());
    let (from, to, reason) = (change.from, change.to, change.reason);
    match &change.last_error {
        Some(error) => format!("endpoint {endpoint}: {from} -> {to} ({reason}: {error})"),
        None => format!("endpoint {endpoint}: {from} -> {to} ({reason})"),
    }
}

/// Tells of each change of a circuit breaker.
pub async fn transitions(mut changes: Receiver<Transition>) {
    loop {
        match changes.recv().await {
            Ok(change) => say(&format!(
                "{}  {}",
                time_of_day(SystemTime::now()),
                told(&change)
            )),
            Err(RecvError::Lagged(lost)) => {
                say(&format!("{lost} changes of the circuit breaker were lost"))
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn told(change: &Transition) -> String {
    let (breaker, from, to) = (&change.breaker, change.from, change.to);
    let mut line = format!(
        "circuit breaker {breaker}: {from} -> {to} ({}",
        change.reason.as_str()
    );
    if let Some(error) = &change.last_error {
        line += &format!(": {error}");
    }
    if let Some(time) = change.open_for {
        line += &format!("; for {:.1} s", time.as_secs_f64());
    }
    line + ")"
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
        for (outcome, count) in Outcome::ALL.iter().zip(calls.by_outcome) {
            if count > 0 {
                write!(f, "{gap}{outcome} {count}")?;
                gap = " ";
            }
        }
        Ok(())
    }
}

/// Milliseconds, with as many decimals as tell something: an open circuit rejects within hundredths of one.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1e3;
        let decimals = usize::from(millis < 10.0) + usize::from(millis < 1.0);
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
    fn report_line_shows_rate_quantiles_and_outcomes() {
        let window = Window::default();
        (0..34).for_each(|_| window.began());
        for _ in 0..30 {
            window.ended(Outcome::Success, Duration::from_micros(2000));
        }
        window.ended(Outcome::TimedOut, Duration::from_millis(500));
        assert_eq!(
            window.line(1.0).to_string(),
            "31.0/s  p50 2.0ms  p99 524ms  in-flight 3  success 30 timed_out 1"
        );
    }

    #[test]
    fn report_shows_times_however_short() {
        let shown = |micros| Millis(Duration::from_micros(micros)).to_string();
        assert_eq!(shown(40), "0.04ms");
        assert_eq!(shown(1_260), "1.3ms");
        assert_eq!(shown(12_600), "13ms");
    }

    #[test]
    fn report_starts_again_each_second_and_is_quiet_when_idle() {
        let window = Window::default();
        window.began();
        window.ended(Outcome::Failure, Duration::ZERO);
        window.line(1.0);
        assert_eq!(window.line(1.0).to_string(), "0.0/s  in-flight 0");
    }

    #[test]
    fn response_has_a_date() {
        let noon = UNIX_EPOCH + Duration::from_secs(86_400 * 3 + 12 * 3600 + 61);
        assert_eq!(time_of_day(noon), "12:01:01");
    }
}
