//! The peer-to-peer network: who is there, messages, unary calls and raw streams, each with its caller authenticated.
//!
//! [`Network::start`] listens, dials the bootstraps it was given and peers that it remembers, and nobody else unasked. Peers find each other
//! through a Kademlia network of our own, `/kwaainet/kad/1.0.0`. What a node serves is decided where the call
//! arrives: limits first, then the [`Gate`], then the handler. The bytes are in [`wire`].

mod address;
mod autonat;
mod bare;
mod cache;
mod dht;
mod diagnosis;
mod dial;
mod directory;
mod dispatch;
mod driver;
mod events;
mod foreign;
pub mod hivemind;
mod limits;
mod messages;
mod meter;
mod metrics;
mod peers;
pub(crate) mod range;
mod reach;
pub(crate) mod relay;
mod roaming;
mod routing;
mod rpc;
mod stream;
mod substream;
mod swarm;
mod target;
mod tenure;
mod transport;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::compat::FuturesAsyncReadCompatExt;

pub use cache::PeerCache;
pub use diagnosis::{Cause, Diagnosis};
pub use events::{ConnectedPeer, Direction, NetworkEvent};
pub use libp2p::Multiaddr;
pub use limits::Limits;
pub use messages::{MAX_MESSAGE, Message};
pub use peers::{Duplex, PeerStream, Peers, StreamHandler, UnaryHandler};
pub use reach::{ReachConfig, Reachability, Verdict};
pub use relay::RelayLimits;
pub use target::Target;

use crate::event::Stream;
use crate::identity::Keypair;
use crate::trust::{Gate, Purpose};
use crate::{Error, Result};
use cache::Remembered;
use dial::Bootstrap;
use dispatch::{Dispatch, closed};
use driver::{CLOSING, Command, Driver, Kind, RELEASE, Shared};
use meter::Side;
use reach::Reach;
use relay::Reservations;
use routing::Routing;

/// How long a message may take, the dial included.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long each of the nodes that hold a provider record may take to forget it.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands that wait for the driver; more wait at their caller.
const COMMANDS: usize = 256;

/// What a network is started with.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// This node's key: Ed25519, or the RSA key of a bootstrap server.
    pub keypair: Keypair,
    /// Addresses to listen on, `/ip4/…/tcp/…` or `/ip4/…/udp/…/quic-v1`; port 0 takes any. Empty listens nowhere.
    pub listen: Vec<Multiaddr>,
    /// Nodes to begin with. They are dialled in the background, and again every 30 seconds while they do not answer.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to look for nodes on the local network, and dial them.
    pub mdns: bool,
    /// How much strangers may take.
    pub limits: Limits,
    /// What this node says it runs.
    pub agent: String,
    /// Takes part in the DHT of hivemind and Petals; `None`, the default, speaks none of its protocols.
    pub hivemind: Option<hivemind::Settings>,
    /// Relays to be reached through when nobody can dial this node, each with its PeerId at the end; the first ones are
    /// preferred, and others are used only while these give nothing.
    pub relays: Vec<Multiaddr>,
    /// Relays for others, within these limits and for whom the gate admits; `None`, the default, relays for nobody.
    pub relay: Option<RelayLimits>,
    /// How to find out whether others can dial this node, and what its owner knows of it.
    pub reach: ReachConfig,
    /// Where peers that were reached are kept for the next start, which dials some of them beside the bootstraps. `None`, the
    /// default, remembers nobody.
    pub peer_cache: Option<PeerCache>,
}

impl NetworkConfig {
    /// Listens on every interface, TCP and QUIC, on any port; no bootstraps, no mDNS, default limits.
    pub fn new(keypair: Keypair) -> NetworkConfig {
        use libp2p::multiaddr::Protocol;
        let any = || Multiaddr::empty().with(Protocol::Ip4([0, 0, 0, 0].into()));
        NetworkConfig {
            keypair,
            listen: vec![any().with(Protocol::Tcp(0)), any().with(Protocol::Udp(0)).with(Protocol::QuicV1)],
            bootstrap: Vec::new(),
            mdns: false,
            limits: Limits::default(),
            agent: concat!("kwaainet/", env!("CARGO_PKG_VERSION")).into(),
            hivemind: None,
            relays: Vec::new(),
            relay: None,
            reach: ReachConfig::default(),
            peer_cache: None,
        }
    }
}

/// A running node of the network. Clones are the same node; when the last one is dropped, it ends without grace.
///
/// A handler or a gate that holds a clone keeps the node alive, so end it with [`Network::shutdown`].
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    dispatch: Arc<Dispatch>,
    commands: mpsc::Sender<Command>,
    hivemind: Option<Arc<hivemind::Dht>>,
    /// What this node was told to begin with.
    bootstrap: Vec<Multiaddr>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl Network {
    /// Starts a node on the caller's tokio runtime. It listens when this returns; bootstraps are dialled afterwards.
    ///
    /// # Errors
    /// `unsupported` outside of a multi-thread tokio runtime; `busy` for an occupied port; `invalid_argument` for an
    /// address that cannot be listened on or dialled, a limit of 0 or an overlong agent; `io` when the machine has no
    /// network. A bootstrap that does not answer is no error.
    pub async fn start(config: NetworkConfig, gate: Arc<dyn Gate>) -> Result<Network> {
        check_runtime()?;
        config.limits.validate()?;
        if config.agent.len() > 256 {
            return Err(Error::invalid_argument("the agent text has more than 256 bytes"));
        }
        for address in &config.bootstrap {
            address::check_dialable(address)?;
        }
        for address in &config.relays {
            check_relay(address)?;
        }
        config.relay.as_ref().map_or(Ok(()), RelayLimits::validate)?;
        config.reach.validate(!config.listen.is_empty())?;
        let local = config.keypair.peer_id();
        let shared = Shared::new(local, config.limits.events, config.limits.inbox);
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let dispatch = Dispatch::new(shared.clone(), config.limits.clone(), gate, commands.clone());
        let receives = Arc::new(messages::Receiver { shared: shared.clone() });
        dispatch.serve_unary(messages::METHOD, Purpose::Message, receives)?;
        dispatch.serve_unary(
            dht::WITHDRAW,
            Purpose::Open,
            Arc::new(dht::Withdrawals { commands: commands.clone() }),
        )?;
        let settings = config.hivemind.clone();
        let hivemind = settings.map(|settings| {
            let pair = config.keypair.libp2p().clone();
            hivemind::Dht::new(settings, pair, dispatch.clone(), commands.clone())
        });
        let peer_cache = match config.peer_cache.clone() {
            Some(cache) => Some(Remembered::load(cache).await?),
            None => None,
        };
        let others = !config.bootstrap.is_empty() || peer_cache.as_ref().is_some_and(|known| !known.is_idle());
        let bootstrap = config.bootstrap.iter();
        let bootstrap = bootstrap.map(|address| Bootstrap { address: address.clone(), peer: None, dial: None });
        let mut driver = Driver {
            swarm: swarm::build(&config, &dispatch, hivemind.as_ref())?,
            commands: receiver,
            dispatch: dispatch.clone(),
            shared: shared.clone(),
            bootstrap: bootstrap.collect(),
            dials: HashMap::new(),
            reaching: BTreeMap::new(),
            asking: HashMap::new(),
            leaving: HashMap::new(),
            queries: HashMap::new(),
            gateway_queries: HashMap::new(),
            hivemind: hivemind.clone(),
            announced: BTreeSet::new(),
            remembered: HashMap::new(),
            routing: Routing::default(),
            reach: Reach::new(config.reach.clone()),
            reservations: Reservations::new(&config.relays),
            deferred: others.then(Vec::new),
            peer_cache,
        };
        // Made first, so that an error, or a caller that gives up, ends what was begun.
        let (hivemind_too, bootstrap) = (hivemind.clone(), config.bootstrap.clone());
        let inner = Inner { shared: shared.clone(), dispatch, commands, hivemind: hivemind_too, bootstrap };
        let network = Network { inner: Arc::new(inner) };
        driver.listen(&config.listen).await?;
        shared.tracker.spawn(driver.run());
        if let Some(dht) = hivemind {
            dht.maintain();
        }
        Ok(network)
    }

    /// This node's place in the DHT of hivemind and Petals, if it takes part in it.
    pub fn hivemind(&self) -> Option<hivemind::Hivemind> {
        self.inner.hivemind.clone().map(hivemind::Hivemind::new)
    }

    /// Addresses at which this node can be dialled, with its PeerId at their end, sorted.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.inner.shared.directory().addresses()
    }

    /// Whether others can dial this node, why, and through which relays they reach it.
    pub fn reachability(&self) -> Reachability {
        self.inner.shared.directory().reachability.clone()
    }

    /// The peers with a connection, in the order of their PeerIds.
    pub fn connected(&self) -> Vec<ConnectedPeer> {
        self.inner.shared.directory().connected()
    }

    /// Connects to a node. Returns at once when the address names a peer that is connected already.
    ///
    /// # Errors
    /// `unreachable` when nobody answers, or somebody else than the address names; `invalid_argument` for this node's
    /// own address or one without a transport; `resource_exhausted` at a connection limit; `closed`.
    pub async fn connect(&self, address: Multiaddr) -> Result<PeerId> {
        address::check_dialable(&address)?;
        self.ask(|done| Command::Connect { address, done }).await
    }

    /// Ends every connection with a peer, and returns when the last one is closed. It waits a second at most: a peer that
    /// does not take its farewell any more is left by itself.
    ///
    /// # Errors
    /// `not_found` when there is none; `closed`.
    pub async fn disconnect(&self, peer: PeerId) -> Result<()> {
        let closed = self.ask(|done| Command::Disconnect { peer, done: Some(done) });
        tokio::time::timeout(CLOSING, closed).await.unwrap_or(Ok(()))
    }

    /// Addresses of a peer, as it tells them itself, each ready for [`Network::connect`], sorted. A peer that is not
    /// connected is looked for in the DHT and dialled.
    ///
    /// # Errors
    /// `not_found` when nobody knows one at which it answers; `closed`.
    pub async fn find_peer(&self, peer: PeerId) -> Result<Vec<Multiaddr>> {
        if peer == self.inner.shared.local {
            return Ok(self.listen_addresses());
        }
        self.ask(|done| Command::FindPeer { peer, done }).await
    }

    /// Sends a text to a peer, or to whoever is at an address, dialling where there is no connection. `Ok` means that the peer
    /// has it in its inbox.
    ///
    /// # Errors
    /// `invalid_argument` for more than 64 KiB; `permission_denied` when the peer does not take messages from this
    /// node; `unreachable`, `timeout`, `closed`.
    pub async fn send_message(&self, to: impl Into<Target>, text: &str) -> Result<()> {
        messages::check(text)?;
        let peer = self.reach(to.into()).await?;
        let body = Bytes::copy_from_slice(text.as_bytes());
        self.call(peer, messages::METHOD, body, MESSAGE_TIMEOUT).await?;
        Ok(())
    }

    /// Messages as they arrive. What came before the first reader is kept for it, as far as the inbox reaches; after
    /// that every reader gets every message.
    pub fn messages(&self) -> Stream<Message> {
        self.inner.shared.inbox.subscribe()
    }

    /// What happens from now on.
    pub fn events(&self) -> Stream<NetworkEvent> {
        self.inner.shared.events.subscribe()
    }

    /// Ends the node: raw streams end at once, calls under way may finish within `grace`, then everything ends.
    /// Afterwards every call answers `closed`. May be called again, and by several at once. Before all that, a node in
    /// hivemind's DHT takes back what it announced, for three seconds at most.
    ///
    /// # Errors
    /// `timeout` when a handler blocks its thread, so that it could not be ended about six seconds after the grace.
    pub async fn shutdown(&self, grace: Duration) -> Result<()> {
        let shared = &self.inner.shared;
        if let Some(dht) = self.inner.hivemind.as_ref().filter(|_| !shared.closing.is_cancelled()) {
            dht.withdraw_all().await;
        }
        if !shared.closing.is_cancelled() {
            *shared.grace.lock().unwrap_or_else(PoisonError::into_inner) = grace;
            shared.closing.cancel();
        }
        shared.tracker.close();
        let ended = tokio::time::timeout(grace.saturating_add(CLOSING * 2 + RELEASE), shared.tracker.wait()).await;
        ended.map_err(|_| Error::timeout("a task of the network did not end; does a handler block its thread?"))
    }

    /// Sends a command and waits for its answer.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let (done, answer) = oneshot::channel();
        self.inner.commands.send(command(done)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Opens a stream of one of our two protocols.
    async fn open(&self, peer: PeerId, kind: Kind) -> Result<libp2p::Stream> {
        if peer == self.inner.shared.local {
            return Err(Error::invalid_argument("a node does not call itself over the network"));
        }
        let (opened, answer) = oneshot::channel();
        let command = Command::Open { peer, kind, opened };
        self.inner.commands.send(command).await.map_err(|_| closed())?;
        answer.await.map_err(|_| Error::unreachable("the connection ended").with("peer", peer))?
    }

    /// Runs work until its deadline, and until the network is shut down.
    async fn within<T>(&self, deadline: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.inner.shared.closing.cancelled() => Err(closed()),
            done = tokio::time::timeout_at(deadline, work) => {
                done.unwrap_or_else(|_| Err(Error::timeout("the peer did not answer in time")))
            }
        }
    }

    /// Cuts off a peer whose answer broke the protocol.
    async fn judge<T>(&self, peer: PeerId, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome
            && error.context().contains_key(wire::BROKEN)
        {
            self.inner.dispatch.cut_off(peer, error).await;
        }
        outcome
    }
}

/// Refuses an address that is not that of a relay.
fn check_relay(address: &Multiaddr) -> Result<()> {
    address::check_dialable(address)?;
    if address::peer_of(address).is_none() || address::is_relayed(address) {
        return Err(Error::invalid_argument(format!("{address} does not name a relay"))
            .with("address", address)
            .with_remedy("write it like /ip4/192.0.2.1/tcp/8080/p2p/12D3KooW…, without /p2p-circuit"));
    }
    Ok(())
}

fn check_runtime() -> Result<()> {
    let remedy = "use tokio::runtime::Builder::new_multi_thread, or #[tokio::main] as it is";
    match Handle::try_current() {
        Err(error) => {
            Err(Error::unsupported("a node runs only within a tokio runtime").with_remedy(remedy).with_source(error))
        }
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::CurrentThread => {
            Err(Error::unsupported("a node needs a multi-thread tokio runtime, and this one has a single thread")
                .with_remedy(remedy))
        }
        Ok(_) => Ok(()),
    }
}

#[async_trait]
impl Peers for Network {
    fn local_peer(&self) -> PeerId {
        self.inner.shared.local
    }

    async fn call(&self, peer: PeerId, method: &str, body: Bytes, timeout: Duration) -> Result<Bytes> {
        wire::check_name(method)?;
        let deadline = limits::deadline_after(timeout);
        let timing = self.inner.shared.meter.timing(Side::Client, method);
        let work = async {
            let stream = self.open(peer, Kind::Call).await?;
            rpc::call(stream.compat(), peer, method, &body, deadline.saturating_duration_since(Instant::now())).await
        };
        let outcome = self.within(deadline, work).await;
        timing.end(outcome.as_ref().err().map(Error::code));
        self.judge(peer, outcome).await
    }

    fn round_trip(&self, peer: PeerId) -> Option<Duration> {
        self.inner.shared.directory().round_trip(peer)
    }

    async fn open_stream(&self, peer: PeerId, protocol: &str, timeout: Duration) -> Result<PeerStream> {
        wire::check_name(protocol)?;
        let work = async {
            let stream = self.open(peer, Kind::Raw).await?;
            stream::open(stream.compat(), peer, protocol).await
        };
        let outcome = self.within(limits::deadline_after(timeout), work).await;
        Ok(Box::new(self.judge(peer, outcome).await?))
    }

    fn serve_unary(&self, method: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.inner.dispatch.serve_unary(method, purpose, handler)
    }

    fn serve_streams(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn StreamHandler>) -> Result<()> {
        self.inner.dispatch.serve_streams(protocol, purpose, handler)
    }

    fn serve_foreign(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.inner.dispatch.serve_foreign(protocol, purpose, handler)
    }

    fn stop_serving(&self, name: &str) {
        self.inner.dispatch.stop_serving(name);
    }

    async fn announce(&self, key: &str) -> Result<()> {
        let key = dht::place(key)?;
        self.ask(|done| Command::Announce { key, done }).await
    }

    async fn withdraw(&self, key: &str) -> Result<()> {
        let key = dht::place(key)?;
        let body = Bytes::copy_from_slice(&key);
        let holders = self.ask(|done| Command::Withdraw { key, done }).await?;
        let local = self.inner.shared.local;
        let asked = holders.into_iter().filter(|holder| *holder != local);
        // A node that does not answer forgets the record by itself when it expires.
        futures::future::join_all(asked.map(|holder| self.call(holder, dht::WITHDRAW, body.clone(), WITHDRAW_TIMEOUT)))
            .await;
        Ok(())
    }

    async fn providers(&self, key: &str) -> Result<Vec<PeerId>> {
        let key = dht::place(key)?;
        self.ask(|done| Command::Providers { key, done }).await
    }
}
