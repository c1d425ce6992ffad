//! What a program may ask of hivemind's DHT.

use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;

use super::Dht;
use super::client::Item;
use super::id::DhtId;
use super::lookup::Found;
use super::messages::{FindResponse, PLAIN};
use super::msgpack::{self, Value};
use super::record::Fields;
use super::signed::Announced;
use super::storage::MAX_VALUE;
use crate::{Error, Result};

/// This node's place in hivemind's DHT. Clones are the same.
///
/// Python peers join through this node at one of its TCP addresses, and this node joins through theirs: a node of theirs
/// is known as soon as it is connected.
#[derive(Clone)]
pub struct Hivemind {
    dht: Arc<Dht>,
}

/// A node's answer to a ping.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pong {
    /// Where it stands; `None` for a client.
    pub id: Option<DhtId>,
    /// Its clock, in seconds since 1970.
    pub time: f64,
    /// Whether it reached this node when it was asked to ping back.
    pub available: bool,
}

impl Hivemind {
    pub(crate) fn new(dht: Arc<Dht>) -> Hivemind {
        Hivemind { dht }
    }

    /// Where this node stands.
    pub fn id(&self) -> DhtId {
        self.dht.id
    }

    /// This node's PeerId.
    pub fn peer(&self) -> PeerId {
        self.dht.local
    }

    /// How many nodes are in its routing table.
    pub fn known_nodes(&self) -> usize {
        self.dht.table().len()
    }

    /// Pings a node, which may be asked to ping back before it answers.
    ///
    /// # Errors
    /// `unreachable`, `timeout`; `unsupported` when the peer does not speak hivemind's protocols; `closed`.
    pub async fn ping(&self, peer: PeerId, ping_back: bool) -> Result<Pong> {
        let response = self.dht.ping(peer, ping_back).await?;
        let id = response.peer.and_then(|info| DhtId::from_slice(&info.node_id));
        Ok(Pong { id, time: response.dht_time, available: response.available })
    }

    /// Asks one node to keep values, and answers for each whether it does. [`Hivemind::store`] looks for the right nodes.
    ///
    /// # Errors
    /// `invalid_argument` for a request of more than 4 MiB; as [`Hivemind::ping`].
    pub async fn store_at(&self, peer: PeerId, items: &[Item]) -> Result<Vec<bool>> {
        self.dht.store_at(peer, items).await
    }

    /// Asks one node what it has under keys, and which nodes it knows near each. [`Hivemind::get`] asks on at those.
    ///
    /// # Errors
    /// As [`Hivemind::store_at`].
    pub async fn find_at(&self, peer: PeerId, keys: &[DhtId]) -> Result<FindResponse> {
        self.dht.find_at(peer, keys).await
    }

    /// How many keys this node keeps for the DHT.
    pub fn kept_keys(&self) -> usize {
        self.dht.kept().records.len()
    }

    /// Whether a peer says that it can reach this node: the check of Petals' servers.
    ///
    /// # Errors
    /// As [`Hivemind::ping`].
    pub async fn reachable_from(&self, peer: PeerId) -> Result<bool> {
        self.dht.check(peer).await
    }

    /// Stores a value until it expires, under a key or under a sub-key of it, at the nodes nearest to the key.
    ///
    /// Returns how many nodes keep it. None does when all have a value that expires as late or later.
    ///
    /// # Errors
    /// `invalid_argument` for an expiration that is past, or a value of about 4 MiB; what kept the last node from
    /// answering when none did.
    pub async fn store(&self, key: &str, subkey: Option<&Value>, value: &Value, ttl: Duration) -> Result<usize> {
        let subkey = subkey.map_or_else(|| PLAIN.to_vec(), msgpack::encode);
        let expiration = self.dht.now() + ttl.as_secs_f64();
        self.store_raw(DhtId::of_text(key), subkey, msgpack::encode(value), expiration).await
    }

    /// Stores bytes that are msgpack already; `expiration` is in seconds since 1970.
    ///
    /// # Errors
    /// As [`Hivemind::store`].
    pub async fn store_raw(&self, key: DhtId, subkey: Vec<u8>, value: Vec<u8>, expiration: f64) -> Result<usize> {
        if !expiration.is_finite() || expiration <= self.dht.now() {
            return Err(Error::invalid_argument("the expiration is past, or no time at all"));
        }
        if subkey.len() + value.len() > MAX_VALUE {
            return Err(Error::invalid_argument(format!("a value has at most {MAX_VALUE} bytes")));
        }
        self.dht.store(Item { key, subkey, value, expiration, in_cache: false }).await
    }

    /// Says something about this node under a key of our own, such as [`keys::OUR_NODES`](super::record::keys), until it
    /// is withdrawn or the node is shut down. The record is signed, has the addresses this node listens on in its field
    /// `addresses`, except under the two keys of hosts of vectors, and is renewed every 150 seconds. Returns how many nodes
    /// keep it.
    ///
    /// # Errors
    /// `invalid_argument` for a key that does not begin with `_kwaainet.` and is not `_kwaai.vpk.nodes`: under their other keys,
    /// Petals' and KwaaiNet's nodes expect services that this node does not offer them. `unsupported` for a node on an RSA key. As
    /// [`Hivemind::store`].
    pub async fn announce(&self, key: &str, fields: Fields) -> Result<usize> {
        self.dht.announce(key, fields).await
    }

    /// Takes back what was announced under a key.
    ///
    /// # Errors
    /// As [`Hivemind::store`].
    pub async fn withdraw(&self, key: &str) -> Result<()> {
        self.dht.withdraw(key).await
    }

    /// What peers say about themselves under a key whose sub-keys are PeerIds, ours, Petals' or KwaaiNet's: signed records
    /// first, then the latest.
    pub async fn announced(&self, key: &str) -> Vec<Announced> {
        self.dht.announced(key).await
    }

    /// A value that has not expired: the first that is found.
    pub async fn get(&self, key: &str) -> Option<Found> {
        self.dht.get(DhtId::of_text(key), false).await
    }

    /// Everything that the nodes nearest to a key have under it, the latest of each sub-key.
    pub async fn get_complete(&self, key: &str) -> Option<Found> {
        self.dht.get(DhtId::of_text(key), true).await
    }
}
