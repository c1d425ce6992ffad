//! A whole node, as an object.

mod config;
mod knowledge;
mod observation;
mod record;

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kwaai_core::net::Target;
use kwaai_core::shard::Amount;
use kwaai_core::trust::Tier;
use kwaai_core::{Error, http, node};
use serde::Deserialize;

use crate::clock::SetClock;
use crate::fork::{MODELS, NETWORK};
use crate::handle::Handle;
use crate::http::{HttpOptions, HttpServer, Served, close_all};
use crate::provide::Supplies;
use crate::rag::Options;
use crate::shard::Offer;
use crate::trust::{ClaimTest, Minimum, StatusRefresh, TakenWord, TestOptions, TrustStatement};
use crate::{CancelToken, Model, Rag, Result, ShardEngine, Stream, TrustGraph, Vpk, rt, validate};

pub use config::{LimitOptions, NodeConfig, RelayOptions};
pub use knowledge::Sharing;
pub use record::{
    Diagnosis, Measurement, MeasurementBucket, MessageRecord, Metrics, NodeEvent, NodeInfo, PeerInfo, Reachability,
};

/// A running node. Dropping it aborts what is under way; [`Node::shutdown`] lets it finish.
pub struct Node {
    handle: Handle<node::Node>,
    identity: Identity,
    clock: SetClock,
    trust: Arc<TrustGraph>,
    shards: Arc<ShardEngine>,
    vpk: Arc<Vpk>,
    /// The handles of its servers that were given out, so that they end with the node.
    servers: Mutex<Vec<Weak<Handle<http::HttpServer>>>>,
}

/// What stays known of a node after its end.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The readable name.
    pub name: String,
    /// The identity on the network.
    pub peer_id: String,
    /// The identity that signs credentials.
    pub did: String,
}

/// What a node shares. Everything that is not named is not shared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Contribution {
    /// Blocks of models to compute for others.
    pub blocks: Vec<BlockShare>,
    /// The lowest tier that may use them; the policy's minimum unless set.
    pub min_tier: Option<String>,
    /// What was shared before takes nothing new and may end within this time, in milliseconds; five seconds unless set.
    pub grace_ms: Option<u64>,
}

/// Blocks of one model: a run of them, or a number, or as many as fit, these two where the swarm has them least.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockShare {
    /// The directory or GGUF file of the model, or its id at a hub.
    pub model: String,
    /// The first block of a run.
    pub start_block: Option<u32>,
    /// One past the last block of a run.
    pub end_block: Option<u32>,
    /// How many.
    pub count: Option<u32>,
    /// Bytes that those that fit may take with what their sessions keep; what is free without a reserve unless set.
    pub memory_bytes: Option<u64>,
}

impl BlockShare {
    fn amount(&self) -> Result<Amount> {
        match (self.start_block, self.end_block, self.count, self.memory_bytes) {
            (Some(start), Some(end), None, None) => Ok(Amount::Run(start..end)),
            (None, None, Some(count), None) => Ok(Amount::Count(count)),
            (None, None, None, memory_bytes) => Ok(Amount::Fitting { memory_bytes }),
            _ => Err(Error::invalid_argument(
                "blocks are shared from a first up to a last one, in a number, or as many as fit into a memory, and not by two of these",
            )
            .into()),
        }
    }
}

impl Node {
    /// Starts a node: it listens, and dials nobody but its bootstraps.
    pub async fn start(config: NodeConfig, cancel: CancelToken) -> Result<Node> {
        let clock = SetClock::new(config.clock.as_deref())?;
        let config = config.into_core(clock.clone())?;
        NETWORK.claim()?;
        let started = rt::run(&cancel, async move { node::Node::start(config()?).await }).await?;
        let identity = Identity {
            name: started.name().to_string(),
            peer_id: started.peer_id().to_string(),
            did: started.did().to_string(),
        };
        Ok(Node {
            identity,
            trust: Arc::new(TrustGraph::of_node(started.trust(), clock.clone())),
            clock,
            shards: Arc::new(ShardEngine::of_node(started.shards())),
            vpk: Arc::new(Vpk::of_node(started.vpk())),
            servers: Mutex::default(),
            handle: Handle::new("node", started),
        })
    }

    /// Name, PeerId and DID, also after the end.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it can be used: not shut down, and not another process's.
    pub fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    /// What the node says about itself.
    pub async fn info(&self, cancel: CancelToken) -> Result<NodeInfo> {
        let node = self.handle.get()?;
        rt::run(&cancel, async move { node.info() }).await.map(NodeInfo::from)
    }

    /// The connected peers, in the order of their PeerIds.
    pub async fn peers(&self, cancel: CancelToken) -> Result<Vec<PeerInfo>> {
        let node = self.handle.get()?;
        let peers = rt::run(&cancel, async move { node.peers().await }).await?;
        Ok(peers.into_iter().map(PeerInfo::from).collect())
    }

    /// Looks for what keeps this node from others. Takes ten seconds at most; nothing found is an empty list.
    pub async fn diagnose(&self, cancel: CancelToken) -> Result<Vec<Diagnosis>> {
        let node = self.handle.get()?;
        let found = rt::run(&cancel, async move { node.diagnose().await }).await?;
        Ok(found.into_iter().map(Diagnosis::from).collect())
    }

    /// Counters and gauges since the start, as records and as text for Prometheus.
    pub async fn metrics(&self, cancel: CancelToken) -> Result<Metrics> {
        let node = self.handle.get()?;
        rt::run(&cancel, async move { node.metrics() }).await.map(Metrics::from)
    }

    /// Connects to a node at a multiaddress, and says who answered.
    pub async fn connect(&self, address: String, cancel: CancelToken) -> Result<String> {
        let node = self.handle.get()?;
        let peer = rt::run(&cancel, async move { node.connect(&address).await }).await?;
        Ok(peer.to_string())
    }

    /// Closes every connection to a peer.
    pub async fn disconnect(&self, peer: String, cancel: CancelToken) -> Result<()> {
        let (node, peer) = (self.handle.get()?, validate::peer(&peer)?);
        rt::run(&cancel, async move { node.disconnect(peer).await }).await
    }

    /// Asks the DHT where a peer can be reached.
    pub async fn find_peer(&self, peer: String, cancel: CancelToken) -> Result<Vec<String>> {
        let (node, peer) = (self.handle.get()?, validate::peer(&peer)?);
        let addresses = rt::run(&cancel, async move { node.find_peer(peer).await }).await?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    /// Whether a peer, or whoever is at an address, answers now: as in [`Node::peers`], with a round trip just timed.
    pub async fn probe(&self, peer: String, cancel: CancelToken) -> Result<PeerInfo> {
        let (node, target) = (self.handle.get()?, peer.parse::<Target>()?);
        rt::run(&cancel, async move { node.probe(target).await }).await.map(PeerInfo::from)
    }

    /// Asks a peer where somebody stands with it, or whether somebody reaches a minimum with it. The answer is the peer's
    /// opinion and changes no score here.
    pub async fn ask_trust(
        &self,
        peer: String,
        about: String,
        at_least: Option<Minimum>,
        cancel: CancelToken,
    ) -> Result<TrustStatement> {
        let (node, peer, about) = (self.handle.get()?, validate::peer(&peer)?, validate::did(&about)?);
        let at_least = at_least.map(|minimum| minimum.read()).transpose()?;
        let ask = async move {
            match at_least {
                Some(minimum) => node.ask_trust_at_least(peer, about, minimum).await,
                None => node.ask_trust(peer, about).await,
            }
        };
        rt::run(&cancel, ask).await.map(TrustStatement::from)
    }

    /// Asks a peer what it saw of others by itself, and keeps that as its recommendations. A peer that does not say is a result
    /// with none.
    pub async fn ask_word(&self, peer: String, cancel: CancelToken) -> Result<TakenWord> {
        let (node, peer) = (self.handle.get()?, validate::peer(&peer)?);
        rt::run(&cancel, async move { node.ask_word(peer).await }).await.map(TakenWord::from)
    }

    /// Looks at once for the status lists that this node wants, at their issuers and at the nodes that have copies.
    pub async fn refresh_status_lists(&self, cancel: CancelToken) -> Result<StatusRefresh> {
        let node = self.handle.get()?;
        rt::run(&cancel, async move { node.refresh_status_lists().await }).await.map(StatusRefresh::from)
    }

    /// Puts what a kept credential claims to the test, at the peer that it is about. A `ThroughputVC` needs the model that it
    /// names, whose blocks need not be loaded. A peer that does not answer is a result and no error.
    pub async fn test_credential(
        &self,
        credential_id: String,
        model: Option<Arc<Model>>,
        options: TestOptions,
        cancel: CancelToken,
    ) -> Result<ClaimTest> {
        let (node, options) = (self.handle.get()?, options.read(model.as_deref())?);
        rt::run(&cancel, async move { node.test_credential(&credential_id, options).await }).await.map(ClaimTest::from)
    }

    /// Sends a text to a peer, or to whoever is at an address; returns when it has arrived.
    pub async fn send_message(&self, peer: String, text: String, cancel: CancelToken) -> Result<()> {
        let (node, target) = (self.handle.get()?, peer.parse::<Target>()?);
        rt::run(&cancel, async move { node.send_message(target, &text).await }).await
    }

    /// Messages as they arrive.
    pub fn messages(&self) -> Result<Stream<MessageRecord>> {
        Ok(Stream::mapped(self.handle.get()?.messages(), MessageRecord::from))
    }

    /// What happens on the network from now on.
    pub fn events(&self) -> Result<Stream<NodeEvent>> {
        Ok(Stream::mapped(self.handle.get()?.events(), NodeEvent::from))
    }

    /// Credentials, scores and the policy of this node.
    pub fn trust(&self) -> Arc<TrustGraph> {
        self.trust.clone()
    }

    /// Language models, whole or in blocks over peers.
    pub fn shards(&self) -> Arc<ShardEngine> {
        self.shards.clone()
    }

    /// Vectors on other people's machines that these cannot read, and such vectors of others on this one.
    pub fn vpk(&self) -> Arc<Vpk> {
        self.vpk.clone()
    }

    /// Opens a knowledge base of this node, in `data_dir` of the options where that is set. While it is open, the same name returns the
    /// same one.
    pub async fn rag(&self, name: String, options: Options, supplies: Supplies, cancel: CancelToken) -> Result<Rag> {
        let node = self.handle.get()?;
        let dir = options.data_dir.as_deref().map(|dir| validate::path("data_dir", dir)).transpose()?;
        options.claim(&supplies)?;
        let opened = async move {
            let config = options.config(supplies).await?;
            match dir {
                Some(dir) => node.rag_at(&name, &dir, config).await,
                None => node.rag(&name, config).await,
            }
        };
        rt::run(&cancel, opened).await.map(Rag::new)
    }

    /// Serves models by OpenAI's HTTP API. The server ends when it is dropped, and with the node.
    ///
    /// # Errors
    /// `invalid_argument` for what is no IP address and for a port above 65535, beside what the core says.
    pub async fn serve_http(&self, served: Served, options: HttpOptions, cancel: CancelToken) -> Result<HttpServer> {
        let (node, config) = (self.handle.get()?, options.into_core()?);
        served.claim()?;
        let started = rt::run(&cancel, async move { node.serve_http(served.fill(config).await?).await }).await?;
        let made = HttpServer::new(started);
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|server| server.strong_count() > 0);
        servers.push(made.watched());
        drop(servers);
        if !self.handle.is_open() {
            // The node ended meanwhile.
            made.close();
        }
        Ok(made)
    }

    /// Shares exactly this, and no longer what was shared before.
    pub async fn contribute(&self, contribution: Contribution, cancel: CancelToken) -> Result<Vec<Offer>> {
        let node = self.handle.get()?;
        let min_tier = contribution.min_tier.as_deref().map(Tier::from_str).transpose()?;
        let blocks = contribution.blocks.into_iter().map(|share| {
            Ok(node::BlockShare { model: validate::path("model directory", &share.model)?, blocks: share.amount()? })
        });
        MODELS.claim()?;
        let grace = contribution.grace_ms.map(|ms| validate::millis("grace_ms", ms)).transpose()?;
        let contribution = node::Contribution { min_tier, blocks: blocks.collect::<Result<_>>()?, grace };
        let offers = rt::run(&cancel, async move { node.contribute(contribution).await }).await?;
        Ok(offers.into_iter().map(Offer::from).collect())
    }

    /// For tests: moves the clock that the node was started with.
    ///
    /// # Errors
    /// `unsupported` for a node that goes by the machine's clock.
    pub fn advance_clock(&self, by_ms: u64) -> Result<()> {
        self.handle.get()?;
        self.clock.advance(by_ms)
    }

    /// Stops the node: what is under way may finish within `grace_ms`, then it is aborted. Idempotent. Cancelling stops the
    /// wait, not the shutdown.
    pub async fn shutdown(&self, grace_ms: Option<u64>, cancel: CancelToken) -> Result<()> {
        let grace = grace_ms.map_or(Ok(node::DEFAULT_GRACE), |ms| validate::millis("grace_ms", ms))?;
        let node = match self.handle.get() {
            Ok(node) => node,
            // It was shut down before.
            Err(_) if self.handle.is_ours() => return Ok(()),
            Err(parents) => return Err(parents),
        };
        let ended = rt::run(&cancel, async move {
            let ending: tokio::task::JoinHandle<kwaai_core::Result<()>> =
                tokio::spawn(async move { node.shutdown(grace).await });
            ending.await.unwrap_or_else(|error| Err(Error::internal("the shutdown did not finish").with_source(error)))
        })
        .await;
        // The facets hold the database; letting them go frees the directory.
        self.trust.close();
        self.shards.close();
        self.vpk.close();
        self.handle.close();
        self.close_servers();
        ended
    }

    fn close_servers(&self) {
        close_all(&mut self.servers.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Their models would keep the network up.
        self.close_servers();
    }
}
