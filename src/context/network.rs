use std::net::IpAddr;

use crate::call::ConfigError;

const NETWORK: &str = "an address or a network such as \"10.0.0.0/8\" or \"fd00::/8\"";

/// A network in CIDR notation, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Parses the networks of a setting.
    pub(super) fn parse_all<N: AsRef<str>>(
        component: &str,
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Box<[Network]>, ConfigError> {
        let parse = |text: N| Network::parse(component, text.as_ref());
        networks.into_iter().map(parse).collect()
    }

    fn parse(component: &str, text: &str) -> Result<Self, ConfigError> {
        let invalid = |expected: String| {
            ConfigError::new(component, "networks", format!("{text:?}"), expected)
        };
        let parsed = Network::parse_parts(text).ok_or_else(|| invalid(NETWORK.to_owned()))?;
        let network = parsed.canonical();
        // More likely a wrong prefix than the network around the address.
        match network.masked() == network.address {
            true => Ok(network),
            false => {
                let (masked, prefix) = (network.masked(), network.prefix);
                Err(invalid(format!(
                    "without bits after the prefix (did you mean {masked}/{prefix}?)"
                )))
            }
        }
    }

    fn parse_parts(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let max = max_prefix(address);
        let prefix = match prefix {
            // Not a sign, which `parse` accepts.
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                prefix.parse().ok()?
            }
            Some(_) => return None,
            None => max,
        };
        (prefix <= max).then_some(Network { address, prefix })
    }

    /// Returns the IPv4 network, if this is one of IPv4-mapped addresses: addresses are compared in that form.
    fn canonical(self) -> Self {
        match (self.address.to_canonical(), self.prefix.checked_sub(96)) {
            (address @ IpAddr::V4(_), Some(prefix)) if self.address.is_ipv6() => {
                Network { address, prefix }
            }
            _ => self,
        }
    }

    fn masked(self) -> IpAddr {
        // A shift by the whole width is for no prefix.
        let host_bits = max_prefix(self.address) - self.prefix;
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        }
    }

    /// Returns whether an address, in canonical form, is in the network.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        let same_family = self.address.is_ipv4() == address.is_ipv4();
        let network = Network { address, ..self };
        same_family && network.masked() == self.address
    }
}

/// Returns whether an address, in whatever form, is in one of the networks.
pub(super) fn any_contains(networks: &[Network], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(address))
}

fn max_prefix(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let networks = Network::parse_all("test", [network]).expect("a network");
        any_contains(&networks, address.parse().expect("an address"))
    }

    #[test]
    fn network_contains_addresses_of_its_prefix_and_family() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.168.1.128/25", "192.168.1.200", "192.168.1.127"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "::1", "127.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn network_that_is_malformed_is_named() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "example.org",
        ] {
            let error = Network::parse_all("trust", [text]).unwrap_err();
            assert_eq!(error.field(), "networks");
            assert_eq!(
                error.to_string(),
                format!("trust: networks is {text:?}, must be {NETWORK}")
            );
        }
        let error = Network::parse_all("trust", ["10.1.2.3/8"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "trust: networks is \"10.1.2.3/8\", must be without bits after the prefix (did you mean 10.0.0.0/8?)"
        );
    }
}
