//! How many connections may come from one range of addresses.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::Limits;
use crate::net::address::{ip_of, is_global, is_relayed};
use crate::net::range::Range;

/// Refuses incoming connections from a range of addresses that has its share. One through a relay counts at the relay.
pub(crate) struct Ranges {
    near: u32,
    wide: u32,
    local: u32,
    held: HashMap<Range, u32>,
    connections: HashMap<ConnectionId, Vec<Range>>,
}

/// A range has as many connections as it may.
#[derive(Debug)]
struct Crowded(u32);

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection limit exceeded: at most {} incoming from this range of addresses are allowed", self.0)
    }
}

impl std::error::Error for Crowded {}

impl Ranges {
    pub(crate) fn new(limits: &Limits) -> Ranges {
        Ranges {
            near: limits.max_incoming_per_range,
            wide: limits.max_incoming_per_wide_range,
            local: limits.max_incoming_per_local_range,
            held: HashMap::new(),
            connections: HashMap::new(),
        }
    }

    fn end(&mut self, id: ConnectionId) {
        for range in self.connections.remove(&id).unwrap_or_default() {
            if let Some(held) = self.held.get_mut(&range) {
                *held -= 1;
                if *held == 0 {
                    self.held.remove(&range);
                }
            }
        }
    }
}

impl NetworkBehaviour for Ranges {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(ip) = ip_of(remote).filter(|_| !is_relayed(local)) else { return Ok(()) };
        let bounds = match is_global(ip) {
            true => vec![(Range::near(ip), self.near), (Range::wide(ip), self.wide)],
            false => vec![(Range::near(ip), self.local)],
        };
        for (range, limit) in &bounds {
            if self.held.get(range).copied().unwrap_or(0) >= *limit {
                return Err(ConnectionDenied::new(Crowded(*limit)));
            }
        }
        let ranges: Vec<_> = bounds.into_iter().map(|(range, _)| range).collect();
        for range in &ranges {
            *self.held.entry(*range).or_default() += 1;
        }
        self.connections.insert(id, ranges);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => self.end(connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use libp2p::swarm::ListenError;

    use super::*;

    struct Door(Ranges, usize);

    impl Door {
        fn new(near: u32, wide: u32) -> Door {
            let limits =
                Limits { max_incoming_per_range: near, max_incoming_per_wide_range: wide, ..Limits::default() };
            Door(Ranges::new(&limits), 0)
        }

        /// Lets a connection in, if it may.
        fn knock(&mut self, ip: &str) -> Option<ConnectionId> {
            let kind = if ip.contains(':') { "ip6" } else { "ip4" };
            self.1 += 1;
            let id = ConnectionId::new_unchecked(self.1);
            let remote = format!("/{kind}/{ip}/tcp/{}", self.1).parse().unwrap();
            let local = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
            self.0.handle_pending_inbound_connection(id, &local, &remote).is_ok().then_some(id)
        }

        fn fail(&mut self, id: ConnectionId) {
            let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
            let error = ListenError::Aborted;
            self.0.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
                local_addr: &address,
                send_back_addr: &address,
                error: &error,
                connection_id: id,
                peer_id: None,
            }));
        }
    }

    #[test]
    fn a_range_gets_its_share_and_no_more_and_gives_it_back() {
        let mut door = Door::new(2, 3);
        let first = door.knock("8.8.8.1").unwrap();
        assert!(door.knock("8.8.8.2").is_some());
        assert!(door.knock("8.8.8.3").is_none(), "the near range is full");
        assert!(door.knock("8.8.9.1").is_some());
        assert!(door.knock("8.8.10.1").is_none(), "the wide range is full");
        assert!(door.knock("8.9.8.1").is_some() && door.knock("::ffff:8.8.8.4").is_none());
        door.fail(first);
        assert!(door.knock("8.8.10.1").is_some() && door.knock("8.8.8.1").is_none());
    }

    #[test]
    fn the_households_of_one_provider_share_a_wide_range() {
        let mut door = Door::new(2, 3);
        assert!(door.knock("2600:1:2:300::1").is_some() && door.knock("2600:1:2:3ff::1").is_some());
        assert!(door.knock("2600:1:2:311::1").is_none());
        assert!(door.knock("2600:1:2:400::1").is_some() && door.knock("2600:1:2:500::1").is_none());
        assert!(door.knock("2600:1:3::1").is_some());
    }

    #[test]
    fn a_home_network_and_a_relay_are_not_bounded_unless_told_so() {
        let mut door = Door::new(1, 1);
        for ip in ["127.0.0.1", "192.168.1.5", "10.0.0.1", "fe80::1", "::1"] {
            assert!((0..500).all(|_| door.knock(ip).is_some()), "{ip}");
        }
        let relay = "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit";
        let (local, remote) = (relay.parse().unwrap(), Multiaddr::empty().with_p2p(PeerId::random()).unwrap());
        for id in 9000..9100 {
            let id = ConnectionId::new_unchecked(id);
            assert!(door.0.handle_pending_inbound_connection(id, &local, &remote).is_ok());
        }
        door.0.local = 2;
        assert!(door.knock("192.168.7.1").is_some() && door.knock("192.168.7.2").is_some());
        assert!(door.knock("192.168.7.3").is_none() && door.knock("192.168.8.1").is_some());
        assert!(Door::new(0, 1).knock("8.8.8.8").is_none(), "none is none");
    }
}
