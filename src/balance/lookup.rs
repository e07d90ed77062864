use std::{io, net::SocketAddr, time::Duration};

use tokio::time::timeout;

use super::Resolve;
use crate::call::{ConfigError, Label, catch_hook};

/// Longer than a resolver takes that asks several servers twice.
const MAX_TIME: Duration = Duration::from_secs(10);
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_secs(3_600);
/// A name in DNS has 253 bytes, a colon and a port 6.
const MAX_NAME: usize = 253 + 6;

/// A name that is looked up.
pub(super) struct Lookup<R> {
    name: String,
    resolver: R,
}

impl<R: Resolve> Lookup<R> {
    pub(super) fn new(name: &str, interval: Duration, resolver: R) -> Result<Self, ConfigError> {
        let error = |field, value: String, expected| {
            Err(ConfigError::new("look-up", field, value, expected))
        };
        let is_name = name.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !is_name || name.len() > MAX_NAME {
            return error("name", format!("{name:?}"), "host:port, at most 259 bytes");
        }
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
            return error("interval", format!("{interval:?}"), "100 ms to 1 h");
        }
        Ok(Lookup {
            name: name.to_owned(),
            resolver,
        })
    }

    /// Looks the name up once. An answer without an address is an error.
    pub(super) async fn run(&self) -> io::Result<Vec<SocketAddr>> {
        let found = timeout(MAX_TIME, self.resolver.resolve(&self.name)).await;
        let addresses = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "no address")),
            false => Ok(addresses),
        }
    }

    /// Logs the first failure, and the first success after one.
    pub(super) fn log(
        &self,
        balance: &Label,
        found: &io::Result<Vec<SocketAddr>>,
        had_failed: &mut bool,
    ) {
        let has_failed = found.is_err();
        if std::mem::replace(had_failed, has_failed) == has_failed {
            return;
        }
        let (balance, name) = (balance.as_str(), self.name.as_str());
        catch_hook(|| match found {
            Err(error) => {
                tracing::warn!(target: "tower_keep::balance", balance, name, %error, "look-up failed: the endpoints stay")
            }
            Ok(_) => {
                tracing::info!(target: "tower_keep::balance", balance, name, "look-up succeeds again")
            }
        });
    }
}
