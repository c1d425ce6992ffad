//! Machines that change their network: connections over numbers that they do not have any more.
//!
//! The system keeps a TCP connection open when the number under it goes away, and says nothing for many minutes. QUIC
//! connections move along, or end by their own silence.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;

use super::address::{ip_of, is_relayed};
use super::driver::Driver;

/// The number of this machine that a direct TCP connection stands on, where that can be known.
pub(crate) fn stands_on(endpoint: &ConnectedPoint) -> Option<IpAddr> {
    let ip = match endpoint {
        ConnectedPoint::Dialer { address, .. } => route_to(over_tcp(address)?),
        ConnectedPoint::Listener { local_addr, send_back_addr } => over_tcp(send_back_addr).and(ip_of(local_addr)),
    };
    ip.filter(|ip| !ip.is_unspecified())
}

fn over_tcp(address: &Multiaddr) -> Option<SocketAddr> {
    let port = address.iter().nth(1).and_then(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    })?;
    Some(SocketAddr::new(ip_of(address)?, port)).filter(|_| !is_relayed(address))
}

/// The number from which the system would send there; nothing is sent.
fn route_to(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether this machine has a number.
fn has(ip: IpAddr) -> bool {
    !UdpSocket::bind((ip, 0)).is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

impl Driver {
    /// Ends the connections over numbers that are gone, and looks for the bootstraps anew if there were any.
    pub(crate) fn leave_lost_addresses(&mut self) {
        let links: Vec<_> = {
            let directory = self.shared.directory();
            let links = directory.peers.values().flat_map(|known| &known.links);
            links.filter_map(|link| Some((link.id, link.stands_on?))).collect()
        };
        let mut numbers: Vec<IpAddr> = links.iter().map(|(_, ip)| *ip).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|ip| !has(*ip));
        if numbers.is_empty() {
            return;
        }
        for (id, _) in links.iter().filter(|(_, ip)| numbers.contains(ip)) {
            self.swarm.close_connection(*id);
        }
        for ip in numbers {
            tracing::info!(%ip, "this machine lost an address, and with it the connections over it");
            self.reach.lost(ip);
        }
        self.dial_bootstraps();
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    #[test]
    fn a_machine_has_its_loopback_and_not_the_numbers_of_a_book() {
        assert!(has("127.0.0.1".parse().unwrap()));
        // RFC 5737: for examples.
        assert!(!has("192.0.2.1".parse().unwrap()));
        assert_eq!(route_to("127.0.0.1:9".parse().unwrap()), Some("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn only_direct_connections_over_tcp_are_known_to_stand_on_a_number() {
        let accepted = |local: &str, remote: &str| ConnectedPoint::Listener {
            local_addr: local.parse().unwrap(),
            send_back_addr: remote.parse().unwrap(),
        };
        let ours = Some("10.0.0.1".parse().unwrap());
        assert_eq!(stands_on(&accepted("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/2")), ours);
        assert_eq!(stands_on(&accepted("/ip4/0.0.0.0/tcp/1", "/ip4/10.0.0.2/tcp/2")), None);
        assert_eq!(stands_on(&accepted("/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/10.0.0.2/udp/2/quic-v1")), None);
        let relayed = format!("/ip4/10.0.0.2/tcp/2/p2p/{}/p2p-circuit", PeerId::random());
        assert_eq!(stands_on(&accepted("/ip4/10.0.0.1/tcp/1", &relayed)), None);
    }
}
