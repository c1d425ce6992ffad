//! What the other rooms may ask of the network, and no more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Result;
use crate::trust::Purpose;

/// An open stream to a peer: authenticated, encrypted, flow-controlled.
pub type PeerStream = Box<dyn Duplex>;

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// Answers unary calls.
#[async_trait]
pub trait UnaryHandler: Send + Sync + 'static {
    /// Answers one call. `caller` is the PeerId that the connection authenticated; dropping the future cancels.
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes>;
}

/// Serves raw streams.
#[async_trait]
pub trait StreamHandler: Send + Sync + 'static {
    /// Serves one stream to its end. An error is logged and closes the stream.
    async fn serve(&self, caller: PeerId, stream: PeerStream) -> Result<()>;
}

/// Other nodes, as the rooms above the network see them.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// This node.
    fn local_peer(&self) -> PeerId;

    /// Calls `method` at a peer, dialling it when there is no connection, and waits at most `timeout`.
    ///
    /// # Errors
    /// What the peer's handler answered, with its code; `permission_denied` when the peer's policy refuses this node;
    /// `unreachable`, `timeout`, or `unsupported` when the peer does not serve the method.
    async fn call(&self, peer: PeerId, method: &str, body: Bytes, timeout: Duration) -> Result<Bytes>;

    /// The last measured round trip to a connected peer; `None` until one is measured.
    fn round_trip(&self, _peer: PeerId) -> Option<Duration> {
        None
    }

    /// Opens a raw stream, on which the peer has accepted `protocol` and this node as its caller.
    async fn open_stream(&self, peer: PeerId, protocol: &str, timeout: Duration) -> Result<PeerStream>;

    /// Serves a unary method to callers that meet the minimum tier of `purpose`.
    fn serve_unary(&self, method: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()>;

    /// Serves a stream protocol to callers that meet the minimum tier of `purpose`.
    fn serve_streams(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn StreamHandler>) -> Result<()>;

    /// Answers the calls that nodes of another implementation make, each on a stream that they open by the protocol's own name, in the
    /// frames of go-libp2p-daemon; for callers that meet the minimum tier of `purpose`.
    ///
    /// # Errors
    /// `invalid_argument` for a name without a slash at its beginning or one of ours; `already_exists`; `closed`.
    fn serve_foreign(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()>;

    /// Stops serving a method or a protocol; streams under way are cut.
    fn stop_serving(&self, name: &str);

    /// Tells the DHT that this node provides what `key` names, until withdrawn.
    async fn announce(&self, key: &str) -> Result<()>;

    /// Stops providing `key`.
    async fn withdraw(&self, key: &str) -> Result<()>;

    /// The peers that provide `key`, this node left out, in a stable order.
    async fn providers(&self, key: &str) -> Result<Vec<PeerId>>;
}
