//! A whole node, as an object.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::Error;
use kwaai_core::config::{Config, Preset};
use kwaai_core::net::{Limits, Message, NetworkEvent};
use kwaai_core::node;
use kwaai_core::trust::Tier;
use serde::{Deserialize, Serialize};

use crate::clock::{SetClock, check_seed, seeded};
use crate::fork::{MODELS, NETWORK};
use crate::handle::Handle;
use crate::provide::Supplies;
use crate::rag::Options;
use crate::shard::Offer;
use crate::trust::{ClaimTest, Minimum, Reason, StatusRefresh, TakenWord, TestOptions, TrustStatement};
use crate::{CancelToken, Model, Rag, Result, ShardEngine, Stream, TrustGraph, rt, validate};

/// A running node. Dropping it aborts what is under way; [`Node::shutdown`] lets it finish.
pub struct Node {
    handle: Handle<node::Node>,
    identity: Identity,
    clock: SetClock,
    trust: Arc<TrustGraph>,
    shards: Arc<ShardEngine>,
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

/// What a node is told at its start; every part may be left out. What is set here wins over environment, `config.yaml`
/// and preset.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// `ephemeral`, `desktop`, `mobile` or `server`; `desktop` unless set.
    pub preset: Option<String>,
    /// The readable name.
    pub name: Option<String>,
    /// Where the data is kept.
    pub data_dir: Option<String>,
    /// The key file.
    pub identity_key: Option<String>,
    /// Multiaddresses to listen on; an empty list listens nowhere.
    pub listen: Option<Vec<String>>,
    /// Multiaddresses of the nodes to join the network through.
    pub bootstrap: Option<Vec<String>>,
    /// Whether to look for nodes on the local network.
    pub mdns: Option<bool>,
    /// How much peers may take.
    #[serde(deserialize_with = "validate::or_default")]
    pub limits: LimitOptions,
    /// For tests: the identity is made from this number, and is no secret. Only in memory.
    pub seed: Option<u64>,
    /// For tests: a clock that stands at this instant, RFC 3339, until [`Node::advance_clock`] moves it.
    pub clock: Option<String>,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),+; $($(#[$ms_doc:meta])* $ms:ident => $field:ident),+) => {
        /// The limits to change; the others stay as the preset has them.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct LimitOptions {
            $($(#[$doc])* pub $name: Option<$kind>,)+
            $($(#[$ms_doc])* pub $ms: Option<u64>,)+
        }

        impl LimitOptions {
            fn apply(&self, limits: &mut Limits) -> Result<()> {
                $(if let Some(value) = self.$name { limits.$name = value; })+
                $(if let Some(ms) = self.$ms { limits.$field = validate::millis(stringify!($ms), ms)?; })+
                Ok(())
            }
        }
    };
}

limits! {
    /// Connections in both directions together.
    max_connections: u32,
    /// Connections that others opened.
    max_incoming_connections: u32,
    /// Connections with one peer.
    max_connections_per_peer: u32,
    /// Incoming connections whose handshake is under way.
    max_pending_incoming: u32,
    /// Outgoing connections whose handshake is under way.
    max_pending_outgoing: u32,
    /// New connections are refused above this share of the machine's memory, 0 to 1.
    max_memory_share: f64,
    /// Calls of one peer served at the same time.
    max_calls_per_peer: usize,
    /// Calls served at the same time.
    max_calls: usize,
    /// Streams of one peer served at the same time.
    max_streams_per_peer: usize,
    /// Streams served at the same time.
    max_streams: usize,
    /// Unread messages that are kept.
    inbox: usize,
    /// Unread events that are kept for one reader.
    events: usize,
    /// Keys for which this node remembers who provides them.
    max_provided_keys: usize;
    /// How long a connection without any stream is kept.
    idle_connection_ms => idle_connection,
    /// How long a peer may take to say what a stream is for.
    header_timeout_ms => header_timeout,
    /// How long the gate may take to decide.
    gate_timeout_ms => gate_timeout,
    /// No call is served for longer.
    max_call_duration_ms => max_call_duration
}

/// What a node says about itself.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct NodeInfo {
    /// The readable name.
    pub name: String,
    /// The identity on the network.
    pub peer_id: String,
    /// The identity that signs credentials.
    pub did: String,
    /// The version of the library.
    pub version: String,
    /// Where the data is kept, unless in memory.
    pub data_dir: Option<String>,
    /// Addresses at which the node can be dialled.
    pub addresses: Vec<String>,
    /// How many peers are connected.
    pub connected_peers: usize,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
}

/// A connected peer, and how far this node trusts it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct PeerInfo {
    /// The identity that the connection authenticated.
    pub peer_id: String,
    /// The same as a DID, when its PeerId carries a key.
    pub did: Option<String>,
    /// The readable name that the peer gives itself; not to be trusted.
    pub name: String,
    /// What the peer says it runs; not to be trusted.
    pub agent: String,
    /// `inbound` when the peer dialled, `outbound` when this node did.
    pub direction: String,
    /// The far ends of its connections.
    pub addresses: Vec<String>,
    /// The last measured round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The tier that its score reaches.
    pub tier: String,
    /// From 0 to 1.
    pub score: f64,
    /// The arithmetic of the score.
    pub reasons: Vec<Reason>,
    /// Whether a fiduciary pledge of the peer counts here.
    pub pledged: bool,
}

/// A text that a peer sent.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct MessageRecord {
    /// The PeerId of who sent it, authenticated.
    pub sender: String,
    /// The text.
    pub text: String,
    /// When it arrived, RFC 3339.
    pub received_at: String,
}

/// Something that happened on the network.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NodeEvent {
    /// This node can be dialled at a new address.
    Listening {
        /// The address.
        address: String,
    },
    /// An address is no longer listened on.
    ListeningStopped {
        /// The address.
        address: String,
    },
    /// The first connection with a peer was established.
    PeerConnected {
        /// Who it is.
        peer: String,
        /// The far end.
        address: String,
        /// `inbound` or `outbound`.
        direction: String,
    },
    /// A peer said what it runs.
    PeerIdentified {
        /// Who it is.
        peer: String,
        /// What it says; not to be trusted.
        agent: String,
    },
    /// The last connection with a peer ended.
    PeerDisconnected {
        /// Who it was.
        peer: String,
    },
    /// A message arrived.
    MessageReceived {
        /// The message.
        message: MessageRecord,
    },
    /// Something that this version of the package has no name for.
    Other,
}

/// What a node shares. Everything that is not named is not shared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Contribution {
    /// Blocks of models to compute for others.
    pub blocks: Vec<BlockShare>,
    /// The lowest tier that may use them; the policy's minimum unless set.
    pub min_tier: Option<String>,
}

/// Blocks of one model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockShare {
    /// The directory of the model.
    pub model: String,
    /// The first block.
    pub start_block: u32,
    /// One past the last block.
    pub end_block: u32,
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

    /// Sends a text to a peer; returns when it has arrived.
    pub async fn send_message(&self, peer: String, text: String, cancel: CancelToken) -> Result<()> {
        let (node, peer) = (self.handle.get()?, validate::peer(&peer)?);
        rt::run(&cancel, async move { node.send_message(peer, &text).await }).await
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

    /// Opens a knowledge base of this node. While it is open, the same name returns the same one.
    pub async fn rag(&self, name: String, options: Options, supplies: Supplies, cancel: CancelToken) -> Result<Rag> {
        let node = self.handle.get()?;
        options.claim(&supplies)?;
        rt::run(&cancel, async move { node.rag(&name, options.config(supplies).await?).await }).await.map(Rag::new)
    }

    /// Shares exactly this, and no longer what was shared before.
    pub async fn contribute(&self, contribution: Contribution, cancel: CancelToken) -> Result<Vec<Offer>> {
        let node = self.handle.get()?;
        let min_tier = contribution.min_tier.as_deref().map(Tier::from_str).transpose()?;
        let blocks = contribution.blocks.into_iter().map(|share| {
            Ok(node::BlockShare {
                model: validate::path("model directory", &share.model)?,
                blocks: share.start_block..share.end_block,
            })
        });
        MODELS.claim()?;
        let contribution = node::Contribution { min_tier, blocks: blocks.collect::<Result<_>>()? };
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
        self.handle.close();
        ended
    }
}

impl NodeConfig {
    /// The core's configuration, read when it is called: it reads files.
    fn into_core(self, clock: SetClock) -> Result<impl FnOnce() -> kwaai_core::Result<Config> + Send + 'static> {
        let preset = self.preset.as_deref().map(Preset::from_str).transpose()?.unwrap_or_default();
        let data_dir = self.data_dir.as_deref().map(|dir| validate::path("data_dir", dir)).transpose()?;
        let identity_key = self.identity_key.as_deref().map(|path| validate::path("identity_key", path)).transpose()?;
        self.limits.apply(&mut Limits::default())?;
        Ok(move || {
            let mut config = Config::load(preset, data_dir.as_deref())?;
            config.name = self.name.or(config.name);
            config.identity_key = identity_key.or(config.identity_key);
            config.listen = self.listen.unwrap_or(config.listen);
            config.bootstrap = self.bootstrap.unwrap_or(config.bootstrap);
            config.mdns = self.mdns.unwrap_or(config.mdns);
            check_seed(self.seed, config.data_dir.is_some())?;
            config.identity = self.seed.map(seeded).or(config.identity);
            config.clock = clock.core();
            self.limits.apply(&mut config.limits).map_err(|error| Error::invalid_argument(error.message))?;
            Ok(config)
        })
    }
}

impl From<node::NodeInfo> for NodeInfo {
    fn from(info: node::NodeInfo) -> NodeInfo {
        NodeInfo {
            name: info.name,
            peer_id: info.peer_id.to_string(),
            did: info.did.to_string(),
            version: info.version.to_string(),
            data_dir: info.data_dir.map(shown),
            addresses: info.addresses.iter().map(ToString::to_string).collect(),
            connected_peers: info.connected_peers,
            uptime_ms: millis(info.uptime),
        }
    }
}

impl From<node::PeerInfo> for PeerInfo {
    fn from(peer: node::PeerInfo) -> PeerInfo {
        PeerInfo {
            peer_id: peer.peer_id.to_string(),
            did: peer.did.map(|did| did.to_string()),
            name: peer.name,
            agent: peer.agent,
            direction: peer.direction.as_str().to_string(),
            addresses: peer.addresses.iter().map(ToString::to_string).collect(),
            rtt_ms: peer.rtt_ms,
            tier: peer.tier.to_string(),
            score: peer.score,
            reasons: peer.reasons.into_iter().map(Reason::from).collect(),
            pledged: peer.pledged,
        }
    }
}

impl From<Message> for MessageRecord {
    fn from(message: Message) -> MessageRecord {
        MessageRecord {
            sender: message.from.to_string(),
            text: message.text,
            received_at: message.received_at.to_string(),
        }
    }
}

impl From<NetworkEvent> for NodeEvent {
    fn from(event: NetworkEvent) -> NodeEvent {
        match event {
            NetworkEvent::Listening { address } => NodeEvent::Listening { address: address.to_string() },
            NetworkEvent::ListeningStopped { address } => NodeEvent::ListeningStopped { address: address.to_string() },
            NetworkEvent::PeerConnected { peer, address, direction } => NodeEvent::PeerConnected {
                peer: peer.to_string(),
                address: address.to_string(),
                direction: direction.as_str().to_string(),
            },
            NetworkEvent::PeerIdentified { peer, agent } => NodeEvent::PeerIdentified { peer: peer.to_string(), agent },
            NetworkEvent::PeerDisconnected { peer } => NodeEvent::PeerDisconnected { peer: peer.to_string() },
            NetworkEvent::MessageReceived { message } => NodeEvent::MessageReceived { message: message.into() },
            _ => NodeEvent::Other,
        }
    }
}

fn shown(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
