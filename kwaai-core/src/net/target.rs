//! Whom something is for: a peer, or whoever answers at an address.

use std::str::FromStr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};

use super::{ConnectedPeer, Network, Peers};
use crate::identity::peer_id;
use crate::{Error, ErrorCode, Result};

/// A peer, or whoever answers at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A peer, wherever it is.
    Peer(PeerId),
    /// An address. With a PeerId at its end, nobody else may answer there.
    Address(Multiaddr),
}

impl From<PeerId> for Target {
    fn from(peer: PeerId) -> Target {
        Target::Peer(peer)
    }
}

impl From<Multiaddr> for Target {
    fn from(address: Multiaddr) -> Target {
        Target::Address(address)
    }
}

impl FromStr for Target {
    type Err = Error;

    /// An address, which begins with a slash, or a PeerId or a DID in any spelling.
    fn from_str(text: &str) -> Result<Target> {
        let text = text.trim();
        if !text.starts_with('/') {
            return Ok(Target::Peer(peer_id::parse_any(text)?));
        }
        let address = text.parse::<Multiaddr>().map_err(|error| {
            Error::invalid_argument("this begins like an address, and is none")
                .with_remedy("write it like /ip4/192.0.2.1/tcp/8080/p2p/<peer id>")
                .with_source(error)
        })?;
        Ok(Target::Address(address))
    }
}

/// A method that nobody serves: that it is refused is an answer.
const METHOD: &str = "kwaainet.probe";
/// How long a peer may take to answer, the way to it included.
const ANSWERING: Duration = Duration::from_secs(20);

impl Network {
    /// The peer that is meant; an address is connected to first.
    pub(super) async fn reach(&self, target: Target) -> Result<PeerId> {
        match target {
            Target::Peer(peer) => Ok(peer),
            Target::Address(address) => self.connect(address).await,
        }
    }

    /// Whether a peer answers now, and how it is reached: connects to it where there is no connection, and times a round
    /// trip. Whatever it answers is an answer, so that this works with every libp2p node.
    ///
    /// # Errors
    /// `invalid_argument` for this node itself; `unreachable`, with what was tried; `timeout` after 20 seconds; `closed`.
    pub async fn probe(&self, target: impl Into<Target>) -> Result<ConnectedPeer> {
        let peer = self.reach(target.into()).await?;
        if peer == self.local_peer() {
            return Err(Error::invalid_argument("a node does not probe itself").with("peer", peer));
        }
        let mut took = Duration::ZERO;
        // The first may include the way to the peer, and what is negotiated once for a connection.
        for _ in 0..2 {
            let began = Instant::now();
            let answer = self.call(peer, METHOD, Bytes::new(), ANSWERING).await;
            took = began.elapsed();
            match answer {
                Err(error)
                    if matches!(error.code(), ErrorCode::Unreachable | ErrorCode::Timeout | ErrorCode::Closed) =>
                {
                    return Err(error);
                }
                _ => {}
            }
        }
        if let Some(known) = self.inner.shared.directory().peers.get_mut(&peer) {
            known.rtt = Some(took);
        }
        let connected = self.connected().into_iter().find(|known| known.peer == peer);
        connected.ok_or_else(|| Error::unreachable("the connection ended").with("peer", peer))
    }
}
