//! The addresses that a channel may connect to: whoever chooses its URL must not reach what only this process can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a channel may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressPolicy {
    /// Addresses of the internet.
    Public,
    /// Addresses of this machine only: the URL names it.
    Loopback,
    /// Addresses of the internet, of private networks, and of this machine.
    Private,
}

/// The network that an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Public,
    Private,
    Loopback,
    /// Link-local ones, where clouds serve credentials, and all that is no peer: multicast, reserved, unspecified.
    Special,
}

impl AddressPolicy {
    /// Checks an address. The error says what it is.
    pub(super) fn check(self, address: IpAddr) -> Result<(), &'static str> {
        match (self, scope(address)) {
            (_, Scope::Special) => Err("a link-local or reserved address"),
            (AddressPolicy::Loopback, Scope::Loopback) | (AddressPolicy::Private, _) => Ok(()),
            (AddressPolicy::Loopback, _) => Err("not a loopback address"),
            (AddressPolicy::Public, Scope::Public) => Ok(()),
            (AddressPolicy::Public, Scope::Loopback) => Err("a loopback address"),
            (AddressPolicy::Public, Scope::Private) => Err("a private address"),
        }
    }
}

fn scope(address: IpAddr) -> Scope {
    match address {
        IpAddr::V4(address) => scope_v4(address),
        IpAddr::V6(address) => scope_v6(address),
    }
}

fn scope_v4(address: Ipv4Addr) -> Scope {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Scope::Loopback,
        // The metadata of Alibaba Cloud, in the range that providers share.
        (100, 100, 100) => Scope::Special,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Scope::Private,
        // This network, link-local, protocol assignments, documentation, benchmarks, multicast, reserved, broadcast.
        (0, ..) | (169, 254, _) | (192, 0, 0 | 2) | (192, 88, 99) => Scope::Special,
        (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) | (224.., ..) => Scope::Special,
        _ => Scope::Public,
    }
}

fn scope_v6(address: Ipv6Addr) -> Scope {
    if address == Ipv6Addr::LOCALHOST {
        return Scope::Loopback;
    }
    if let Some(inner) = embedded_v4(address) {
        return scope_v4(inner);
    }
    match address.segments() {
        // The metadata of AWS, in the range of unique local addresses.
        [0xfd00, 0x0ec2, ..] => Scope::Special,
        [0xfc00..=0xfdff, ..] => Scope::Private,
        // Protocol assignments with Teredo, and documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, ..] => Scope::Special,
        [0x2000..=0x3fff, ..] => Scope::Public,
        // Unspecified, local NAT64, link-local, site-local, multicast, and all that is not assigned.
        _ => Scope::Special,
    }
}

/// Returns the IPv4 address in an IPv6 one by which the former is reached: mapped, compatible, NAT64, 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => from(high, low),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => from(high, low),
        [0x2002, high, low, ..] => from(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: AddressPolicy, address: &str) -> bool {
        policy.check(address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn address_policy_public_refuses_all_that_is_not_of_the_internet() {
        for address in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(check(AddressPolicy::Public, address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd12::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "4000::1",
        ] {
            assert!(!check(AddressPolicy::Public, address), "{address}");
        }
    }

    #[test]
    fn address_policy_private_still_refuses_metadata() {
        for address in [
            "10.0.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "::1",
            "fd12::1",
            "1.1.1.1",
            "::ffff:10.0.0.1",
        ] {
            assert!(check(AddressPolicy::Private, address), "{address}");
        }
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(!check(AddressPolicy::Private, address), "{address}");
        }
    }

    #[test]
    fn address_policy_loopback_has_this_machine_only() {
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("1.1.1.1", false),
        ] {
            assert_eq!(
                check(AddressPolicy::Loopback, address),
                allowed,
                "{address}"
            );
        }
    }
}
