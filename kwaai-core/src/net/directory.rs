//! Who is connected, as the driver keeps it and callers read it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, identify, relay};

use super::address::{far_end, is_relayed, peer_of, plausible};
use super::dial::Bootstrap;
use super::driver::{Driver, Kind};
use super::events::{ConnectedPeer, Direction, NetworkEvent};
use super::reach::Reachability;
use super::relay::Refusal;
use super::roaming::stands_on;
use super::swarm::KAD_PROTOCOL;
use super::wire::shown;
use super::{hivemind, rpc};

/// The longest agent text that is kept, in characters.
const MAX_AGENT: usize = 128;
/// The most addresses that one peer may claim.
const MAX_CLAIMED: usize = 16;

/// One connection.
pub(crate) struct Link {
    pub id: ConnectionId,
    pub address: Multiaddr,
    pub direction: Direction,
    /// The number of this machine under it, where that matters and is known.
    pub stands_on: Option<IpAddr>,
    /// Whether this end has a port that is listened on.
    pub own_port: bool,
    /// Whether a lookup alone opened it.
    pub spare: bool,
}

/// What is known of a connected peer.
#[derive(Default)]
pub(crate) struct Known {
    pub links: Vec<Link>,
    pub rtt: Option<Duration>,
    pub agent: String,
    pub listens: Vec<Multiaddr>,
    /// Where it was dialled from here, once it said what it speaks and that is of use.
    pub reached: Option<Multiaddr>,
    /// Whether it said who it is, or could not be brought to say it.
    pub described: bool,
    /// Whether it said what it speaks, and none of that is ours.
    pub foreign: bool,
    /// Whether it offers itself as a relay.
    pub relays: bool,
    pub bootstrap: bool,
    pub trusted_relay: bool,
}

impl Known {
    /// Where it was dialled from here.
    pub(crate) fn dialled(&self) -> impl Iterator<Item = Multiaddr> {
        let outbound = self.links.iter().filter(|link| link.direction == Direction::Outbound);
        outbound.map(|link| link.address.clone())
    }

    /// Whether it is connected through a relay, so that a connection to itself spares that one's.
    fn is_relayed(&self) -> bool {
        self.links.iter().any(|link| is_relayed(&link.address))
    }

    /// The far end of a connection that leads to the peer itself.
    pub(crate) fn direct(&self) -> Option<Multiaddr> {
        self.links.iter().map(|link| &link.address).find(|address| !is_relayed(address)).cloned()
    }
}

/// Who is connected and where this node listens; the driver writes it, callers read it.
#[derive(Default)]
pub(crate) struct Directory {
    pub peers: BTreeMap<PeerId, Known>,
    /// What this node listens on itself.
    pub listening: Vec<Multiaddr>,
    /// What it tells others of that, or in its place.
    pub announced: Vec<Multiaddr>,
    /// Addresses through relays.
    pub circuits: Vec<Multiaddr>,
    pub reachability: Reachability,
    /// Whether nobody can dial this node because its owner wants it so.
    pub private_by_choice: bool,
    /// Relays that gave nothing when they were asked last.
    pub refusals: Vec<(PeerId, Refusal)>,
    /// Reservations and circuits that this node gives as a relay, if it is one.
    pub relaying: Option<(usize, usize)>,
}

impl Directory {
    /// Addresses at which this node can be dialled, sorted.
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        let mut addresses = [&self.announced[..], &self.circuits[..]].concat();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// The last measured round trip to a peer.
    pub(crate) fn round_trip(&self, peer: PeerId) -> Option<Duration> {
        self.peers.get(&peer)?.rtt
    }

    pub(crate) fn connected(&self) -> Vec<ConnectedPeer> {
        let peers = self.peers.iter().filter_map(|(peer, known)| {
            let mut addresses: Vec<_> = known.links.iter().map(|link| link.address.clone()).collect();
            addresses.sort();
            addresses.dedup();
            Some(ConnectedPeer {
                peer: *peer,
                addresses,
                rtt_ms: known.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
                agent: known.agent.clone(),
                direction: known.links.first()?.direction,
                relayed: known.direct().is_none(),
                bootstrap: known.bootstrap,
                trusted_relay: known.trusted_relay,
            })
        });
        peers.collect()
    }
}

impl Driver {
    pub(crate) fn connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let direction = if endpoint.is_dialer() { Direction::Outbound } else { Direction::Inbound };
        let address = far_end(endpoint, peer);
        self.shared.meter.opened[direction as usize].fetch_add(1, Ordering::Relaxed);
        let of_peer = |bootstrap: &Bootstrap| {
            bootstrap.dial == Some(id) || bootstrap.peer.or_else(|| peer_of(&bootstrap.address)) == Some(peer)
        };
        let bootstrap = self.bootstrap.iter().any(of_peer);
        let remembered = self.peer_cache.as_mut().is_some_and(|remembered| remembered.dialled(id));
        let for_the_app = |(kind, _): &(Kind, _)| !matches!(kind, Kind::Hivemind(_));
        let reaching = self.reaching.get(&peer).is_some_and(|reaching| reaching.waiting.iter().any(for_the_app));
        let asked = self.dials.contains_key(&id) || reaching || remembered;
        let (first, spare) = {
            let mut directory = self.shared.directory();
            let known = directory.peers.entry(peer).or_default();
            known.bootstrap |= bootstrap;
            known.trusted_relay = self.reservations.is_trusted(peer);
            let wanted = asked || known.bootstrap || known.trusted_relay || known.is_relayed();
            let spare = direction == Direction::Outbound && !wanted;
            let stands_on = stands_on(endpoint);
            let own_port = !matches!(endpoint, ConnectedPoint::Dialer { port_use: PortUse::New, .. });
            known.links.push(Link { id, address: address.clone(), direction, stands_on, own_port, spare });
            (known.links.len() == 1, spare)
        };
        if remembered {
            self.recall();
        }
        if first {
            self.shared.events.send(NetworkEvent::PeerConnected { peer, address, direction });
        }
        if let Some(done) = self.dials.remove(&id) {
            let _ = done.send(Ok(peer));
        }
        for bootstrap in self.bootstrap.iter_mut().filter(|bootstrap| bootstrap.dial == Some(id)) {
            bootstrap.dial = None;
            bootstrap.peer = Some(peer);
        }
        if let Some(reaching) = self.reaching.remove(&peer) {
            for (kind, opened) in reaching.waiting {
                self.open_connected(peer, kind, opened);
            }
            self.stop_looking_for(peer);
            for done in reaching.asking {
                self.find_peer(peer, done);
            }
        }
        if spare {
            self.release_spares();
        }
    }

    pub(crate) fn disconnected(&mut self, peer: PeerId, id: ConnectionId) {
        let gone = {
            let mut directory = self.shared.directory();
            let Some(known) = directory.peers.get_mut(&peer) else { return };
            known.links.retain(|link| link.id != id);
            let gone = known.links.is_empty();
            if gone {
                directory.peers.remove(&peer);
            }
            gone
        };
        if gone {
            self.reach.gone(peer);
            self.tell_whereabouts(peer);
            self.shared.events.send(NetworkEvent::PeerDisconnected { peer });
            for done in self.leaving.remove(&peer).unwrap_or_default() {
                let _ = done.send(Ok(()));
            }
        } else {
            self.swarm.behaviour_mut().answers_lost(peer, id);
        }
    }

    /// Goes on without what a peer would not say about itself.
    pub(crate) fn undescribed(&mut self, peer: PeerId) {
        if let Some(known) = self.shared.directory().peers.get_mut(&peer) {
            known.described = true;
        }
        self.tell_whereabouts(peer);
    }

    pub(crate) fn identified(&mut self, peer: PeerId, id: ConnectionId, info: identify::Info) {
        let own_port = {
            let directory = self.shared.directory();
            let mut links = directory.peers.get(&peer).into_iter().flat_map(|known| &known.links);
            links.any(|link| link.id == id && link.own_port)
        };
        self.seen_at(peer, &info.observed_addr, own_port);
        let agent = shown(&info.agent_version, MAX_AGENT);
        let speaks = |ours: &&str| info.protocols.iter().any(|protocol| protocol.as_ref() == *ours);
        let listens = {
            let mut directory = self.shared.directory();
            let Some(known) = directory.peers.get_mut(&peer) else { return };
            let Known { links, .. } = &*known;
            let seen = links.iter().map(|link| link.address.clone()).collect::<Vec<_>>();
            let mut listens: Vec<_> = info
                .listen_addrs
                .into_iter()
                .take(MAX_CLAIMED)
                .filter(|claimed| seen.iter().any(|seen| plausible(claimed, seen)))
                .collect();
            listens.sort();
            listens.dedup();
            known.described = true;
            known.agent = agent.clone();
            known.listens = listens.clone();
            known.foreign = ![rpc::PROTOCOL, KAD_PROTOCOL.as_ref()].iter().any(speaks)
                && !hivemind::speaks_hivemind(&info.protocols);
            known.relays = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
            if !known.foreign || known.bootstrap || known.trusted_relay {
                let reached = known.dialled().find(|address| !is_relayed(address));
                known.reached = reached;
            }
            listens
        };
        if let Some(dht) = self.hivemind.clone()
            && hivemind::speaks_hivemind(&info.protocols)
        {
            if let Some(behaviour) = self.swarm.behaviour_mut().hivemind.as_mut() {
                for address in &listens {
                    behaviour.kad.add_address(&peer, address.clone());
                }
            }
            dht.met(peer);
            self.settle();
        }
        // Only peers of our own DHT belong into its routing table.
        if info.protocols.contains(&KAD_PROTOCOL) {
            self.routing.met(&mut self.swarm.behaviour_mut().kad, peer, listens);
        }
        self.shared.events.send(NetworkEvent::PeerIdentified { peer, agent });
    }
}
