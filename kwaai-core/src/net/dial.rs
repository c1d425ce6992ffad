//! Reaching peers: at an address that was given, at those of the bootstraps, or at what the DHT knows.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};

use super::address::peer_of;
use super::cache::Remembered;
use super::dht::{Query, nowhere};
use super::dispatch::closed;
use super::driver::{Answer, Driver, Kind};
use super::substream::Opened;
use crate::Error;

/// In an error's context: nothing came from any address, not even a refusal.
pub(crate) const SILENT: &str = "silent";

/// A peer that somebody waits for.
#[derive(Default)]
pub(crate) struct Reaching {
    pub waiting: Vec<(Kind, Opened)>,
    /// Those who want to know where it is.
    pub asking: Vec<Answer<Vec<Multiaddr>>>,
    pub begun: bool,
    pub looked_up: bool,
    pub gateway_asked: bool,
}

/// An address given to begin with, and who was found there.
pub(crate) struct Bootstrap {
    pub address: Multiaddr,
    pub peer: Option<PeerId>,
    pub dial: Option<ConnectionId>,
}

impl Driver {
    pub(crate) fn connect(&mut self, address: Multiaddr, done: Answer<PeerId>) {
        let peer = peer_of(&address);
        if peer == Some(self.shared.local) {
            let _ = done.send(Err(dial_error(&DialError::LocalPeerId { address })));
            return;
        }
        if let Some(peer) = peer.filter(|peer| self.swarm.is_connected(peer)) {
            self.hold(peer);
            let _ = done.send(Ok(peer));
            return;
        }
        let (opts, id) = dial_opts(address, peer);
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.dials.insert(id, done);
            }
            Err(error) => {
                let _ = done.send(Err(dial_error(&error)));
            }
        }
    }

    pub(crate) fn dial_bootstraps(&mut self) {
        for i in 0..self.bootstrap.len() {
            let Bootstrap { address, peer, dial } = &self.bootstrap[i];
            let known = peer.or_else(|| peer_of(address));
            let connected = known.is_some_and(|peer| self.swarm.is_connected(&peer) || peer == self.shared.local);
            if connected || dial.is_some() {
                continue;
            }
            let (opts, id) = dial_opts(address.clone(), known);
            match self.swarm.dial(opts) {
                Ok(()) => self.bootstrap[i].dial = Some(id),
                Err(error) => tracing::warn!(%address, %error, "a bootstrap cannot be dialled"),
            }
        }
    }

    pub(crate) fn open(&mut self, peer: PeerId, kind: Kind, opened: Opened) {
        if self.swarm.is_connected(&peer) {
            return self.open_connected(peer, kind, opened);
        }
        self.reach_for(peer).waiting.push((kind, opened));
        self.begin_to_reach(peer);
    }

    pub(crate) fn reach_for(&mut self, peer: PeerId) -> &mut Reaching {
        self.reaching.entry(peer).or_default()
    }

    /// Dials a peer that somebody waits for where it is thought to be, unless that is done already.
    pub(crate) fn begin_to_reach(&mut self, peer: PeerId) {
        if std::mem::replace(&mut self.reach_for(peer).begun, true) {
            return;
        }
        let opts = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing).build();
        match self.swarm.dial(opts) {
            // Somebody else dials already, and that attempt's end is reported as well.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.not_reached(peer, &error),
        }
    }

    pub(crate) fn open_connected(&mut self, peer: PeerId, kind: Kind, opened: Opened) {
        let behaviour = self.swarm.behaviour_mut();
        match kind {
            Kind::Call => behaviour.rpc.open(peer, opened),
            Kind::Raw => behaviour.streams.open(peer, opened),
            Kind::Hivemind(method) => match behaviour.hivemind.as_mut() {
                Some(hivemind) => hivemind.open(peer, method, opened),
                None => drop(opened.send(Err(Error::unsupported("this node takes no part in hivemind's DHT")))),
            },
        }
    }

    /// After a failed dial: asks the DHT once for other addresses, then gives up.
    fn not_reached(&mut self, peer: PeerId, error: &DialError) {
        let Some(reaching) = self.reaching.get_mut(&peer) else { return };
        if !reaching.looked_up && !matches!(error, DialError::LocalPeerId { .. } | DialError::Denied { .. }) {
            reaching.looked_up = true;
            let query = self.swarm.behaviour_mut().kad.get_closest_peers(peer);
            self.queries.insert(query, Query::Reach { peer });
            return;
        }
        self.give_up(peer, dial_error(error));
    }

    pub(crate) fn give_up(&mut self, peer: PeerId, error: Error) {
        let Some(reaching) = self.reaching.remove(&peer) else { return };
        for (_, opened) in reaching.waiting {
            let _ = opened.send(Err(error.clone().with("peer", peer)));
        }
        for done in reaching.asking {
            let _ = done.send(Err(nowhere(peer)));
        }
    }

    /// Asks hivemind's nodes once where a peer is, if this node is one of them.
    fn ask_gateway(&mut self, peer: PeerId) -> bool {
        let (Some(reaching), Some(hivemind)) =
            (self.reaching.get_mut(&peer), self.swarm.behaviour_mut().hivemind.as_mut())
        else {
            return false;
        };
        if std::mem::replace(&mut reaching.gateway_asked, true) {
            return false;
        }
        let query = hivemind.kad.get_closest_peers(peer);
        self.gateway_queries.insert(query, peer);
        true
    }

    /// Dials a peer that somebody waits for at the addresses that a lookup found.
    pub(crate) fn dial_found(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if !self.reaching.contains_key(&peer) {
            return;
        }
        if addresses.is_empty() && self.ask_gateway(peer) {
            return;
        }
        if addresses.is_empty() {
            return self
                .give_up(peer, Error::unreachable("no address of the peer is known, and nobody in the DHT knows one"));
        }
        let opts = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .extend_addresses_through_behaviour()
            .build();
        match self.swarm.dial(opts) {
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.give_up(peer, dial_error(&error)),
        }
    }

    pub(crate) fn dial_failed(&mut self, id: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        self.shared.meter.unreached.fetch_add(1, Ordering::Relaxed);
        if let Some(done) = self.dials.remove(&id) {
            // A second connection may be refused while the first one stands.
            let connected = peer.filter(|peer| self.swarm.is_connected(peer));
            let _ = done.send(connected.ok_or_else(|| dial_error(error)));
        }
        for bootstrap in self.bootstrap.iter_mut().filter(|bootstrap| bootstrap.dial == Some(id)) {
            bootstrap.dial = None;
            if peer_of(&bootstrap.address).is_none() {
                // Somebody else may answer there by now.
                bootstrap.peer = None;
            }
            tracing::warn!(address = %bootstrap.address, %error, "a bootstrap is not reachable");
        }
        if self.peer_cache.as_mut().is_some_and(|remembered| remembered.dialled(id)) {
            self.recall();
        }
        let recalled = self.peer_cache.as_ref().is_none_or(Remembered::is_idle);
        if recalled && self.bootstrap.iter().all(|bootstrap| bootstrap.dial.is_none() && bootstrap.peer.is_none()) {
            self.settle();
        }
        if let Some(peer) = peer.filter(|peer| !self.swarm.is_connected(peer)) {
            if matches!(error, DialError::Transport(_) | DialError::WrongPeerId { .. }) {
                self.routing.not_reached(&mut self.swarm.behaviour_mut().kad, peer);
            }
            self.not_reached(peer, error);
        }
    }
}

fn dial_opts(address: Multiaddr, peer: Option<PeerId>) -> (DialOpts, ConnectionId) {
    let opts = match peer {
        Some(peer) => DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![address]).build(),
        None => DialOpts::unknown_peer_id().address(address).build(),
    };
    let id = opts.connection_id();
    (opts, id)
}

fn dial_error(error: &DialError) -> Error {
    match error {
        DialError::LocalPeerId { .. } => Error::invalid_argument("that address is this node's own"),
        DialError::NoAddresses => Error::unreachable("no address of the peer is known"),
        DialError::WrongPeerId { obtained, .. } => {
            Error::unreachable(format!("another peer answers at that address: {obtained}"))
        }
        DialError::Denied { cause } => {
            Error::resource_exhausted(format!("a limit of this node refuses the connection: {cause}"))
                .with_remedy("disconnect a peer, or raise the limit")
        }
        DialError::Aborted | DialError::DialPeerConditionFalse(_) => closed(),
        DialError::Transport(tried) => {
            let reasons: Vec<_> =
                tried.iter().map(|(address, error)| format!("{address}: {}", reason(error))).collect();
            let text = format!("the peer cannot be reached ({})", reasons.join("; "));
            match !tried.is_empty() && tried.iter().all(|(_, error)| is_silence(error)) {
                true => Error::unreachable(text).with(SILENT, true),
                false => Error::unreachable(text),
            }
        }
    }
}

/// Whether nothing at all came from an address, not even a refusal.
fn is_silence(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.any(|error| {
        let by_the_system =
            error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::TimedOut);
        // The timeouts of libp2p's transports are variants of types that cannot be named here.
        by_the_system || ["timed out", "Timeout has been reached"].iter().any(|said| error.to_string().contains(said))
    })
}

/// What is underneath an error of a transport: the outer ones often say nothing of their own.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let said: Vec<String> = chain.map(ToString::to_string).filter(|text| !text.trim().is_empty()).collect();
    said.last().cloned().unwrap_or_else(|| "no reason was given".into())
}
