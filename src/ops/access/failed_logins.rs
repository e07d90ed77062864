use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tokio::time::Instant;

/// The time for which failed logins are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// The most addresses that are counted, and those that are reported, each on its own.
const MAX_ADDRESSES: usize = 64;
const MAX_REPORTED: usize = 3;

/// The failed logins since the last report, by address: a flood of them, from wherever, makes a few lines a minute.
#[derive(Debug, Default)]
pub(in crate::ops) struct FailedLogins {
    /// The time of the first of them.
    since: Option<Instant>,
    by_source: BTreeMap<LoginSource, u64>,
    /// The number of those from addresses beyond the limit.
    others: u64,
}

/// The failed logins from one address, or from all that have no line of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct FailedLoginCount {
    /// `None` for several addresses together.
    pub(in crate::ops) source: Option<LoginSource>,
    pub(in crate::ops) count: u64,
    /// The time since the first of all these.
    pub(in crate::ops) age: Duration,
}

/// The origin of a login: an IPv4 address, or the network of an IPv6 address, since one host has all addresses of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ops) enum LoginSource {
    Address(IpAddr),
    /// The server does not say where its connections come from.
    Unknown,
}

impl FailedLogins {
    pub(in crate::ops) fn count(&mut self, address: Option<IpAddr>, now: Instant) {
        self.since.get_or_insert(now);
        let source = LoginSource::new(address);
        if self.by_source.len() < MAX_ADDRESSES || self.by_source.contains_key(&source) {
            *self.by_source.entry(source).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// Returns the counts a minute after the first login that failed, those of the busiest addresses first.
    pub(in crate::ops) fn take_due(&mut self, now: Instant) -> Vec<FailedLoginCount> {
        match self.since {
            Some(since) if now.saturating_duration_since(since) >= WINDOW => self.take(now),
            _ => Vec::new(),
        }
    }

    /// Returns the counts until now.
    pub(in crate::ops) fn take(&mut self, now: Instant) -> Vec<FailedLoginCount> {
        let FailedLogins {
            by_source,
            others,
            since,
        } = std::mem::take(self);
        let age = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let counts = by_source
            .into_iter()
            .map(|(source, count)| FailedLoginCount {
                source: Some(source),
                count,
                age,
            });
        let mut counts: Vec<_> = counts.collect();
        counts.sort_by_key(|each| std::cmp::Reverse(each.count));
        let rest = counts.split_off(counts.len().min(MAX_REPORTED));
        let count = others + rest.iter().map(|each| each.count).sum::<u64>();
        let others = (count > 0).then_some(FailedLoginCount {
            source: None,
            count,
            age,
        });
        counts.extend(others);
        counts
    }
}

impl LoginSource {
    fn new(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => LoginSource::Unknown,
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                LoginSource::Address(Ipv6Addr::from_bits(network).into())
            }
            Some(address) => LoginSource::Address(address),
        }
    }
}

impl fmt::Display for LoginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginSource::Address(IpAddr::V6(network)) => write!(f, "{network}/64"),
            LoginSource::Address(address) => address.fmt(f),
            LoginSource::Unknown => f.write_str("an unknown address"),
        }
    }
}

impl fmt::Display for FailedLoginCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str("1 wrong token or login from ")?,
            count => write!(f, "{count} wrong tokens or logins from ")?,
        }
        match self.source {
            Some(source) => source.fmt(f),
            None => f.write_str("other addresses"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(counts: &[FailedLoginCount]) -> Vec<String> {
        counts.iter().map(ToString::to_string).collect()
    }

    fn v4(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    #[test]
    fn failed_logins_of_a_minute_are_counted_by_address() {
        let now = Instant::now();
        let mut failed = FailedLogins::default();
        failed.count(v4(0x0102_0304), now);
        for address in [
            "2001:db8::1",
            "2001:db8::ffff:1",
            "::ffff:1.2.3.4",
            "9.9.9.9",
        ] {
            failed.count(Some(address.parse().expect("an address")), now + WINDOW / 2);
        }
        failed.count(None, now + WINDOW / 2);
        let early = now + WINDOW - Duration::from_nanos(1);
        assert_eq!(failed.take_due(early), []);
        let expected = [
            "2 wrong tokens or logins from 1.2.3.4",
            "2 wrong tokens or logins from 2001:db8::/64",
            "1 wrong token or login from 9.9.9.9",
            "1 wrong token or login from other addresses",
        ];
        let counts = failed.take_due(now + WINDOW);
        assert_eq!(texts(&counts), expected);
        assert!(counts.iter().all(|each| each.age == WINDOW));
        assert_eq!(failed.take_due(now + 2 * WINDOW), []);
        failed.count(None, now + 2 * WINDOW);
        assert_eq!(failed.take_due(now + 2 * WINDOW), [], "a minute of its own");
        let unknown = ["1 wrong token or login from an unknown address"];
        assert_eq!(texts(&failed.take(now + 2 * WINDOW)), unknown);
    }

    #[test]
    fn flood_of_failed_logins_is_bounded_and_counted() {
        let now = Instant::now();
        let mut failed = FailedLogins::default();
        for n in 0..100_000 {
            failed.count(v4(n % 1_000), now);
        }
        assert_eq!(failed.by_source.len(), MAX_ADDRESSES);
        let counts = failed.take_due(now + WINDOW);
        assert_eq!(counts.len(), MAX_REPORTED + 1);
        let sum: u64 = counts.iter().map(|each| each.count).sum();
        assert_eq!(sum, 100_000);
    }
}
