//! The policy of the gateway: what the options say, and sections of a file in their place.

use serde::Deserialize;
use tower_keep::ConfigError;
use tower_keep::balance::BalanceSettings;
use tower_keep::breaker::BreakerSettings;
use tower_keep::retry::RetrySettings;
use tower_keep::timeout::TimeoutSettings;
use tower_keep::track::TrackSettings;

/// The name of what stands before the upstream.
pub const UPSTREAM: &str = "upstream";
/// The name of what stands before the gateway itself.
pub const GATEWAY: &str = "gateway";

/// Settings that can change while calls are in flight.
#[derive(Clone, Debug)]
pub struct Policy {
    pub timeouts: TimeoutSettings,
    pub retry: RetrySettings,
    pub breaker: BreakerSettings,
    pub balance: BalanceSettings,
    pub track: TrackSettings,
}

/// Returns the policy of several upstreams, whose circuits are timed as that of all of them.
pub fn balance(breaker: &BreakerSettings) -> BalanceSettings {
    let mut balance = BalanceSettings::default();
    balance.breaker.time_window = breaker.time_window;
    balance.breaker.open_time = breaker.open_time;
    balance.breaker.probe_timeout = breaker.probe_timeout;
    balance
}

/// A policy file. A section that it has replaces what the options say, whole.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PolicyFile {
    timeouts: Option<TimeoutSettings>,
    retry: Option<RetrySettings>,
    breaker: Option<BreakerSettings>,
    balance: Option<BalanceSettings>,
    track: Option<TrackSettings>,
}

impl Policy {
    /// Checks each setting.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.timeouts.check(UPSTREAM)?;
        self.retry.check(UPSTREAM)?;
        self.breaker.check(UPSTREAM)?;
        self.balance.check(UPSTREAM)?;
        self.track.check(GATEWAY)
    }

    /// Returns this policy with the sections of a file in its place.
    ///
    /// # Errors
    ///
    /// Names the place in the text, and what is allowed there.
    pub fn with_file(&self, text: &str) -> Result<Self, String> {
        let file: PolicyFile = toml::from_str(text).map_err(|error| one_line(text, &error))?;
        let usual = self.clone();
        Ok(Policy {
            timeouts: file.timeouts.unwrap_or(usual.timeouts),
            retry: file.retry.unwrap_or(usual.retry),
            breaker: file.breaker.unwrap_or(usual.breaker),
            balance: file.balance.unwrap_or(usual.balance),
            track: file.track.unwrap_or(usual.track),
        })
    }
}

/// The longest error that is shown, in characters. A file may hold a name of any length.
const MAX_ERROR: usize = 500;

/// Returns the error in one line, which names that of the text. It may show parts of the file, which are no commands for a
/// terminal.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let message = error.message().replace('\n', ", ");
    let printable = |c: char| if c.is_control() { '?' } else { c };
    let message: String = message.chars().take(MAX_ERROR).map(printable).collect();
    format!("line {line}: {message}")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::args::{self, Asked};

    /// The policy of the embedded upstream, without any option.
    pub(crate) fn usual() -> Policy {
        match args::parse(std::iter::empty()) {
            Ok(Asked::Run(args)) => args.policy(),
            _ => panic!("no option is needed"),
        }
    }

    #[test]
    fn policy_file_replaces_the_sections_that_it_has() {
        let text = "[breaker]\nopen_time = \"7s\"\n";
        let policy = usual().with_file(text).expect("a policy");
        assert_eq!(policy.breaker.open_time, Duration::from_secs(7));
        assert_eq!(
            policy.breaker.consecutive_failures,
            BreakerSettings::default().consecutive_failures
        );
        assert_eq!(policy.retry, usual().retry);
        assert_eq!(policy.timeouts, usual().timeouts);
        let empty = usual().with_file("").expect("a policy");
        assert_eq!(empty.breaker, usual().breaker);
    }

    #[test]
    fn policy_file_of_the_example_says_what_the_options_say() {
        let example = include_str!("../policy.toml");
        let policy = usual().with_file(example).expect("a policy");
        policy.check().expect("valid settings");
        assert_eq!(policy.timeouts, usual().timeouts);
        assert_eq!(policy.retry, usual().retry);
        assert_eq!(policy.breaker, usual().breaker);
        assert_eq!(policy.balance, usual().balance);
        assert_eq!(policy.track, usual().track);
    }

    #[test]
    fn policy_error_names_the_place_and_what_is_allowed() {
        for (text, parts) in [
            (
                "[retries]",
                &[
                    "`retries`",
                    "`timeouts`, `retry`, `breaker`, `balance`, `track`",
                ][..],
            ),
            (
                "[breaker]\nopen = \"5s\"",
                &["line 2", "`open`", "`open_time`"],
            ),
            ("[timeouts]\nattempt = 5", &["line 2", "\"250ms\""]),
            ("[breaker", &["line 1"]),
            ("\"a\\u001b[31m\" = 1", &["line 1", "`a?[31m`"]),
        ] {
            let error = usual().with_file(text).expect_err(text);
            for part in parts {
                assert!(error.contains(part), "{part} is not in {error}");
            }
        }
        let error = usual().with_file(&format!("{} = 1", "a".repeat(100_000)));
        assert!(error.expect_err("no such section").len() < 600);
    }
}
