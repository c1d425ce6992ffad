//! Nodes that own, nodes that host, and hosts that do what they should not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::clock::SystemClock;
use kwaai_core::identity::{Did, Keypair, PeerId};
use kwaai_core::net::{Network, NetworkConfig, Peers, UnaryHandler};
use kwaai_core::store::Store;
use kwaai_core::trust::{Gate, Purpose, Tier};
use kwaai_core::vpk::{
    Call, CollectionConfig, CollectionId, Depot, DepotPolicy, Described, Found, HostName, Item, METHODS, Metric, Mode,
    PayloadName, Placement, Request, SegmentStamp,
};
use kwaai_core::{Config, Error, Node};
use serde_json::{Map, Value, json};

pub const DIMENSION: usize = 8;
pub const GRACE: Duration = Duration::from_secs(2);

fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

/// A policy under which everybody is a tenant.
pub fn open_policy() -> DepotPolicy {
    DepotPolicy { min_tier: Some(Tier::Unknown), ..DepotPolicy::of(256 << 20) }
}

pub async fn node(dir: &Path) -> Node {
    Node::start(Config { data_dir: Some(dir.to_path_buf()), ..Config::default() }).await.unwrap()
}

/// Waits until something is so, and says what it was.
pub async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "it did not come to be in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn connect(from: &Node, to: &Node) {
    from.connect(&to.info().unwrap().addresses[0].to_string()).await.unwrap();
}

pub fn config(mode: Mode, hosts: Vec<HostName>) -> CollectionConfig {
    let colluding = if mode == Mode::Split { 1 } else { 0 };
    CollectionConfig {
        mode,
        dimension: DIMENSION,
        metric: Metric::Cosine,
        hosts,
        colluding,
        placement: Placement::default(),
    }
}

/// Xorshift64*: the same vectors on every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
    }
}

pub fn metadata(parity: u64) -> Map<String, Value> {
    json!({"parity": parity}).as_object().unwrap().clone()
}

/// Vectors with their number as payload.
pub fn items(ids: std::ops::Range<u64>) -> Vec<Item> {
    ids.map(|id| {
        let text = format!("text {id}");
        Item::new(id, Random(id + 1).vector()).with_payload(text).with_metadata(metadata(id % 2))
    })
    .collect()
}

pub fn ids(found: &Found) -> Vec<u64> {
    found.hits.iter().map(|hit| hit.id).collect()
}

/// The ids of the nearest by cosine, as a reference computes them.
pub fn nearest(items: &[Item], query: &[f32], k: usize) -> Vec<u64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let cosine = |item: &Item| dot(&item.vector, query) / (dot(&item.vector, &item.vector) * dot(query, query)).sqrt();
    let mut ranked: Vec<(f64, u64)> = items.iter().map(|item| (cosine(item), item.id)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().take(k).map(|(_, id)| id).collect()
}

/// What a host does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    Honest,
    /// One score of each answer is another.
    LiesAboutScores,
    /// Hands out segments and payloads with a bit flipped.
    HandsOutOther,
    /// Answers nothing.
    Silent,
    /// Says that it cannot just now.
    Away,
    /// Takes nothing more.
    Full,
    /// Hands out what it remembers of the records of where collections are, or of their manifests.
    HandsOutOldTopology,
    HandsOutOldManifest,
    /// Hands out records with a bit flipped.
    HandsOutForgedTopology,
    /// Has no payloads but the pages of manifests.
    LosesPayloads,
}

struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<(), Error> {
        Ok(())
    }
}

/// A host whose conduct is set by the test.
pub struct Host {
    pub network: Network,
    pub depot: Arc<Depot>,
    conduct: Arc<Mutex<Conduct>>,
    past: Arc<Mutex<Past>>,
}

/// What a host has ever been given, as far as it can hand it out again.
#[derive(Default)]
struct Past {
    topologies: Vec<Vec<u8>>,
    manifests: Vec<Vec<u8>>,
    payloads: BTreeMap<PayloadName, Vec<u8>>,
    /// The topology and the manifest of the day that it remembers.
    remembered: Option<(Vec<u8>, Vec<u8>)>,
}

struct Handler {
    depot: Arc<Depot>,
    method: &'static str,
    conduct: Arc<Mutex<Conduct>>,
    past: Arc<Mutex<Past>>,
}

impl Host {
    pub async fn start(seed: u8) -> Host {
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let config = NetworkConfig { listen, ..NetworkConfig::new(key(seed)) };
        let network = Network::start(config, Arc::new(Everybody)).await.unwrap();
        let store = Store::in_memory().unwrap();
        let did = key(seed).did().unwrap();
        let depot = Arc::new(Depot::open(store, did, Arc::new(SystemClock), open_policy()).unwrap());
        let conduct = Arc::new(Mutex::new(Conduct::Honest));
        let past = Arc::<Mutex<Past>>::default();
        for method in METHODS {
            let handler = Handler { depot: depot.clone(), method, conduct: conduct.clone(), past: past.clone() };
            network.serve_unary(method, Purpose::StoreVectors, Arc::new(handler)).unwrap();
        }
        Host { network, depot, conduct, past }
    }

    pub async fn several(count: u8, owner: &Node) -> Vec<Host> {
        let mut hosts = Vec::new();
        for seed in 0..count {
            let host = Host::start(200 + seed).await;
            owner.connect(&host.network.listen_addresses()[0].to_string()).await.unwrap();
            hosts.push(host);
        }
        hosts
    }

    pub fn name(&self) -> HostName {
        HostName::Peer(self.network.local_peer())
    }

    pub fn behave(&self, conduct: Conduct) {
        *self.conduct.lock().unwrap() = conduct;
    }

    /// Remembers what it has now.
    pub fn remember(&self) {
        let mut past = self.past.lock().unwrap();
        past.remembered = Some((past.topologies.last().unwrap().clone(), past.manifests.last().unwrap().clone()));
    }

    /// The last record of where a collection is that was brought to it.
    pub fn topology(&self) -> Vec<u8> {
        self.past.lock().unwrap().topologies.last().unwrap().clone()
    }

    /// The ids of what it keeps for an owner, whatever is asked of it.
    pub fn collections(&self, owner: Did) -> Vec<CollectionId> {
        let request = Request { collection: CollectionId([0; 16]), capability: None, call: Call::List };
        let listed = Described::read(&self.depot.answer(owner, &request).unwrap()).unwrap();
        listed.into_iter().map(|described| described.collection).collect()
    }

    /// The segments that it keeps of a collection.
    pub fn stamps(&self, owner: Did, collection: CollectionId) -> Vec<SegmentStamp> {
        let request = Request { collection, capability: None, call: Call::Describe };
        Described::read(&self.depot.answer(owner, &request).unwrap()).unwrap().remove(0).segments
    }

    pub fn segments(&self, owner: Did, collection: CollectionId) -> usize {
        self.stamps(owner, collection).len()
    }
}

pub fn names(hosts: &[Host]) -> Vec<HostName> {
    hosts.iter().map(Host::name).collect()
}

#[async_trait]
impl UnaryHandler for Handler {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes, Error> {
        let conduct = *self.conduct.lock().unwrap();
        let request = Request::read(self.method, &body)?;
        match (conduct, &request.call) {
            (Conduct::Silent, _) => std::future::pending().await,
            (Conduct::Away, _) => return Err(Error::unreachable("not now")),
            (Conduct::Full, Call::PutSegment(_) | Call::PutPayload(..)) => {
                return Err(Error::resource_exhausted("no more"));
            }
            _ => {}
        }
        let caller = Did::from_peer_id(&caller)?;
        // As every host: a worker that computes for seconds answers no ping, and its connections are lost.
        let answered = {
            let (depot, request) = (self.depot.clone(), request.clone());
            tokio::task::spawn_blocking(move || depot.answer(caller, &request)).await.unwrap()
        };
        let mut past = self.past.lock().unwrap();
        let mut answer = match (answered, &request.call) {
            (Ok(answer), _) => answer,
            // The pages of an old manifest.
            (Err(error), Call::FetchPayload(name)) if conduct == Conduct::HandsOutOldManifest => {
                past.payloads.get(name).ok_or(error)?.clone()
            }
            (Err(error), _) => return Err(error),
        };
        match &request.call {
            Call::PutTopology(record) => past.topologies.push(record.clone()),
            Call::PutPayload(name, bytes) => drop(past.payloads.insert(*name, bytes.clone())),
            Call::ReplaceManifest(..) => {
                let kept = Request { collection: request.collection, capability: None, call: Call::ReadManifest };
                past.manifests.push(self.depot.answer(caller, &kept)?);
            }
            _ => {}
        }
        let middle = answer.len() / 2;
        let read_for_its_owner = request.capability.is_some();
        match (conduct, &request.call) {
            (Conduct::HandsOutOldTopology, Call::Resolve(_)) => answer = past.remembered.clone().unwrap().0,
            (Conduct::HandsOutOldManifest, Call::ReadManifest) if read_for_its_owner => {
                answer = past.remembered.clone().unwrap().1;
            }
            (Conduct::HandsOutForgedTopology, Call::Resolve(_)) => answer[middle] ^= 1,
            // Payloads are padded, and the pages of manifests are not.
            (Conduct::LosesPayloads, Call::FetchPayload(_)) if answer.len() % 256 == 46 => {
                return Err(Error::not_found("it is gone"));
            }
            // Under `Split` a part of one number; under `Seal` one of a ciphertext, above its noise.
            (Conduct::LiesAboutScores, Call::Ask(_)) => answer[12] ^= 0x40,
            (Conduct::HandsOutOther, Call::FetchSegment(_) | Call::FetchPayload(_)) => answer[middle] ^= 1,
            _ => {}
        }
        Ok(answer.into())
    }
}
