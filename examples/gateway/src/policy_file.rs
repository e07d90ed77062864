//! The file of the policy, which is read at the start and on SIGHUP.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncReadExt;
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
    pub track: Track,
}

impl LivePolicy {
    /// # Errors
    ///
    /// A setting that is out of its range. Then nothing has changed.
    pub fn apply(&self, policy: &Policy) -> Result<(), ConfigError> {
        policy.check()?;
        self.timeouts.apply(&policy.timeouts)?;
        self.retry.apply(&policy.retry)?;
        self.breaker.apply(&policy.breaker)?;
        self.track.apply(&policy.track)
    }
}

/// Where the policy comes from: the options, and the file that has sections in their place.
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
