//! Blocks of neighbouring IP addresses. Whoever has one address of a block often has many, so a bound for each peer alone says
//! nothing.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use libp2p::Multiaddr;

use super::address::{ip_of, is_global};

/// The addresses that share a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Range {
    prefix: IpAddr,
    bits: u8,
}

impl Range {
    /// What one network has: an IPv4 /24, an IPv6 /56, which is what a household gets (RFC 6177).
    pub(crate) fn near(ip: IpAddr) -> Range {
        Range::of(ip, 24, 56)
    }

    /// What one provider's customer can have at most without effort: an IPv4 /16, an IPv6 /48.
    pub(crate) fn wide(ip: IpAddr) -> Range {
        Range::of(ip, 16, 48)
    }

    /// What one customer or one rack has: an IPv4 /24, an IPv6 /48.
    #[cfg(feature = "vpk")]
    pub(crate) fn site(ip: IpAddr) -> Range {
        Range::of(ip, 24, 48)
    }

    fn of(ip: IpAddr, bits_4: u8, bits_6: u8) -> Range {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let mask = u32::MAX << (32 - bits_4);
                Range { prefix: IpAddr::V4((ip.to_bits() & mask).into()), bits: bits_4 }
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX << (128 - bits_6);
                Range { prefix: IpAddr::V6((ip.to_bits() & mask).into()), bits: bits_6 }
            }
        }
    }

    /// The near and the wide range that an address of the internet lies in. All names lie in one, since one name costs as
    /// little as a thousand. None for what only this machine or this network reaches.
    pub(crate) fn of_address(address: &Multiaddr) -> Option<(Range, Range)> {
        match ip_of(address) {
            Some(ip) if !is_global(ip) => None,
            Some(ip) => Some((Range::near(ip), Range::wide(ip))),
            None => {
                let names = Range { prefix: Ipv6Addr::UNSPECIFIED.into(), bits: 0 };
                Some((names, names))
            }
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.prefix, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_in_one_range_and_others_are_not() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let same = |of: fn(IpAddr) -> Range, one: &str, other: &str| of(ip(one)) == of(ip(other));
        assert!(same(Range::near, "8.8.8.1", "8.8.8.254") && !same(Range::near, "8.8.8.1", "8.8.9.1"));
        assert!(same(Range::wide, "8.8.8.1", "8.8.9.1") && !same(Range::wide, "8.8.8.1", "8.9.8.1"));
        assert!(same(Range::near, "2600:1:2:300::1", "2600:1:2:3ff::1"));
        assert!(!same(Range::near, "2600:1:2:300::1", "2600:1:2:400::1"));
        assert!(same(Range::wide, "2600:1:2:300::1", "2600:1:2:400::1"));
        assert!(!same(Range::wide, "2600:1:2::1", "2600:1:3::1"));
        assert!(same(Range::near, "8.8.8.1", "::ffff:8.8.8.9"), "an IPv4 address in IPv6 clothes is no other");
    }

    #[test]
    fn names_share_a_range_and_home_addresses_have_none() {
        let of = |text: &str| Range::of_address(&text.parse().unwrap());
        assert!(of("/ip4/127.0.0.1/tcp/1").is_none() && of("/ip4/192.168.1.5/tcp/1").is_none());
        assert!(of("/dns4/one.example/tcp/1").is_some());
        assert_eq!(of("/dns4/one.example/tcp/1"), of("/dns/two.example/udp/1/quic-v1"));
        assert_ne!(of("/dns4/one.example/tcp/1"), of("/ip4/8.8.8.8/tcp/1"));
    }
}
