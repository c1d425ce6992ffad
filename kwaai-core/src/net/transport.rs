//! Connections over TCP and QUIC to the peer that was meant, and to nobody else.
//!
//! libp2p looks at who answered only once one of several addresses did, and gives up on all of them when it is somebody
//! else. In two homes with the same private numbers that would happen every day, so each address is checked by itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Ready, ready};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::core::{ConnectedPoint, Transport};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, quic, tcp, yamux};

use super::address::peer_of;
use super::bare;
use super::meter::Traffic;

/// A QUIC connection on which nothing came for so long is gone. A machine that dies says nothing over UDP, and whoever was
/// reached through it waits for this before the spare relay is tried.
const QUIC_SILENCE_MS: u32 = 6000;
/// Twice within that time something is sent, so that one lost packet ends nothing.
const QUIC_KEEP_ALIVE: Duration = Duration::from_millis(2500);

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// Encrypted by Noise, divided by yamux.
pub(crate) fn over_tcp(key: &Keypair, traffic: Option<Arc<Traffic>>) -> Result<Connections, noise::Error> {
    let connections = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(bare::Upgrade { inner: yamux::Config::default(), traffic });
    Ok(connections.and_then(meant).map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed())
}

/// Encrypted and divided by QUIC itself.
pub(crate) fn over_quic(key: &Keypair, traffic: Option<Arc<Traffic>>) -> Connections {
    let mut config = quic::Config::new(key);
    (config.max_idle_timeout, config.keep_alive_interval) = (QUIC_SILENCE_MS, QUIC_KEEP_ALIVE);
    quic::tokio::Transport::new(config)
        .and_then(meant)
        .map(move |(peer, connection), _| (peer, StreamMuxerBox::new(bare::Muxer::new(connection, traffic.clone()))))
        .boxed()
}

/// Somebody else answered at an address.
#[derive(Debug, PartialEq)]
struct Stranger(PeerId);

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "another peer answers there: {}", self.0)
    }
}

impl std::error::Error for Stranger {}

/// Refuses a connection that was made to a peer and ends at another.
fn meant<M>((peer, muxer): (PeerId, M), end: ConnectedPoint) -> Ready<Result<(PeerId, M), Stranger>> {
    let wanted = match &end {
        ConnectedPoint::Dialer { address, .. } => peer_of(address),
        ConnectedPoint::Listener { .. } => None,
    };
    ready(match wanted {
        Some(wanted) if wanted != peer => Err(Stranger(peer)),
        _ => Ok((peer, muxer)),
    })
}
