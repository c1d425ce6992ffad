//! Where hosts say that they keep vectors for others, and what else is known of them beside their answers.

use std::net::IpAddr;

use async_trait::async_trait;
use libp2p::PeerId;

use super::CollectionId;
use crate::Result;

/// What a host says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert {
    /// The bytes that it may take for all owners together.
    pub capacity_bytes: u64,
    /// How many of them are left.
    pub free_bytes: u64,
    /// For how many owners it keeps something.
    pub tenants: u64,
}

/// The DHT and the connections, as far as hosts are found by them.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Says that this node hosts, until it is withdrawn; called again and again with new numbers.
    ///
    /// # Errors
    /// Those of the DHT.
    async fn announce(&self, advert: Advert) -> Result<()>;

    /// Takes that back.
    ///
    /// # Errors
    /// Those of the DHT.
    async fn withdraw(&self) -> Result<()>;

    /// Who says so, this node left out. Nothing else that a host said is believed: it is asked.
    ///
    /// # Errors
    /// Those of the DHT.
    async fn hosts(&self) -> Result<Vec<PeerId>>;

    /// Says that this node has a record of a collection, or says so no more.
    ///
    /// # Errors
    /// Those of the DHT.
    async fn keep(&self, collection: CollectionId, kept: bool) -> Result<()>;

    /// Who says so, this node left out.
    ///
    /// # Errors
    /// Those of the DHT.
    async fn keepers(&self, collection: CollectionId) -> Result<Vec<PeerId>>;

    /// Has the credentials fetched that a peer shows of itself. A peer that does not answer has none to show.
    async fn acquaint(&self, peer: PeerId);

    /// The far ends of the connections that lead to the peer itself, and not through a relay.
    fn addresses(&self, peer: PeerId) -> Vec<IpAddr>;
}
