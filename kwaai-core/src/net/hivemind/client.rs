//! Calling other nodes of hivemind's DHT.

use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::Dht;
use super::frame::{self, Answer, Call, MAX_MESSAGE, OVERHEAD, corrupt};
use super::id::DhtId;
use super::messages::{FindRequest, FindResponse, NodeInfo, PingRequest, PingResponse, StoreRequest, StoreResponse};
use super::swarm::Method;
use crate::net::dispatch::closed;
use crate::net::driver::{Command, Kind};
use crate::net::wire::shown;
use crate::{Error, ErrorCode, Result};

/// How long a call may take, as in hivemind.
const WAIT: Duration = Duration::from_secs(3);

/// One value to store.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Where it lies.
    pub key: DhtId,
    /// Its sub-key in msgpack, or [`PLAIN`](super::messages::PLAIN), or [`WHOLE`](super::messages::WHOLE).
    pub subkey: Vec<u8>,
    /// The value, in msgpack by custom.
    pub value: Vec<u8>,
    /// When it expires, in seconds since 1970.
    pub expiration: f64,
    /// Whether it is a copy that may be forgotten early.
    pub in_cache: bool,
}

impl Dht {
    pub(super) fn info(&self) -> Option<NodeInfo> {
        Some(NodeInfo { node_id: self.id.as_bytes().to_vec() })
    }

    /// Pings a node, and puts it into the table when it answers.
    pub(super) async fn ping(self: &Arc<Dht>, peer: PeerId, validate: bool) -> Result<PingResponse> {
        let request = PingRequest { auth: None, peer: self.info(), validate };
        let response: PingResponse = self.call(peer, Method::Ping, &request).await?;
        self.saw_answer(&response.peer, peer);
        Ok(response)
    }

    /// Asks a node to keep values. Returns which it keeps.
    pub(super) async fn store_at(self: &Arc<Dht>, peer: PeerId, items: &[Item]) -> Result<Vec<bool>> {
        let request = StoreRequest {
            auth: None,
            keys: items.iter().map(|item| item.key.as_bytes().to_vec()).collect(),
            subkeys: items.iter().map(|item| item.subkey.clone()).collect(),
            values: items.iter().map(|item| item.value.clone()).collect(),
            expiration_time: items.iter().map(|item| item.expiration).collect(),
            in_cache: items.iter().map(|item| item.in_cache).collect(),
            peer: self.info(),
        };
        let response: StoreResponse = self.call(peer, Method::Store, &request).await?;
        if response.store_ok.len() != items.len() {
            return Err(corrupt("a store was answered for another number of values").with("peer", peer));
        }
        self.saw_answer(&response.peer, peer);
        Ok(response.store_ok)
    }

    /// Asks a node for keys, and for nodes near them.
    pub(super) async fn find_at(self: &Arc<Dht>, peer: PeerId, keys: &[DhtId]) -> Result<FindResponse> {
        let keys: Vec<_> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
        let asked = keys.len();
        let request = FindRequest { auth: None, keys, peer: self.info() };
        let response: FindResponse = self.call(peer, Method::Find, &request).await?;
        if response.results.len() != asked {
            return Err(corrupt("a find was answered for another number of keys").with("peer", peer));
        }
        self.saw_answer(&response.peer, peer);
        Ok(response)
    }

    /// Asks a peer whether it can reach this node.
    pub(super) async fn check(&self, peer: PeerId) -> Result<bool> {
        self.check_of(peer, self.local).await
    }

    /// Asks a peer whether `whom` can be reached; here the place of the node's id is taken by its PeerId.
    pub(super) async fn check_of(&self, peer: PeerId, whom: PeerId) -> Result<bool> {
        let request = PingRequest { auth: None, peer: Some(NodeInfo { node_id: whom.to_bytes() }), validate: false };
        let response: PingResponse = self.call(peer, Method::Check, &request).await?;
        Ok(response.available)
    }

    fn saw_answer(self: &Arc<Dht>, info: &Option<NodeInfo>, peer: PeerId) {
        if let Some(info) = info {
            self.saw(&info.node_id, peer);
        }
    }

    /// Calls a node. One that does not answer leaves the table.
    pub(super) async fn call<A: Message + Default>(
        &self,
        peer: PeerId,
        method: Method,
        request: &impl Message,
    ) -> Result<A> {
        if request.encoded_len() + OVERHEAD > MAX_MESSAGE {
            return Err(Error::invalid_argument("hivemind's messages have at most 4 MiB"));
        }
        let late = |_| Err(Error::timeout("the node did not answer in time").with("peer", peer));
        let outcome = tokio::time::timeout(WAIT, self.exchange(peer, method, request.encode_to_vec())).await;
        let outcome = outcome.unwrap_or_else(late);
        match outcome.as_ref().map_err(Error::code) {
            Ok(_) => self.silence().answered(&peer),
            Err(ErrorCode::Unreachable | ErrorCode::Timeout | ErrorCode::Unsupported) => {
                self.silence().failed(peer, Instant::now());
                self.table().gone(&peer);
            }
            // An answer that is of no use is an answer.
            Err(_) => {}
        }
        A::decode(&outcome?[..]).map_err(|error| corrupt("it is no answer").with("peer", peer).with_source(error))
    }

    async fn exchange(&self, peer: PeerId, method: Method, data: Vec<u8>) -> Result<Vec<u8>> {
        if peer == self.local {
            return Err(Error::invalid_argument("a node does not call itself over the network"));
        }
        let (opened, stream) = oneshot::channel();
        let command = Command::Open { peer, kind: Kind::Hivemind(method), opened };
        self.commands.send(command).await.map_err(|_| closed())?;
        let gone = || Error::unreachable("the connection ended").with("peer", peer);
        let mut stream = stream.await.map_err(|_| gone())??.compat();
        let call = Call { id: rand::random(), peer: peer.to_bytes(), method: method.name().into(), data };
        let sent = async {
            stream.write_all(&call.encode()).await?;
            stream.flush().await
        };
        sent.await.map_err(|error| gone().with_source(error))?;
        let answer = Answer::decode(&frame::read(&mut stream).await.map_err(|error| error.with("peer", peer))?)?;
        if answer.id != call.id {
            return Err(corrupt("an answer to another call").with("peer", peer));
        }
        // The answer is here; how the stream ends concerns nobody.
        let _ = stream.shutdown().await;
        answer
            .outcome
            .map_err(|why| Error::internal(format!("the node answered: {}", shown(&why, 256))).with("peer", peer))
    }
}
