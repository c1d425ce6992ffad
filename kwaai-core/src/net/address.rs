//! What an address says: whom it names, through which relay it goes, who could dial it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::{Error, Result};

/// The longest address of a peer that is remembered, in bytes; one through a relay has about 130.
pub(crate) const MAX_ADDRESS: usize = 256;

/// The PeerId at the end of an address.
pub(crate) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// The address with a PeerId at its end.
pub(crate) fn with_peer(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    match peer_of(address) {
        Some(_) => address.clone(),
        None => address.clone().with(Protocol::P2p(peer)),
    }
}

/// The address without a PeerId at its end.
pub(crate) fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if peer_of(&address).is_some() {
        address.pop();
    }
    address
}

/// Whether an address leads through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// The address of a relay through which a peer can be reached, with the relay's PeerId and the circuit at its end.
pub(crate) fn circuit(relay: &Multiaddr, peer: PeerId) -> Multiaddr {
    with_peer(relay, peer).with(Protocol::P2pCircuit)
}

/// Where the other side of a connection is. A peer that came through a relay is named with the whole way to it, so that
/// the address can be dialled.
pub(crate) fn far_end(endpoint: &ConnectedPoint, peer: PeerId) -> Multiaddr {
    match endpoint {
        ConnectedPoint::Listener { local_addr, .. } if is_relayed(local_addr) => {
            let relay: Multiaddr = local_addr.iter().take_while(|part| *part != Protocol::P2pCircuit).collect();
            relay.with(Protocol::P2pCircuit).with(Protocol::P2p(peer))
        }
        _ => endpoint.get_remote_address().clone(),
    }
}

/// Refuses an address for which there is no transport.
pub(crate) fn check_dialable(address: &Multiaddr) -> Result<()> {
    let bare = without_peer(address);
    let parts: Vec<_> = bare.iter().collect();
    let host = |part: &Protocol| {
        use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6};
        matches!(part, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_))
    };
    let direct = |parts: &[Protocol]| match parts {
        [first, Protocol::Tcp(_)] | [first, Protocol::Udp(_), Protocol::QuicV1] => host(first),
        _ => false,
    };
    let dialable = match &parts[..] {
        [Protocol::Dnsaddr(_), ..] => true,
        [relay @ .., Protocol::P2p(_), Protocol::P2pCircuit] => peer_of(address).is_some() && direct(relay),
        parts => direct(parts),
    };
    match dialable {
        true => Ok(()),
        false => {
            Err(Error::invalid_argument(format!("{address} cannot be dialled")).with("address", address).with_remedy(
                "write it like /ip4/192.0.2.1/tcp/8080 or /ip4/192.0.2.1/udp/8080/quic-v1, or, through a relay, like \
                 /ip4/192.0.2.1/tcp/8080/p2p/<relay>/p2p-circuit/p2p/<peer>",
            ))
        }
    }
}

/// The number that an address begins with; of an address through a relay, the relay's.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// The address with another number at its beginning, and another port if one is given.
pub(crate) fn moved(address: &Multiaddr, ip: IpAddr, port: Option<u16>) -> Multiaddr {
    let parts = address.iter().enumerate().map(|(i, part)| match (i, part, port) {
        (0, _, _) => match ip {
            IpAddr::V4(ip) => Protocol::Ip4(ip),
            IpAddr::V6(ip) => Protocol::Ip6(ip),
        },
        (_, Protocol::Tcp(_), Some(port)) => Protocol::Tcp(port),
        (_, Protocol::Udp(_), Some(port)) => Protocol::Udp(port),
        (_, part, _) => part,
    });
    parts.collect()
}

/// Whether a number belongs to one machine of the whole internet, by the registries of special-purpose addresses (RFC
/// 6890 and its updates).
pub(crate) fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_global_4(ip),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or_else(|| is_global_6(ip), is_global_4),
    }
}

fn is_global_4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_global_6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // For examples (RFC 3849, RFC 9637), and with numbers of IPv4 inside: Teredo (RFC 4380) and 6to4 (RFC 3056).
    let special = matches!((a, b), (0x2001, 0 | 0xdb8) | (0x2002, _) | (0x3fff, 0..0x1000));
    (0x2000..0x4000).contains(&a) && !special
}

/// Whether an address that a peer claims is worth remembering, given where the peer was seen: nobody elsewhere can
/// use its loopback address, and nobody on the internet that of its home network.
pub(crate) fn plausible(claimed: &Multiaddr, seen: &Multiaddr) -> bool {
    let (ip, seen) = (ip_of(claimed), ip_of(seen));
    match ip {
        Some(ip) if ip.is_unspecified() => false,
        Some(ip) if ip.is_loopback() => seen.is_some_and(|seen| seen.is_loopback()),
        Some(ip) if !is_global(ip) && seen.is_some_and(is_global) => false,
        _ => claimed.len() <= MAX_ADDRESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_loopback_address_counts_only_on_the_same_machine() {
        let loopback = address("/ip4/127.0.0.1/tcp/1");
        assert!(plausible(&loopback, &address("/ip4/127.0.0.1/tcp/9")));
        assert!(!plausible(&loopback, &address("/ip4/192.0.2.1/tcp/9")));
        assert!(!plausible(&address("/ip4/0.0.0.0/tcp/1"), &loopback));
        assert!(plausible(&address("/dns4/example.org/tcp/1"), &loopback));
    }

    #[test]
    fn a_home_address_counts_only_at_home() {
        let home = address("/ip4/192.168.1.5/tcp/1");
        assert!(plausible(&home, &address("/ip4/192.168.1.9/tcp/9")));
        assert!(!plausible(&home, &address("/ip4/8.8.8.8/tcp/9")));
        let through = address(&format!("/ip4/8.8.8.8/tcp/9/p2p/{RELAY}/p2p-circuit"));
        assert!(!plausible(&home, &through) && plausible(&through, &through));
    }

    #[test]
    fn special_numbers_are_not_global() {
        for ip in [
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fd00::1",
            "2001:db8::1",
            "2001:0:a00:1::1",
            "2002:a00:1::1",
            "3fff:fff::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_global(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "100.128.0.1", "2606:4700::1", "::ffff:1.1.1.1"] {
            assert!(is_global(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn an_address_through_a_relay_names_all_of_the_way() {
        let (relay, peer) = (RELAY.parse::<PeerId>().unwrap(), PeerId::random());
        let through = circuit(&address("/ip4/127.0.0.1/tcp/1"), relay);
        assert_eq!(through.to_string(), format!("/ip4/127.0.0.1/tcp/1/p2p/{RELAY}/p2p-circuit"));
        assert!(check_dialable(&through).is_err(), "it names nobody behind the relay");
        assert!(check_dialable(&with_peer(&through, peer)).is_ok());
        let local = with_peer(&through, PeerId::random());
        let endpoint = ConnectedPoint::Listener { local_addr: local, send_back_addr: Protocol::P2p(peer).into() };
        assert_eq!(far_end(&endpoint, peer), with_peer(&through, peer));
    }

    #[test]
    fn a_moved_address_keeps_its_transport() {
        let moved = |text: &str, port| moved(&address(text), "1.2.3.4".parse().unwrap(), port).to_string();
        assert_eq!(moved("/ip4/10.0.0.1/tcp/5", None), "/ip4/1.2.3.4/tcp/5");
        assert_eq!(moved("/ip4/10.0.0.1/udp/5/quic-v1", Some(9)), "/ip4/1.2.3.4/udp/9/quic-v1");
    }
}
