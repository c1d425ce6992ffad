//! hivemind's part of the swarm: its protocols, and the Kademlia network by which its nodes find each other's addresses.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, StreamProtocol, kad};

use super::Dht;
use crate::net::bare::PREFIX;
use crate::net::substream::{self, Opened};

/// The Kademlia network of go-libp2p-daemon. Its name is that of the public IPFS network as well, so that only peers
/// which speak hivemind's protocols are put into its routing table.
const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");

/// Large enough that every hivemind node that was connected once is found: a bucket of 20 would forget some.
const KAD_BUCKET: usize = 256;

/// What is called and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Ping,
    Store,
    Find,
    /// Petals' question whether a peer can be reached from here.
    Check,
}

impl Method {
    const ALL: [Method; 4] = [Method::Ping, Method::Store, Method::Find, Method::Check];

    /// Its name here.
    fn local(self) -> &'static str {
        match self {
            Method::Ping => "/bare/DHTProtocol.rpc_ping",
            Method::Store => "/bare/DHTProtocol.rpc_store",
            Method::Find => "/bare/DHTProtocol.rpc_find",
            Method::Check => "/bare/ReachabilityProtocol.rpc_check",
        }
    }

    /// Its name on the wire.
    pub(super) fn name(self) -> &'static str {
        self.local().trim_start_matches(PREFIX)
    }

    fn behaviour(self, dht: &Arc<Dht>) -> substream::Behaviour {
        let dht = dht.clone();
        let accept = Arc::new(move |caller, stream| dht.accept(self, caller, stream));
        // These calls are the lookups of that DHT.
        substream::Behaviour::new(StreamProtocol::new(self.local()), Duration::ZERO, accept)
    }
}

/// Whether a peer that speaks these protocols is a node of hivemind's DHT.
pub(crate) fn speaks_hivemind(protocols: &[StreamProtocol]) -> bool {
    let dht = [Method::Ping, Method::Store, Method::Find];
    dht.iter().all(|method| protocols.iter().any(|protocol| protocol.as_ref() == method.local()))
}

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    ping: substream::Behaviour,
    store: substream::Behaviour,
    find: substream::Behaviour,
    check: substream::Behaviour,
    pub kad: kad::Behaviour<MemoryStore>,
}

impl Behaviour {
    pub(crate) fn new(local: PeerId, dht: &Arc<Dht>) -> Behaviour {
        let [ping, store, find, check] = Method::ALL.map(|method| method.behaviour(dht));
        Behaviour { ping, store, find, check, kad: kademlia(local) }
    }

    /// Opens a stream to a connected peer.
    pub(crate) fn open(&mut self, peer: PeerId, method: Method, opened: Opened) {
        let behaviour = match method {
            Method::Ping => &mut self.ping,
            Method::Store => &mut self.store,
            Method::Find => &mut self.find,
            Method::Check => &mut self.check,
        };
        behaviour.open(peer, opened);
    }
}

fn kademlia(local: PeerId) -> kad::Behaviour<MemoryStore> {
    // Nothing is stored for anybody: this network only answers where peers are.
    let store = MemoryStoreConfig { max_records: 0, max_provided_keys: 0, ..Default::default() };
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_periodic_bootstrap_interval(None)
        .set_kbucket_size(NonZeroUsize::new(KAD_BUCKET).unwrap_or(NonZeroUsize::MIN));
    let mut kad = kad::Behaviour::with_config(local, MemoryStore::with_config(local, store), config);
    kad.set_mode(Some(kad::Mode::Server));
    kad
}
