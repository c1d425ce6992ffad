//! A whole KwaaiNet node: identity, network, trust, models and knowledge under one handle.

mod contribution;
mod diagnosis;
mod gate;
mod http;
mod info;
mod knowledge;
mod metrics;
mod observation;
mod place;
mod probe;
mod question;
mod status;
#[cfg(feature = "vpk")]
mod vpk;
mod word;

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use tokio_util::sync::CancellationToken;

use crate::blocking::blocking;
use crate::clock::Clock;
use crate::event::Stream;
use crate::identity::{Did, Keypair, Signer};
use crate::net::hivemind::{Hivemind, Settings};
use crate::net::{Message, Multiaddr, Network, NetworkConfig, NetworkEvent, PeerCache, Peers, ReachConfig, Target};
use crate::rag::Shares;
use crate::shard::{EngineOptions, ShardEngine};
use crate::store::Store;
use crate::trust::{Askers, TrustGraph};
use crate::{Config, Error, Result};
use contribution::Contributing;
use gate::TrustGate;
use knowledge::KnowledgeBases;

pub use contribution::{BlockShare, Contribution};
pub use info::{NodeInfo, PeerInfo};
pub use observation::RateOptions;
pub use probe::TestOptions;
pub use status::StatusRefresh;

/// How long [`Node::shutdown`] waits for what is under way unless the caller says otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// A running node. Cheap to clone; every clone is the same node.
///
/// A node runs until [`Node::shutdown`] is awaited, or until its last clone and the last [`ShardEngine`] taken from it
/// are dropped. Dropping never blocks: it aborts what is under way, and the sockets close soon after. After a shutdown
/// the facets answer `closed` for what needs the network.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    did: Did,
    started: Instant,
    clock: Arc<dyn Clock>,
    network: Network,
    trust: TrustGraph,
    shards: ShardEngine,
    #[cfg(feature = "vpk")]
    vpk: crate::vpk::Vpk,
    gate: Arc<TrustGate>,
    contribution: Contributing,
    knowledge: KnowledgeBases,
    shares: Arc<Shares>,
    servers: Mutex<Vec<Weak<crate::http::Running>>>,
    closed: CancellationToken,
}

impl Node {
    /// Starts a node: it listens, and dials nobody but the bootstraps of `config` and peers that an earlier run reached.
    ///
    /// Runs on the caller's tokio runtime, which must be a multi-thread one.
    ///
    /// # Errors
    /// `busy` when another node has the data directory or a port, `corrupt_data` and `not_found` for key files,
    /// `invalid_argument` for addresses, `unsupported` on a current-thread runtime or a directory of a newer version.
    /// Nothing keeps running after an error.
    pub async fn start(config: Config) -> Result<Node> {
        require_multi_thread()?;
        let listen = addresses("listen", &config.listen)?;
        let bootstrap = addresses("bootstrap", &config.bootstrap)?;
        let opened = {
            let config = config.clone();
            blocking(move || open(&config)).await?
        };
        let Opened { keypair, signer, store } = opened;
        #[cfg(feature = "vpk")]
        let vpk_store = store.clone();
        let knowledge = KnowledgeBases::new(config.data_dir.clone(), store.clone());
        let remembers = config.peer_cache && config.data_dir.is_some();
        let peer_cache = remembers.then(|| PeerCache::new(store.clone(), config.clock.clone()));
        let trust = TrustGraph::open(store, signer.clone(), config.clock.clone())?;
        let gate = Arc::new(TrustGate::new(trust.clone()));
        let name = config.display_name();
        let agent = format!("kwaainet/{} {name}", env!("CARGO_PKG_VERSION"));
        let hivemind = config.hivemind.then(|| Settings { clock: config.clock.clone(), ..Settings::default() });
        let (mdns, limits) = (config.mdns, config.limits.clone());
        let relays = addresses("trusted_relays", &config.trusted_relays)?;
        let (reach, relay) = (reach(&config)?, config.relay.clone());
        let network_config = NetworkConfig {
            keypair,
            listen,
            bootstrap,
            mdns,
            limits,
            agent,
            hivemind,
            relays,
            relay,
            reach,
            peer_cache,
        };
        let network = Network::start(network_config, gate.clone()).await?;
        let peers: Arc<dyn Peers> = Arc::new(network.clone());
        gate.attach(&peers)?;
        let askers = Arc::new(Askers::default());
        question::serve(&*peers, gate.clone(), askers.clone())?;
        word::serve(&*peers, gate.clone(), askers)?;
        probe::serve(&*peers, trust.clone())?;
        #[cfg(feature = "vpk")]
        let vpk = vpk::open(vpk_store, &trust, &config, &network, gate.clone());
        diagnosis::serve(&*peers, config.clock.clone())?;
        let shares = Shares::serve(&*peers, trust.clone(), config.clock.clone())?;
        let options = EngineOptions { clock: config.clock.clone(), ..EngineOptions::default() };
        let shards = ShardEngine::new(Some((peers, gate.clone())), options);
        tracing::info!(peer = %network.local_peer(), name, "node started");
        let node = Node {
            inner: Arc::new(Inner {
                name,
                did: signer.did(),
                started: Instant::now(),
                clock: config.clock.clone(),
                network,
                trust,
                shards,
                #[cfg(feature = "vpk")]
                vpk,
                gate,
                contribution: Contributing::default(),
                knowledge,
                shares,
                servers: Mutex::default(),
                closed: CancellationToken::new(),
            }),
        };
        node.keep_status_lists();
        node.keep_words();
        node.keep_blocks_placed();
        Ok(node)
    }

    /// The readable name that peers see.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The identity that signs this node's credentials. A node on an RSA key has a second, Ed25519 key for it.
    pub fn did(&self) -> Did {
        self.inner.did
    }

    /// The identity that the network knows this node by.
    pub fn peer_id(&self) -> PeerId {
        self.inner.network.local_peer()
    }

    /// Connects to a node at a multiaddress that ends in `/p2p/<peer id>`.
    pub async fn connect(&self, address: &str) -> Result<PeerId> {
        self.open()?;
        let mut parsed = addresses("address", std::slice::from_ref(&address.to_owned()))?;
        match parsed.pop() {
            Some(address) => self.inner.network.connect(address).await,
            None => Err(Error::invalid_argument("no address was given")),
        }
    }

    /// Closes every connection to a peer.
    pub async fn disconnect(&self, peer: PeerId) -> Result<()> {
        self.open()?;
        self.inner.network.disconnect(peer).await
    }

    /// Asks the DHT where a peer can be reached.
    ///
    /// # Errors
    /// `not_found` when nobody knows it.
    pub async fn find_peer(&self, peer: PeerId) -> Result<Vec<Multiaddr>> {
        self.open()?;
        self.inner.network.find_peer(peer).await
    }

    /// Sends a text of at most 64 KiB to a peer, or to whoever is at an address, dialling where there is no connection.
    /// Returns when it has arrived.
    ///
    /// # Errors
    /// As [`Network::send_message`].
    pub async fn send_message(&self, to: impl Into<Target>, text: &str) -> Result<()> {
        self.open()?;
        self.inner.network.send_message(to, text).await
    }

    /// Messages as they arrive. What came before the first reader is kept for it, as far as the inbox reaches.
    pub fn messages(&self) -> Stream<Message> {
        self.inner.network.messages()
    }

    /// What happens on the network from now on.
    pub fn events(&self) -> Stream<NetworkEvent> {
        self.inner.network.events()
    }

    /// This node's place in the DHT of hivemind and Petals; `None` unless [`Config::hivemind`] is set.
    pub fn hivemind(&self) -> Option<Hivemind> {
        self.inner.network.hivemind()
    }

    /// Credentials, scores and the policy of this node.
    pub fn trust(&self) -> TrustGraph {
        self.inner.trust.clone()
    }

    /// Language models, whole or in blocks over peers.
    pub fn shards(&self) -> ShardEngine {
        self.inner.shards.clone()
    }

    /// Whether [`Node::shutdown`] was called.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.is_cancelled()
    }

    /// Stops the node: what is under way may finish within `grace`, then it is aborted. Idempotent; returns when the
    /// sockets are closed, its servers and knowledge bases are free and what it saw of its peers is written, at most about six seconds
    /// after `grace`.
    ///
    /// # Errors
    /// `timeout` when a handler blocks its thread so that it could not be ended; failures of the disk.
    pub async fn shutdown(&self, grace: Duration) -> Result<()> {
        self.inner.closed.cancel();
        // What is being answered may need the network.
        let began = Instant::now();
        self.close_servers(grace).await;
        // A host that is not told in time ends its sessions by itself.
        let told = self.inner.shards.close_prefix_cache();
        let _ = tokio::time::timeout(grace.saturating_sub(began.elapsed()), told).await;
        let grace = grace.saturating_sub(began.elapsed());
        let ended = self.inner.network.shutdown(grace).await;
        self.inner.shares.close();
        self.inner.knowledge.shutdown().await;
        let trust = self.inner.trust.clone();
        ended.and(blocking(move || trust.flush()).await)
    }

    /// Does a piece of work again and again, first after one `period`, until the node is shut down or dropped. What fails is
    /// tried again the next time.
    fn every<F>(&self, period: Duration, what: &'static str, work: impl Fn(&Inner) -> F + Send + 'static)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (inner, closed) = (Arc::downgrade(&self.inner), self.inner.closed.clone());
        let rounds = async move {
            let mut rounds = tokio::time::interval(period);
            rounds.tick().await;
            loop {
                rounds.tick().await;
                // Nothing of the node is held while it waits, so that dropping the last handle ends it.
                let Some(round) = inner.upgrade().map(|inner| work(&inner)) else { return };
                if let Err(error) = round.await {
                    tracing::debug!(code = %error.code(), "{what} failed");
                }
            }
        };
        tokio::spawn(async move { closed.run_until_cancelled(rounds).await });
    }

    fn open(&self) -> Result<()> {
        if self.is_closed() { Err(Error::closed("the node was shut down")) } else { Ok(()) }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.inner.name).field("peer", &self.peer_id()).finish_non_exhaustive()
    }
}

struct Opened {
    keypair: Keypair,
    signer: Arc<dyn Signer>,
    store: Store,
}

fn open(config: &Config) -> Result<Opened> {
    let used = config.data_dir.as_deref().is_some_and(Store::exists);
    // The directory is locked before a key is made in it, so that two nodes cannot both make one.
    let store = match &config.data_dir {
        Some(dir) => Store::open(dir)?,
        None => Store::in_memory()?,
    };
    // Before anybody reads.
    if let Err(error) = store.wipe() {
        tracing::warn!(code = %error.code(), "vectors that hosts have taken could not be overwritten");
    }
    if let (true, Some(path)) = (used, config.default_key_file())
        && !path.exists()
    {
        return Err(Error::not_found(format!(
            "{} is missing from a data directory that was used before",
            path.display()
        ))
        .with_file(&path)
        .with_remedy(
            "restore it from a backup; with a new key, in another directory, the node is a stranger to everybody",
        ));
    }
    let keypair = config.keypair()?;
    let signer = match (keypair.did(), &config.data_dir) {
        (Ok(_), _) => keypair.signer()?,
        (Err(_), Some(dir)) => Keypair::load_or_generate(&dir.join("trust.key"))?.signer()?,
        (Err(_), None) => Keypair::generate().signer()?,
    };
    Ok(Opened { keypair, signer, store })
}

fn require_multi_thread() -> Result<()> {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let remedy = "run it on a multi-thread runtime, for example #[tokio::main]";
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => Ok(()),
        Ok(_) => Err(Error::unsupported("a node cannot run on a current-thread tokio runtime").with_remedy(remedy)),
        Err(_) => Err(Error::unsupported("a node needs a tokio runtime").with_remedy(remedy)),
    }
}

fn reach(config: &Config) -> Result<ReachConfig> {
    Ok(ReachConfig {
        announce: addresses("announce_addr", &config.announce_addr)?,
        public_ip: config.public_ip,
        public_port: config.public_port,
        force_private: config.force_private,
        identify_min_confirmations: config.identify_min_confirmations,
        identify_timeout: Duration::from_secs(config.identify_timeout_secs),
        upnp: config.upnp,
        ..ReachConfig::default()
    })
}

fn addresses(field: &str, texts: &[String]) -> Result<Vec<Multiaddr>> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|error| {
                Error::invalid_argument(format!("`{field}` has {text:?}, which is no multiaddress: {error}"))
                    .with_remedy("write it like /ip4/127.0.0.1/tcp/8080/p2p/12D3KooW…")
            })
        })
        .collect()
}
