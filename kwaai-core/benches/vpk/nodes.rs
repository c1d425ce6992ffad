//! Hosts on sockets, each with a line of its own: as far away as it is said to be, late with its answers, or lying.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::clock::SystemClock;
use kwaai_core::identity::{Did, Keypair, PeerId};
use kwaai_core::net::{Multiaddr, Network, NetworkConfig, Peers, ReachConfig, UnaryHandler};
use kwaai_core::store::Store;
use kwaai_core::trust::{Gate, Purpose};
use kwaai_core::vpk::{
    Call, Collection, CollectionConfig, Depot, DepotPolicy, HostName, Item, METHODS, Metric, Mode, Placement, Request,
};
use kwaai_core::{Config, Node, Result};
use serde_json::{Map, Value, json};

use crate::slow_line::slow_line;
use crate::{QUESTIONS, Random, SEGMENT, best, median};

/// Milliseconds from one node to eleven others and back, near and on other continents.
const ROUND_TRIPS: [f64; 11] = [24.0, 27.5, 30.6, 52.6, 56.5, 95.3, 95.9, 98.3, 99.8, 104.4, 105.3];

/// How far a host is, and how it behaves.
#[derive(Clone, Copy, Default)]
struct Line {
    round_trip: Duration,
    late: Duration,
    lies: bool,
}

struct Served {
    depot: Arc<Depot>,
    method: &'static str,
    line: Line,
}

#[async_trait]
impl UnaryHandler for Served {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        let request = Request::read(self.method, &body)?;
        let question = matches!(request.call, Call::Ask(_));
        let (depot, caller) = (self.depot.clone(), Did::from_peer_id(&caller)?);
        let mut answer = tokio::task::spawn_blocking(move || depot.answer(caller, &request)).await.unwrap()?;
        if question {
            // One score of them all.
            answer[100] ^= u8::from(self.line.lies);
            tokio::time::sleep(self.line.late).await;
        }
        Ok(answer.into())
    }
}

struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<()> {
        Ok(())
    }
}

async fn hosts(owner: &Node, lines: &[Line]) -> Vec<Network> {
    let mut networks = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let pair = Keypair::from_seed([200 + number as u8; 32]);
        let (did, clock) = (pair.did().unwrap(), Arc::new(SystemClock));
        let depot = Depot::open(Store::in_memory().unwrap(), did, clock, DepotPolicy::of(4 << 30)).unwrap();
        let depot = Arc::new(depot);
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        // Whoever tries whether the owner can be dialled opens a way past the line.
        let reach = ReachConfig { autonat: false, ..ReachConfig::default() };
        let config = NetworkConfig { listen, reach, ..NetworkConfig::new(pair) };
        let network = Network::start(config, Arc::new(Everybody)).await.unwrap();
        for method in METHODS {
            let served = Served { depot: depot.clone(), method, line: *line };
            network.serve_unary(method, Purpose::StoreVectors, Arc::new(served)).unwrap();
        }
        let address = match line.round_trip {
            Duration::ZERO => network.listen_addresses()[0].clone(),
            round_trip => far(&network.listen_addresses()[0], round_trip).await,
        };
        owner.connect(&address.to_string()).await.unwrap();
        networks.push(network);
    }
    networks
}

/// The same address at the other end of a line.
async fn far(address: &Multiaddr, round_trip: Duration) -> Multiaddr {
    let address = address.to_string();
    let (before, rest) = address.split_once("/tcp/").unwrap();
    let (port, after) = rest.split_once('/').unwrap_or((rest, ""));
    let near = slow_line(port.parse().unwrap(), round_trip / 2).await;
    format!("{before}/tcp/{near}/{after}").trim_end_matches('/').parse().unwrap()
}

/// What was measured of one collection.
struct Measured {
    times: Vec<f64>,
    durable_ms: f64,
    searchable_ms: f64,
    /// Of the ten nearest, in all questions.
    found: usize,
    /// Of the ten nearest, in the worst question.
    least: usize,
}

async fn measure(collection: &Collection, corpus: &[Vec<f32>], dimension: usize) -> Measured {
    let start = Instant::now();
    let since = || start.elapsed().as_secs_f64() * 1000.0;
    for (number, batch) in corpus.chunks(SEGMENT).enumerate() {
        let first = number * SEGMENT;
        let items = batch.iter().enumerate().map(|(at, vector)| Item::new((first + at) as u64, vector.clone()));
        collection.upsert(items.collect()).await.unwrap();
    }
    let durable_ms = since();
    collection.flush().await.unwrap();
    let mut measured = Measured { times: Vec::new(), durable_ms, searchable_ms: 0.0, found: 0, least: 10 };
    let mut random = Random(77);
    for number in 0..=QUESTIONS {
        let vector = random.vector(dimension);
        let start = Instant::now();
        let found = collection.search(&vector, 10, &Map::new()).await.unwrap();
        // The first question has the hosts read the collection to memory.
        if number == 0 {
            measured.searchable_ms = since();
            continue;
        }
        measured.times.push(start.elapsed().as_secs_f64() * 1000.0);
        let cosine = corpus.iter().map(|row| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
            dot(row, &vector) / (dot(row, row) * dot(&vector, &vector)).sqrt()
        });
        let truth = best(cosine);
        let right = found.hits.iter().filter(|hit| truth.contains(&(hit.id as usize))).count();
        (measured.found, measured.least) = (measured.found + right, measured.least.min(right));
    }
    measured
}

fn config(mode: Mode, colluding: usize, dimension: usize, hosts: &[Network]) -> CollectionConfig {
    let hosts = hosts.iter().map(|network| HostName::Peer(network.local_peer())).collect();
    CollectionConfig { mode, dimension, metric: Metric::Cosine, hosts, colluding, placement: Placement::default() }
}

/// `Split` over five hosts, of which one is half a second late and one lies.
pub async fn one_late_and_one_lying(corpus: &[Vec<f32>], dimension: usize) -> Value {
    let owner = Node::start(Config::default()).await.unwrap();
    let mut lines = [Line::default(); 5];
    lines[0].late = Duration::from_millis(500);
    lines[1].lies = true;
    let hosts = hosts(&owner, &lines).await;
    let collection = owner.vpk().create("bench", config(Mode::Split, 1, dimension, &hosts)).await.unwrap();
    let measured = measure(&collection, corpus, dimension).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while collection.stats().liars.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let liar_named = collection.stats().liars == [HostName::Peer(hosts[1].local_peer())];
    json!({
        "mode": "split", "case": "five nodes, one 500 ms late, one lying", "latency_ms": median(measured.times),
        // A cosine in fixed point is off by a few millionths: the tenth may be the eleventh.
        "right": measured.least >= 9,
        "liar_named": liar_named, "upload_ms": measured.searchable_ms,
    })
}

/// Each mode at one host and at several, here and as far away as nodes are.
pub async fn near_and_far(corpus: &[Vec<f32>], dimension: usize, print: impl Fn(Value)) {
    let cases = [
        (Mode::Plain, 1, 0),
        (Mode::Plain, 3, 0),
        (Mode::Seal, 1, 0),
        (Mode::Seal, 3, 0),
        (Mode::Split, 3, 1),
        (Mode::Split, 5, 1),
        (Mode::Split, 5, 2),
        (Mode::Split, 7, 2),
        (Mode::Split, 11, 2),
    ];
    for far in [false, true] {
        for (mode, count, colluding) in cases {
            let line = |round_trip: &f64| Line {
                round_trip: Duration::from_secs_f64(if far { round_trip / 1000.0 } else { 0.0 }),
                ..Line::default()
            };
            let lines: Vec<Line> = ROUND_TRIPS.iter().take(count).map(line).collect();
            let owner = Node::start(Config::default()).await.unwrap();
            let hosts = hosts(&owner, &lines).await;
            let collection = owner.vpk().create("bench", config(mode, colluding, dimension, &hosts)).await.unwrap();
            let measured = measure(&collection, corpus, dimension).await;
            let needed = if mode == Mode::Split { 2 * colluding + 1 } else { 1 };
            print(json!({
                "mode": mode.as_str(), "hosts": count, "colluding": colluding, "vectors": corpus.len(),
                "dimension": dimension, "round_trip_ms": lines[needed - 1].round_trip.as_secs_f64() * 1000.0,
                "p50_ms": median(measured.times.clone()), "p99_ms": measured.times.iter().copied().fold(0.0, f64::max),
                "recall_at_10": measured.found as f64 / (10 * QUESTIONS) as f64,
                "durable_ms": measured.durable_ms, "searchable_ms": measured.searchable_ms,
            }));
            owner.shutdown(Duration::from_secs(2)).await.unwrap();
            for network in hosts {
                network.shutdown(Duration::from_secs(2)).await.unwrap();
            }
        }
    }
}
