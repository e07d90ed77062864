//! The file of the policy, which is read at the start and on SIGHUP.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tower_keep::balance::Balance;
use tower_keep::breaker::CircuitBreaker;
use tower_keep::retry::Retry;
use tower_keep::timeout::Timeouts;
use tower_keep::{ConfigError, Track};

use super::args::Args;
use super::policy::Policy;

/// More than any policy has.
const MAX_LEN: u64 = 1024 * 1024;

/// The parts of the gateway that a policy changes.
pub struct LivePolicy {
    pub timeouts: Timeouts,
    pub retry: Retry,
    pub breaker: CircuitBreaker,
    pub balance: Balance,
    pub track: Track,
}

impl LivePolicy {
    /// # Errors
    ///
    /// A setting that is out of its range, or routes that do not fit. Then nothing has changed.
    pub fn apply(&self, policy: &Policy) -> Result<(), ConfigError> {
        policy.check()?;
        // First, since a check cannot know whether its routes fit. The others have been checked whole.
        self.track.apply(&policy.track)?;
        self.timeouts.apply(&policy.timeouts)?;
        self.retry.apply(&policy.retry)?;
        self.breaker.apply(&policy.breaker)?;
        self.balance.apply(&policy.balance)
    }
}

/// The source of the policy: the options, and the file that has sections in their place.
pub struct PolicySource {
    path: Option<PathBuf>,
    usual: Policy,
}

impl PolicySource {
    pub fn new(args: &Args) -> Self {
        PolicySource {
            path: args.policy.clone(),
            usual: args.policy(),
        }
    }

    /// Reads the policy as it is now.
    ///
    /// # Errors
    ///
    /// Says what is wrong in the file, and where.
    pub async fn read(&self) -> Result<Policy, String> {
        let Some(path) = &self.path else {
            return Ok(self.usual.clone());
        };
        let policy = read_text(path).await.and_then(|text| {
            let policy = self.usual.with_file(&text)?;
            policy.check().map_err(|error| error.to_string())?;
            Ok(policy)
        });
        policy.map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => path.display().fmt(f),
            None => f.write_str("the options"),
        }
    }
}

/// Reads a file of bounded length.
async fn read_text(path: &Path) -> Result<String, String> {
    let file = File::open(path).await;
    let file = file.map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(MAX_LEN + 1).read_to_string(&mut text).await;
    match read {
        Ok(len) if len as u64 > MAX_LEN => Err(format!("longer than {MAX_LEN} bytes")),
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower_keep::track::SlowThresholds;

    use super::*;
    use crate::policy::tests::usual;

    #[test]
    fn policy_whose_routes_do_not_fit_changes_nothing() {
        let mut policy = usual();
        let live = LivePolicy {
            timeouts: Timeouts::new("upstream"),
            retry: Retry::new("upstream"),
            breaker: CircuitBreaker::new("upstream"),
            balance: Balance::new("upstream"),
            track: Track::new("gateway"),
        };
        let slow = SlowThresholds::new(Duration::from_secs(1), Duration::from_secs(2));
        for first in [0, 1_000] {
            let routes = (first..first + 1_000).map(|route| (format!("/{route}"), slow));
            policy.track.slow_routes = routes.collect();
            live.apply(&policy).expect("they fit");
        }
        let before = policy.clone();
        policy.track.slow_routes = [("/one more".to_owned(), slow)].into();
        policy.timeouts.total += Duration::from_secs(1);
        policy.retry.max_attempts += 1;
        policy.breaker.probes += 1;
        policy.balance.max_ejected = 0.5;
        let error = live.apply(&policy).expect_err("one too many");
        assert!(error.to_string().contains("/one more"), "{error}");
        assert_eq!(live.timeouts.settings(), before.timeouts);
        assert_eq!(live.retry.settings(), before.retry);
        assert_eq!(live.breaker.settings(), before.breaker);
        assert_eq!(live.balance.settings(), before.balance);
        assert_eq!(live.track.settings(), before.track);
    }
}
