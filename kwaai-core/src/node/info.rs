//! What a node says about itself and about the peers it is connected with.

use std::path::PathBuf;
use std::time::Duration;

use libp2p::PeerId;

use super::Node;
use crate::Result;
use crate::blocking::blocking;
use crate::identity::Did;
use crate::net::{ConnectedPeer, Direction, Multiaddr, Peers, Reachability, Target};
use crate::trust::{Reason, Score, Tier};

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeInfo {
    /// The readable name.
    pub name: String,
    /// The identity on the network.
    pub peer_id: PeerId,
    /// The identity that signs credentials.
    pub did: Did,
    /// The version of the library.
    pub version: &'static str,
    /// Where the data is kept; `None` for a node in memory.
    pub data_dir: Option<PathBuf>,
    /// Addresses at which the node can be dialled, each ending in `/p2p/<peer id>`.
    pub addresses: Vec<Multiaddr>,
    /// Whether others can dial the node, why, and through which relays they reach it.
    pub reachability: Reachability,
    /// How many peers are connected.
    pub connected_peers: usize,
    /// How long the node has been running.
    pub uptime: Duration,
}

/// A connected peer, and how far this node trusts it.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerInfo {
    /// The identity that the connection authenticated.
    pub peer_id: PeerId,
    /// The same as a DID; `None` for a hashed PeerId, as of RSA keys, which carries no key.
    pub did: Option<Did>,
    /// The readable name from its agent text; whatever the peer says, not to be trusted.
    pub name: String,
    /// What the peer says it runs; not to be trusted.
    pub agent: String,
    /// Who opened the connection.
    pub direction: Direction,
    /// The far ends of its connections; of one through a relay, the whole way.
    pub addresses: Vec<Multiaddr>,
    /// Whether it is reached only through a relay.
    pub relayed: bool,
    /// Whether it was named as a bootstrap.
    pub bootstrap: bool,
    /// Whether it was named as a trusted relay.
    pub trusted_relay: bool,
    /// The last measured round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The tier that the score reaches.
    pub tier: Tier,
    /// The score, 0 to 1.
    pub score: f64,
    /// The badge: whether a fiduciary pledge of the peer counts here; see [`Score::is_pledged`].
    pub pledged: bool,
    /// The arithmetic of the score, credential by credential.
    pub reasons: Vec<Reason>,
}

impl Node {
    /// What this node says about itself.
    pub fn info(&self) -> Result<NodeInfo> {
        self.open()?;
        let inner = &self.inner;
        Ok(NodeInfo {
            name: inner.name.clone(),
            peer_id: inner.network.local_peer(),
            did: inner.did,
            version: env!("CARGO_PKG_VERSION"),
            data_dir: inner.knowledge.data_dir().cloned(),
            addresses: inner.network.listen_addresses(),
            reachability: inner.network.reachability(),
            connected_peers: inner.network.connected().len(),
            uptime: inner.started.elapsed(),
        })
    }

    /// The connected peers, in the order of their PeerIds. A peer of which nothing is known is asked for its credentials.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>> {
        self.open()?;
        let connected = self.inner.network.connected();
        let strangers = connected.iter().filter(|peer| self.is_stranger(peer.peer)).map(|peer| peer.peer);
        futures::future::join_all(strangers.map(|peer| self.inner.gate.ask(peer))).await;
        let node = self.clone();
        blocking(move || connected.into_iter().map(|peer| node.describe(peer)).collect()).await
    }

    /// Whether a peer, or whoever is at an address, answers now, and how it is reached; see
    /// [`Network::probe`](crate::net::Network::probe).
    ///
    /// # Errors
    /// As [`Network::probe`](crate::net::Network::probe).
    pub async fn probe(&self, target: impl Into<Target>) -> Result<PeerInfo> {
        self.open()?;
        let probed = self.inner.network.probe(target).await?;
        if self.is_stranger(probed.peer) {
            self.inner.gate.ask(probed.peer).await;
        }
        let node = self.clone();
        blocking(move || node.describe(probed)).await
    }

    fn is_stranger(&self, peer: PeerId) -> bool {
        Did::from_peer_id(&peer)
            .and_then(|did| self.inner.trust.score(&did))
            .is_ok_and(|score| score.tier == Tier::Unknown)
    }

    fn describe(&self, peer: ConnectedPeer) -> Result<PeerInfo> {
        let did = Did::from_peer_id(&peer.peer).ok();
        let score = did.map(|did| self.inner.trust.score(&did)).transpose()?;
        // Our agent text is `kwaainet/<version> <name>`; other software has none.
        let name = peer.agent.strip_prefix("kwaainet/").and_then(|rest| rest.split_once(' ')).map(|(_, name)| name);
        Ok(PeerInfo {
            peer_id: peer.peer,
            did,
            name: name.unwrap_or_default().to_owned(),
            agent: peer.agent,
            direction: peer.direction,
            addresses: peer.addresses,
            relayed: peer.relayed,
            bootstrap: peer.bootstrap,
            trusted_relay: peer.trusted_relay,
            rtt_ms: peer.rtt_ms,
            tier: score.as_ref().map_or(Tier::Unknown, |score| score.tier),
            score: score.as_ref().map_or(0.0, |score| score.value),
            pledged: score.as_ref().is_some_and(Score::is_pledged),
            reasons: score.map_or_else(Vec::new, |score| score.reasons),
        })
    }
}
