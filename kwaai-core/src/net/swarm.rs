//! The libp2p swarm: transports, and the behaviours that share every connection.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{Config, ConnectionId, DialError, DialFailure, FromSwarm, NetworkBehaviour, Swarm};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, SwarmBuilder, connection_limits, dcutr, identify, kad, mdns,
    memory_connection_limits, noise, ping, relay, upnp, yamux,
};
use tokio_util::task::TaskTracker;

use super::address::ip_of;
use super::autonat::Autonat;
use super::dispatch::Dispatch;
use super::limits::{Limits, Ranges};
use super::relay::Server;
use super::{NetworkConfig, bare, foreign, hivemind, rpc, stream, substream, tenure, transport};
use crate::{Error, ErrorCode, Result};

/// Our own Kademlia network, apart from every other.
pub(crate) const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/kwaainet/kad/1.0.0");

/// What identify names as the protocol family.
const IDENTIFY_VERSION: &str = "/kwaainet/1.0.0";

/// A record says for this long who provides a key; every bootstrap renews those of the node that made it.
pub(super) const PROVIDER_TTL: Duration = Duration::from_secs(30 * 60);

/// How often the routing table is refreshed, and with it this node's provider records.
const BOOTSTRAP_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How long a peer may take to answer a ping; the second in a row that it does not answer ends the connection.
const PONG: Duration = Duration::from_secs(10);

/// How many peers a lookup asks at the same time, as IPFS does. One that is gone, or just hanging up, holds its place for ten
/// seconds, and with three a few of those hold up the whole lookup.
const PARALLELISM: NonZeroUsize = NonZeroUsize::new(10).unwrap();

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    // The limits come first: what they refuse, the others never see.
    connections: connection_limits::Behaviour,
    ranges: Ranges,
    memory: memory_connection_limits::Behaviour,
    ping: ping::Behaviour,
    pub identify: identify::Behaviour,
    pub kad: kad::Behaviour<kad::store::MemoryStore>,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub tenure: tenure::Behaviour,
    pub rpc: substream::Behaviour,
    pub streams: substream::Behaviour,
    foreign: foreign::Behaviour,
    pub hivemind: Toggle<hivemind::Behaviour>,
    pub relay_client: relay::client::Behaviour,
    pub relay: Toggle<Server>,
    pub dcutr: dcutr::Behaviour,
    pub autonat: Toggle<Autonat>,
    upnp: Toggle<upnp::tokio::Behaviour>,
}

impl Behaviour {
    /// Questions of lookups may have gone with one connection of several. Kademlia notices such a loss only at the last one of a
    /// peer, and would wait ten seconds for an answer that cannot come.
    pub(crate) fn answers_lost(&mut self, peer: PeerId, connection_id: ConnectionId) {
        let failure = || DialFailure { peer_id: Some(peer), error: &DialError::Aborted, connection_id };
        self.kad.on_swarm_event(FromSwarm::DialFailure(failure()));
        if let Some(hivemind) = self.hivemind.as_mut() {
            hivemind.kad.on_swarm_event(FromSwarm::DialFailure(failure()));
        }
    }
}

pub(crate) fn build(
    config: &NetworkConfig,
    dispatch: &Arc<Dispatch>,
    dht: Option<&Arc<hivemind::Dht>>,
) -> Result<Swarm<Behaviour>> {
    let keypair = config.keypair.libp2p();
    let traffic = Some(dispatch.shared.traffic.clone());
    let transports = || {
        let (of_tcp, of_quic) = (traffic.clone(), traffic.clone());
        SwarmBuilder::with_existing_identity(keypair.clone())
            .with_tokio()
            .with_other_transport(move |key| transport::over_tcp(key, of_tcp).map_err(Into::into))
            .map(|builder| never(builder.with_other_transport(move |key| transport::over_quic(key, of_quic))))
            .map_err(refused)
    };
    let tracker = dispatch.shared.tracker.clone();
    let (_, linger) = tenure::divide(config.limits.idle_connection);
    // One address after the other, the fastest transport first (RFC 8305). Dialling all at once leaves QUIC handshakes
    // behind that lost the race, and each keeps its socket for three seconds after the node has ended.
    let settings = move |_| executor(tracker).with_idle_connection_timeout(linger).with_smart_dial();
    let behaviour = behaviour(config, dispatch, dht)?;
    // The bytes of a circuit are those of a stream with its relay, and counted there.
    let mux = || bare::Upgrade { inner: yamux::Config::default(), traffic: None };
    match transports()?.with_dns() {
        Ok(builder) => {
            let builder = builder.with_relay_client(noise::Config::new, mux).map_err(refused)?;
            Ok(never(builder.with_behaviour(|_, client| behaviour(client))).with_swarm_config(settings).build())
        }
        Err(error) => {
            // A machine without a resolver still reaches every address that is a number.
            tracing::warn!(%error, "no system resolver, so /dns addresses cannot be dialled");
            let builder = transports()?.with_relay_client(noise::Config::new, mux).map_err(refused)?;
            Ok(never(builder.with_behaviour(|_, client| behaviour(client))).with_swarm_config(settings).build())
        }
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("the noise handshake refused the key").with_source(error)
}

fn never<T>(result: std::result::Result<T, std::convert::Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// Connections run as tracked tasks, so that a shutdown can wait for the last of them.
fn executor(tracker: TaskTracker) -> Config {
    Config::with_executor(move |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        tracker.spawn(task);
    })
}

fn behaviour(
    config: &NetworkConfig,
    dispatch: &Arc<Dispatch>,
    dht: Option<&Arc<hivemind::Dht>>,
) -> Result<impl FnOnce(relay::client::Behaviour) -> Behaviour> {
    let public = config.keypair.libp2p().public();
    let local = public.to_peer_id();
    let Limits { max_memory_share, max_provided_keys, idle_connection, .. } = config.limits;
    let (held, _) = tenure::divide(idle_connection);
    let mdns = match config.mdns {
        true => Some(
            mdns::tokio::Behaviour::new(mdns::Config::default(), local)
                .map_err(|error| Error::new(ErrorCode::Io, "mDNS cannot start on this machine").with_source(error))?,
        ),
        false => None,
    };
    let identify = identify::Config::new(IDENTIFY_VERSION.into(), public)
        .with_agent_version(config.agent.clone())
        .with_push_listen_addr_updates(true)
        // What is told is what this node announces, see `reach`; of what peers tell, `directory` keeps what can be true.
        .with_cache_size(0)
        .with_hide_listen_addrs(true);
    let (calls, streams, others) = (dispatch.clone(), dispatch.clone(), dispatch.clone());
    let connections = connection_limits::Behaviour::new(connection_limits_of(&config.limits));
    let ranges = Ranges::new(&config.limits);
    let hivemind = dht.map(|dht| hivemind::Behaviour::new(local, dht)).into();
    let server = config.relay.clone().map(|limits| Server::new(local, limits, dispatch.clone()));
    let reach = &config.reach;
    let autonat = reach.autonat.then(|| Autonat::new(local, !reach.force_private));
    let beyond = |address: &Multiaddr| ip_of(address).is_none_or(|ip| !ip.is_loopback());
    let upnp = (reach.upnp && config.listen.iter().any(beyond)).then(upnp::tokio::Behaviour::default);
    Ok(move |relay_client| Behaviour {
        relay_client,
        relay: server.into(),
        dcutr: dcutr::Behaviour::new(local),
        autonat: autonat.into(),
        upnp: upnp.into(),
        connections,
        ranges,
        memory: memory_connection_limits::Behaviour::with_max_percentage(max_memory_share),
        ping: ping::Behaviour::new(ping::Config::new().with_timeout(PONG)),
        identify: identify::Behaviour::new(identify),
        kad: kademlia(local, max_provided_keys),
        mdns: mdns.into(),
        tenure: tenure::Behaviour::new(held),
        rpc: substream::Behaviour::new(
            StreamProtocol::new(rpc::PROTOCOL),
            held,
            Arc::new(move |peer, stream| calls.accept_call(peer, stream)),
        ),
        streams: substream::Behaviour::new(
            StreamProtocol::new(stream::PROTOCOL),
            held,
            Arc::new(move |peer, stream| streams.accept_stream(peer, stream)),
        ),
        foreign: foreign::Behaviour::new(
            others.offered.clone(),
            Arc::new(move |peer, name, stream| others.accept_foreign(peer, &name, stream)),
        ),
        hivemind,
    })
}

fn connection_limits_of(limits: &Limits) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_established(Some(limits.max_connections))
        .with_max_established_incoming(Some(limits.max_incoming_connections))
        .with_max_established_per_peer(Some(limits.max_connections_per_peer))
        .with_max_pending_incoming(Some(limits.max_pending_incoming))
        .with_max_pending_outgoing(Some(limits.max_pending_outgoing))
}

pub(super) fn kademlia(local: PeerId, max_provided_keys: usize) -> kad::Behaviour<kad::store::MemoryStore> {
    let store = kad::store::MemoryStoreConfig {
        // Values are not stored for anybody; see how inbound records are filtered.
        max_records: 0,
        max_provided_keys,
        ..Default::default()
    };
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        // `routing` says who comes in.
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_parallelism(PARALLELISM)
        .set_provider_record_ttl(Some(PROVIDER_TTL))
        .set_provider_publication_interval(Some(PROVIDER_TTL / 3))
        .set_periodic_bootstrap_interval(Some(BOOTSTRAP_INTERVAL))
        .set_kbucket_size(NonZeroUsize::new(20).unwrap_or(NonZeroUsize::MIN));
    let mut kad = kad::Behaviour::with_config(local, kad::store::MemoryStore::with_config(local, store), config);
    // Automatic mode would wait for a public address, which a private network never has.
    kad.set_mode(Some(kad::Mode::Server));
    kad
}

/// Refuses an address that cannot be listened on, before the swarm tries: libp2p shares TCP ports between the
/// sockets of one user, so that a second node on the same port would not fail but silently take half of the calls.
pub(crate) fn probe(address: &Multiaddr) -> Result<()> {
    let parts: Vec<_> = address.iter().collect();
    let ip = ip_of(address);
    let (ip, port, tcp) = match (ip, &parts[..]) {
        (Some(ip), [_, Protocol::Tcp(port)]) => (ip, *port, true),
        (Some(ip), [_, Protocol::Udp(port), Protocol::QuicV1]) => (ip, *port, false),
        _ => {
            return Err(Error::invalid_argument(format!("{address} cannot be listened on"))
                .with("address", address)
                .with_remedy("write it like /ip4/0.0.0.0/tcp/0 or /ip4/0.0.0.0/udp/0/quic-v1"));
        }
    };
    if ip.is_ipv6() && ip.is_unspecified() {
        // The probe would claim the port for IPv4 as well, which the swarm does not.
        return Ok(());
    }
    let socket = SocketAddr::new(ip, port);
    let bound = if tcp { TcpListener::bind(socket).map(drop) } else { UdpSocket::bind(socket).map(drop) };
    bound.map_err(|error| listen_error(address, error))
}

/// Why an address could not be listened on.
pub(crate) fn listen_error(address: &Multiaddr, error: std::io::Error) -> Error {
    use std::io::ErrorKind;
    let (code, remedy) = match error.kind() {
        ErrorKind::AddrInUse => (ErrorCode::Busy, "choose another port, or 0 for any"),
        ErrorKind::AddrNotAvailable => (ErrorCode::InvalidArgument, "use an address of this machine, or 0.0.0.0"),
        ErrorKind::PermissionDenied => (ErrorCode::PermissionDenied, "choose a port above 1023, or 0 for any"),
        _ => (ErrorCode::Io, "check the address and the machine's network"),
    };
    Error::new(code, format!("cannot listen on {address}: {error}"))
        .with("address", address)
        .with_remedy(remedy)
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_occupied_port_is_busy_and_says_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = probe(&address(&format!("/ip4/127.0.0.1/tcp/{port}"))).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Busy);
        assert!(error.to_string().contains("0 for any"));
    }

    #[test]
    fn what_cannot_be_listened_on_is_an_invalid_argument() {
        for text in
            ["/ip4/127.0.0.1", "/dns4/localhost/tcp/0", "/ip4/127.0.0.1/udp/0", "/memory/1", "/ip4/192.0.2.1/tcp/0"]
        {
            assert_eq!(probe(&address(text)).unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
        }
    }
}
