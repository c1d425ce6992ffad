//! Asking peers to dial this node, and dialling those that ask: AutoNAT, version 2 and, for peers of other software,
//! version 1.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::autonat::{v1, v2};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewExternalAddrCandidate, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, upnp};
use tokio::time::Instant;

use super::address::{ip_of, is_global, is_relayed};
use super::driver::Driver;

/// How often new addresses are brought to a peer.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// When version 1 begins; version 2 may have the answer by then.
const V1_DELAY: Duration = Duration::from_secs(5);

#[derive(NetworkBehaviour)]
pub(crate) struct Autonat {
    client: Toggle<v2::client::Behaviour>,
    server: Guarded,
    v1: Toggle<v1::Behaviour>,
}

impl Autonat {
    /// Answers others in any case; asks them only if `asks`.
    pub(crate) fn new(local: PeerId, asks: bool) -> Autonat {
        let config = v2::client::Config::default().with_probe_interval(PROBE_INTERVAL);
        let first = v1::Config { boot_delay: V1_DELAY, ..v1::Config::default() };
        Autonat {
            client: asks.then(|| v2::client::Behaviour::new(rand::make_rng(), config)).into(),
            server: Guarded { inner: v2::server::Behaviour::default(), seen: HashMap::new(), dials: HashSet::new() },
            v1: asks.then(|| v1::Behaviour::new(local, first)).into(),
        }
    }
}

/// The server of version 2, which dials no address of another machine's home network: without this a peer could have it
/// knock at any door behind its router.
pub(crate) struct Guarded {
    inner: v2::server::Behaviour,
    /// Where peers are connected from.
    seen: HashMap<PeerId, HashMap<ConnectionId, IpAddr>>,
    /// Dials that a peer asked for.
    dials: HashSet<ConnectionId>,
}

impl Guarded {
    fn may_dial(&self, peer: Option<PeerId>, address: &Multiaddr) -> bool {
        let Some(ip) = ip_of(address).filter(|_| !is_relayed(address)) else { return false };
        let seen = peer.and_then(|peer| self.seen.get(&peer));
        is_global(ip) || seen.is_some_and(|seen| seen.values().any(|seen| *seen == ip))
    }
}

impl NetworkBehaviour for Guarded {
    type ConnectionHandler = THandler<v2::server::Behaviour>;
    type ToSwarm = v2::server::Event;

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match self.dials.remove(&id) && !addresses.iter().all(|address| self.may_dial(peer, address)) {
            true => Err(ConnectionDenied::new(std::io::Error::from(std::io::ErrorKind::PermissionDenied))),
            false => Ok(Vec::new()),
        }
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match &event {
            FromSwarm::ConnectionEstablished(made) if !made.endpoint.is_relayed() => {
                if let Some(ip) = ip_of(made.endpoint.get_remote_address()) {
                    self.seen.entry(made.peer_id).or_default().insert(made.connection_id, ip);
                }
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(seen) = self.seen.get_mut(&closed.peer_id) {
                    seen.remove(&closed.connection_id);
                    if seen.is_empty() {
                        self.seen.remove(&closed.peer_id);
                    }
                }
            }
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let polled = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::Dial { opts }) = &polled {
            self.dials.insert(opts.connection_id());
        }
        polled
    }
}

impl Driver {
    /// A peer says where it sees this node, which is where others may be able to dial it. The port counts only where this
    /// node listens on it, as far as can be known: `own_port`.
    pub(crate) fn seen_at(&mut self, peer: PeerId, observed: &Multiaddr, own_port: bool) {
        if is_relayed(observed) {
            return;
        }
        self.reach.observed(peer, observed, Instant::now());
        for address in self.reach.behind(observed, own_port) {
            let behaviour = self.swarm.behaviour_mut();
            let candidate = NewExternalAddrCandidate { addr: &address };
            // Identify does not bring up what is announced already, and what is announced may still be wrong.
            behaviour.dcutr.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
            if let Some(client) = behaviour.autonat.as_mut().and_then(|autonat| autonat.client.as_mut()) {
                client.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
            }
        }
        self.judge();
    }

    pub(crate) fn on_autonat(&mut self, event: AutonatEvent) {
        match event {
            AutonatEvent::Client(v2::client::Event { tested_addr, result: Ok(()), .. }) => {
                self.reach.reached(&tested_addr);
            }
            AutonatEvent::Client(v2::client::Event { tested_addr, .. }) => self.reach.missed(&tested_addr),
            AutonatEvent::V1(v1::Event::StatusChanged { new, .. }) => match new {
                v1::NatStatus::Public(address) => self.reach.reached(&address),
                v1::NatStatus::Private => self.reach.missed_by_v1(),
                v1::NatStatus::Unknown => {}
            },
            AutonatEvent::V1(_) | AutonatEvent::Server(_) => return,
        }
        self.judge();
    }

    pub(crate) fn on_upnp(&mut self, event: upnp::Event) {
        match event {
            upnp::Event::NewExternalAddr { external_addr, .. } => self.reach.mapped(external_addr),
            upnp::Event::ExpiredExternalAddr { external_addr, .. } => self.reach.unmapped(&external_addr),
            upnp::Event::GatewayNotFound => tracing::debug!("no router answers UPnP"),
            upnp::Event::NonRoutableGateway => tracing::debug!("the router itself is behind another one"),
        }
        self.judge();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_have_doors_of_other_homes_knocked_at() {
        let (peer, id) = (PeerId::random(), ConnectionId::new_unchecked(1));
        let seen = HashMap::from([(peer, HashMap::from([(id, "192.168.1.7".parse().unwrap())]))]);
        let guarded = Guarded { inner: v2::server::Behaviour::default(), seen, dials: HashSet::new() };
        let may = |text: &str| guarded.may_dial(Some(peer), &text.parse().unwrap());
        assert!(may("/ip4/192.168.1.7/tcp/1") && may("/ip4/8.8.8.8/tcp/1"));
        for text in ["/ip4/192.168.1.1/tcp/80", "/ip4/127.0.0.1/tcp/80", "/ip6/::1/tcp/80", "/dns4/localhost/tcp/80"] {
            assert!(!may(text), "{text}");
        }
        assert!(!may(&format!("/ip4/8.8.8.8/tcp/1/p2p/{peer}/p2p-circuit")));
        assert!(!guarded.may_dial(None, &"/ip4/192.168.1.7/tcp/1".parse().unwrap()));
    }
}
