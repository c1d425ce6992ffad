//! The task that owns the swarm. Everything else sends it commands and reads what it publishes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, ListenError, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, TransportError, dcutr, identify, kad, mdns, ping};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{is_relayed, with_peer, without_peer};
use super::cache::{Remembered, WRITE_INTERVAL};
use super::dht::Query;
use super::dial::{Bootstrap, Reaching};
use super::directory::Directory;
use super::dispatch::Dispatch;
use super::events::{Hub, NetworkEvent};
use super::hivemind;
use super::limits::deadline_after;
use super::messages::Message;
use super::meter::{Meter, Traffic};
use super::reach::Reach;
use super::relay::{Reservations, Server, TICK};
use super::routing::Routing;
use super::substream::Opened;
use super::swarm::{Behaviour, BehaviourEvent, listen_error, probe};
use crate::{Error, Result};

/// How long closing the connections may take at the end.
pub(crate) const CLOSING: Duration = Duration::from_secs(1);
/// How long a listener may take to report its address.
const LISTENING: Duration = Duration::from_secs(10);
/// How often a bootstrap without a connection is dialled again.
const BOOTSTRAP_RETRY: Duration = Duration::from_secs(30);
/// How long questions to the DHT wait for the first bootstrap to answer.
const SETTLING: Duration = Duration::from_secs(5);
/// How long a socket may take to close after that: a QUIC connection lingers for three probe timeouts (RFC 9000,
/// section 10.2), which is three seconds when no round trip was measured yet.
pub(crate) const RELEASE: Duration = Duration::from_secs(4);
/// How often the machine is asked whether a closed socket is free.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// Where the answer to a command goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T>>;

/// Which stream protocol.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Call,
    Raw,
    /// One of hivemind's.
    Hivemind(hivemind::Method),
}

pub(crate) enum Command {
    Connect { address: Multiaddr, done: Answer<PeerId> },
    Open { peer: PeerId, kind: Kind, opened: Opened },
    Disconnect { peer: PeerId, done: Option<Answer<()>> },
    FindPeer { peer: PeerId, done: Answer<Vec<Multiaddr>> },
    Announce { key: Vec<u8>, done: Answer<()> },
    Withdraw { key: Vec<u8>, done: Answer<Vec<PeerId>> },
    Providers { key: Vec<u8>, done: Answer<Vec<PeerId>> },
    Forget { key: Vec<u8>, provider: PeerId },
}

/// What the driver, the handlers and the handle have in common.
pub(crate) struct Shared {
    pub local: PeerId,
    pub events: Hub<NetworkEvent>,
    pub inbox: Hub<Message>,
    /// Every task of the network.
    pub tracker: TaskTracker,
    /// Nothing new begins, and raw streams end.
    pub closing: CancellationToken,
    /// Whatever is still under way ends.
    pub abort: CancellationToken,
    pub grace: Mutex<Duration>,
    pub meter: Meter,
    pub traffic: Arc<Traffic>,
    directory: Mutex<Directory>,
}

impl Shared {
    pub(crate) fn new(local: PeerId, events: usize, inbox: usize) -> Arc<Shared> {
        Arc::new(Shared {
            local,
            events: Hub::new(events),
            inbox: Hub::keeping(inbox),
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            abort: CancellationToken::new(),
            grace: Mutex::new(Duration::ZERO),
            meter: Meter::default(),
            traffic: Arc::default(),
            directory: Mutex::default(),
        })
    }

    pub(crate) fn directory(&self) -> MutexGuard<'_, Directory> {
        // No code that can panic runs under this lock.
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Driver {
    pub swarm: Swarm<Behaviour>,
    pub commands: mpsc::Receiver<Command>,
    pub dispatch: Arc<Dispatch>,
    pub shared: Arc<Shared>,
    pub bootstrap: Vec<Bootstrap>,
    pub dials: HashMap<ConnectionId, Answer<PeerId>>,
    pub reaching: BTreeMap<PeerId, Reaching>,
    /// Those who want to know where a peer is that is connected and has not said it yet.
    pub asking: HashMap<PeerId, Vec<Answer<Vec<Multiaddr>>>>,
    /// Peers whose connections are being closed, with those who wait for the last of them.
    pub leaving: HashMap<PeerId, Vec<Answer<()>>>,
    pub queries: HashMap<kad::QueryId, Query>,
    pub announced: BTreeSet<Vec<u8>>,
    /// Peers that hivemind's Kademlia network is asked for.
    pub gateway_queries: HashMap<kad::QueryId, PeerId>,
    pub hivemind: Option<Arc<hivemind::Dht>>,
    /// Which keys each peer is remembered as a provider of, and since when.
    pub remembered: HashMap<PeerId, HashMap<Vec<u8>, std::time::Instant>>,
    /// What waits for the first bootstrap; `None` once it answered, failed or took too long.
    pub deferred: Option<Vec<Command>>,
    pub routing: Routing,
    pub reach: Reach,
    pub reservations: Reservations,
    /// Peers that are remembered beyond this run; `None` remembers nobody.
    pub peer_cache: Option<Remembered>,
}

impl Driver {
    /// Opens the listeners and waits until each of them has an address.
    pub(crate) async fn listen(&mut self, addresses: &[Multiaddr]) -> Result<()> {
        for address in addresses {
            probe(address)?;
        }
        let mut missing: HashMap<ListenerId, Multiaddr> = HashMap::new();
        for address in addresses {
            let id = self.swarm.listen_on(address.clone()).map_err(|error| match error {
                TransportError::Other(error) => listen_error(address, error),
                TransportError::MultiaddrNotSupported(_) => {
                    Error::invalid_argument(format!("{address} cannot be listened on"))
                }
            })?;
            missing.insert(id, address.clone());
        }
        let deadline = Instant::now() + LISTENING;
        while !missing.is_empty() {
            let event = tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await.map_err(|_| {
                Error::new(crate::ErrorCode::Io, "a listener got no address from the machine")
                    .with_remedy("check that the machine has a network interface")
            })?;
            match &event {
                SwarmEvent::NewListenAddr { listener_id, .. } => {
                    missing.remove(listener_id);
                }
                SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. } => {
                    if let Some(address) = missing.get(listener_id) {
                        return Err(listen_error(address, std::io::Error::new(error.kind(), error.to_string())));
                    }
                }
                _ => {}
            }
            self.on_event(event);
        }
        Ok(())
    }

    /// Runs until the network is shut down.
    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut retry = tokio::time::interval(BOOTSTRAP_RETRY);
        let settling = Instant::now() + SETTLING;
        let mut reaching = tokio::time::interval(TICK);
        let mut remembering = tokio::time::interval(WRITE_INTERVAL);
        self.recall();
        loop {
            tokio::select! {
                () = shared.closing.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(command) = self.commands.recv() => self.on_command(command),
                _ = retry.tick() => self.dial_bootstraps(),
                _ = reaching.tick() => {
                    self.leave_lost_addresses();
                    self.judge();
                    self.keep_reservations();
                    self.shared.directory().relaying = self.swarm.behaviour().relay.as_ref().map(Server::held);
                }
                _ = remembering.tick() => self.keep_reached(),
                () = tokio::time::sleep_until(settling), if self.deferred.is_some() => self.settle(),
            }
        }
        self.close().await;
    }

    /// Lets calls finish within the grace, ends the rest, closes the connections.
    async fn close(mut self) {
        let grace = *self.shared.grace.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = deadline_after(grace);
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            // Its answer is dropped with it, which its caller reads as closed.
            drop(command);
        }
        self.dials.clear();
        self.reaching.clear();
        self.asking.clear();
        self.leaving.clear();
        self.queries.clear();
        self.gateway_queries.clear();
        self.deferred = None;
        self.keep_reached();
        if let Some(mut remembered) = self.peer_cache.take() {
            remembered.flush().await;
        }
        self.dispatch.stop();
        let dispatch = self.dispatch.clone();
        loop {
            tokio::select! {
                () = dispatch.calls.idle() => break,
                () = tokio::time::sleep_until(deadline) => break,
                event = self.swarm.select_next_some() => self.on_event(event),
            }
        }
        self.shared.abort.cancel();
        let connected: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let deadline = Instant::now() + CLOSING;
        while self.swarm.network_info().connection_counters().num_established() > 0 {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => break,
                event = self.swarm.select_next_some() => self.on_event(event),
            }
        }
        drop(self.swarm);
        let addresses = {
            let mut directory = self.shared.directory();
            directory.peers.clear();
            directory.announced.clear();
            directory.circuits.clear();
            std::mem::take(&mut directory.listening)
        };
        // The QUIC library closes its sockets on tasks of its own, once the last farewell is sent.
        let released = async {
            while addresses.iter().any(|address| probe(&without_peer(address)).is_err()) {
                tokio::time::sleep(RELEASE_POLL).await;
            }
        };
        let _ = tokio::time::timeout(RELEASE, released).await;
        self.shared.events.close();
        self.shared.inbox.close();
    }

    /// Ends the wait for the first bootstrap, and does what waited for it.
    pub(crate) fn settle(&mut self) {
        for command in self.deferred.take().unwrap_or_default() {
            self.on_command(command);
        }
    }

    /// Whether a command needs others, of whom none is known yet.
    fn is_early(&self, command: &Command) -> bool {
        self.deferred.is_some()
            && match command {
                Command::Open { peer, .. } | Command::FindPeer { peer, .. } => !self.swarm.is_connected(peer),
                Command::Announce { .. } | Command::Withdraw { .. } | Command::Providers { .. } => true,
                Command::Connect { .. } | Command::Disconnect { .. } | Command::Forget { .. } => false,
            }
    }

    fn on_command(&mut self, command: Command) {
        if self.is_early(&command) {
            self.deferred.get_or_insert_default().push(command);
            return;
        }
        match command {
            Command::Connect { address, done } => self.connect(address, done),
            Command::Open { peer, kind, opened } => self.open(peer, kind, opened),
            Command::Disconnect { peer, done } => match self.swarm.disconnect_peer_id(peer) {
                Ok(()) => self.leaving.entry(peer).or_default().extend(done),
                Err(()) => {
                    let error = Error::not_found("the peer is not connected").with("peer", peer);
                    let _ = done.map(|done| done.send(Err(error)));
                }
            },
            Command::FindPeer { peer, done } => self.find_peer(peer, done),
            Command::Announce { key, done } => self.announce(key, done),
            Command::Withdraw { key, done } => self.withdraw(key, done),
            Command::Providers { key, done } => self.providers(key, done),
            Command::Forget { key, provider } => self.forget(&key, &provider),
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } if is_relayed(&address) => {
                self.circuit_listening(listener_id, &address);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.listening(address),
            SwarmEvent::ExpiredListenAddr { address, .. } if is_relayed(&address) => {}
            SwarmEvent::ExpiredListenAddr { address, .. } => self.listening_stopped(&address),
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                if self.circuit_closed(listener_id, &reason) {
                    return;
                }
                if let Err(error) = reason {
                    tracing::warn!(%error, "a listener closed");
                }
                for address in addresses {
                    self.listening_stopped(&address);
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => self.disconnected(peer_id, connection_id),
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError { error: ListenError::Denied { .. }, .. } => {
                self.shared.meter.refused.fetch_add(1, Ordering::Relaxed);
            }
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            _ => {}
        }
    }

    fn listening(&mut self, address: Multiaddr) {
        if !self.reach.listening.contains(&address) {
            self.reach.listening.push(address.clone());
        }
        // Without a confirmed address, other nodes would hand out empty provider records for this one.
        self.judge();
        let address = with_peer(&address, self.shared.local);
        let mut directory = self.shared.directory();
        if !directory.listening.contains(&address) {
            directory.listening.push(address.clone());
            directory.listening.sort();
            drop(directory);
            self.shared.events.send(NetworkEvent::Listening { address });
        }
    }

    fn listening_stopped(&mut self, address: &Multiaddr) {
        self.reach.listening.retain(|known| known != address);
        self.leave_lost_addresses();
        self.judge();
        let address = with_peer(address, self.shared.local);
        self.shared.directory().listening.retain(|known| *known != address);
        self.shared.events.send(NetworkEvent::ListeningStopped { address });
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Ping(ping::Event { peer, connection, result }) => match result {
                Ok(rtt) => {
                    if let Some(known) = self.shared.directory().peers.get_mut(&peer) {
                        known.rtt = Some(rtt);
                    }
                }
                // It may serve other protocols.
                Err(ping::Failure::Unsupported) => {}
                // A peer that is there answers; the next call shall not wait for one that is not. That a stream for the
                // ping could not even be opened says the same.
                Err(_) => {
                    self.swarm.close_connection(connection);
                }
            },
            BehaviourEvent::Identify(identify::Event::Received { connection_id, peer_id, info }) => {
                self.identified(peer_id, connection_id, info);
                self.tell_whereabouts(peer_id);
            }
            BehaviourEvent::Identify(identify::Event::Error { peer_id, .. }) => self.undescribed(peer_id),
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Hivemind(hivemind::BehaviourEvent::Kad(event)) => self.on_gateway(event),
            BehaviourEvent::Dcutr(dcutr::Event { remote_peer_id, result }) => match result {
                Ok(_) => self.shared.events.send(NetworkEvent::PeerDirect { peer: remote_peer_id }),
                Err(error) => tracing::debug!(%error, "the way through a relay stays the only one"),
            },
            BehaviourEvent::Autonat(event) => self.on_autonat(event),
            BehaviourEvent::Upnp(event) => self.on_upnp(event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    if !self.swarm.is_connected(&peer) {
                        let opts = DialOpts::peer_id(peer).addresses(vec![address]).build();
                        // Refused dials mean that one is under way.
                        let _ = self.swarm.dial(opts);
                    }
                }
            }
            _ => {}
        }
    }
}
