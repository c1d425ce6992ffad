//! What private knowledge costs, one JSON object for each case. `vpk [VECTORS [DIMENSION]]`; 50,000 × 384 by
//! default. The first two cases run on one thread, where the time of a host of `split` is that of one. The third is five
//! hosts on loopback sockets.
//!
//! `vpk embed TEXTS VECTORS` writes the vectors of texts that are given as a JSON array, `vpk random COUNT DIMENSION SEED VECTORS`
//! random ones, and `vpk index VECTORS QUESTIONS DIMENSION` is the local index over them, which is told on standard input what to do.

mod embed;
mod index;
mod served;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::clock::SystemClock;
use kwaai_core::identity::{Did, Keypair, PeerId};
use kwaai_core::net::{Network, NetworkConfig, Peers, UnaryHandler};
use kwaai_core::store::Store;
use kwaai_core::trust::{Gate, Purpose};
use kwaai_core::vpk::seal::{SealHost, SealOwner};
use kwaai_core::vpk::split::SplitOwner;
use kwaai_core::vpk::{
    Call, CollectionConfig, CollectionKey, Depot, DepotPolicy, FieldHost, Host, HostName, Item, METHODS, Metric, Mode,
    Owner, Placement, Request, Step,
};
use kwaai_core::{Config, Node, Result};
use serde_json::{Value, json};
use served::{Vectors, milliseconds};

const QUESTIONS: usize = 20;
const SEGMENT: usize = 8192;

/// Xorshift: the same vectors on every run.
struct Random(u64);

impl Random {
    fn vector(&mut self, dimension: usize) -> Vec<f32> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        };
        (0..dimension).map(|_| next() + next() + next()).collect()
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn best(scores: impl IntoIterator<Item = f64>) -> Vec<usize> {
    let mut ranked: Vec<(usize, f64)> = scores.into_iter().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.into_iter().take(10).map(|(place, _)| place).collect()
}

fn measure(owner: &dyn Owner, mut hosts: Vec<Box<dyn Host>>, corpus: &[Vec<f32>], dimension: usize) -> Value {
    let vectors: Vec<Vec<i32>> =
        corpus.iter().map(|vector| owner.quantizer().quantize(vector).unwrap().values).collect();
    let session = owner.session().unwrap();
    hosts.iter_mut().zip(&session).for_each(|(host, keys)| host.admit(keys).unwrap());
    let (seal_ms, uploads) =
        milliseconds(|| vectors.chunks(SEGMENT).map(|batch| owner.seal(batch).unwrap()).collect::<Vec<_>>());
    let upload: usize = uploads.iter().map(|upload| upload.parts[0].len()).sum();
    let (store_ms, ()) = milliseconds(|| {
        for upload in &uploads {
            hosts.iter_mut().zip(&upload.parts).for_each(|(host, part)| host.store(part).unwrap());
        }
    });
    let segments: Vec<_> = uploads.into_iter().map(|upload| upload.stamp).collect();
    let lengths: Vec<f64> =
        corpus.iter().map(|v| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()).collect();
    let (mut ask, mut answer, mut open) = (Vec::new(), Vec::new(), Vec::new());
    let (mut query_bytes, mut reply_bytes, mut found, mut wrong) = (0, 0, 0, 0);
    let mut random = Random(77);
    for _ in 0..QUESTIONS {
        let vector = random.vector(dimension);
        let whole = owner.quantizer().quantize(&vector).unwrap().values;
        let (ms, mut question) = milliseconds(|| owner.ask(&whole, &segments).unwrap());
        ask.push(ms);
        query_bytes = question.parts[0].len();
        let mut opening = 0.0;
        for (number, host) in hosts.iter().enumerate() {
            let (ms, reply) = milliseconds(|| host.answer(&question.parts[number]).unwrap());
            answer.push(ms);
            reply_bytes = reply.len();
            let (ms, step) = milliseconds(|| question.opening.offer(number, &reply).unwrap());
            opening += ms;
            if let Step::Done(scores) = step {
                let scores = scores.exact.concat();
                let exact = vectors
                    .iter()
                    .map(|row| row.iter().zip(&whole).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum::<i64>());
                wrong += scores.iter().zip(exact).filter(|(ours, exact)| **ours != *exact).count();
                let cosine = corpus.iter().zip(&lengths).map(|(row, length)| {
                    row.iter().zip(&vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / length
                });
                let truth = best(cosine);
                found += best(scores.iter().map(|score| *score as f64)).iter().filter(|at| truth.contains(at)).count();
                break;
            }
        }
        open.push(opening);
    }
    json!({
        "mode": owner.mode().as_str(), "vectors": corpus.len(), "dimension": dimension, "hosts": hosts.len(),
        "host_ms": median(answer), "ask_ms": median(ask), "open_ms": median(open), "seal_ms": seal_ms,
        "store_ms": store_ms / hosts.len() as f64, "upload_bytes": upload, "session_bytes": session[0].len(),
        "query_bytes": query_bytes, "reply_bytes": reply_bytes, "wrong_scores": wrong,
        "recall_at_10": found as f64 / (10 * QUESTIONS) as f64,
    })
}

/// A host of the network. `late` answers questions half a second later, `lies` with one score changed.
struct Served {
    depot: Arc<Depot>,
    method: &'static str,
    late: bool,
    lies: bool,
}

#[async_trait]
impl UnaryHandler for Served {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        let request = Request::read(self.method, &body)?;
        let question = matches!(request.call, Call::Ask(_));
        let (depot, caller) = (self.depot.clone(), Did::from_peer_id(&caller)?);
        let mut answer = tokio::task::spawn_blocking(move || depot.answer(caller, &request)).await.unwrap()?;
        if question && self.lies {
            answer[100] ^= 1;
        }
        if question && self.late {
            tokio::time::sleep(Duration::from_millis(500)).await;
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

/// `Split` over five hosts on loopback sockets, of which one is late and one lies.
async fn five_nodes(corpus: &[Vec<f32>], dimension: usize) -> Value {
    let owner = Node::start(Config::default()).await.unwrap();
    let (mut networks, mut hosts) = (Vec::new(), Vec::new());
    for seed in 0..5 {
        let pair = Keypair::from_seed([200 + seed; 32]);
        let (did, clock) = (pair.did().unwrap(), Arc::new(SystemClock));
        let depot = Depot::open(Store::in_memory().unwrap(), did, clock, DepotPolicy::of(4 << 30)).unwrap();
        let depot = Arc::new(depot);
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let config = NetworkConfig { listen, ..NetworkConfig::new(pair) };
        let network = Network::start(config, Arc::new(Everybody)).await.unwrap();
        for method in METHODS {
            let served = Served { depot: depot.clone(), method, late: seed == 0, lies: seed == 1 };
            network.serve_unary(method, Purpose::StoreVectors, Arc::new(served)).unwrap();
        }
        owner.connect(&network.listen_addresses()[0].to_string()).await.unwrap();
        hosts.push(HostName::Peer(network.local_peer()));
        networks.push(network);
    }
    let liar = hosts[1];
    let config = CollectionConfig {
        mode: Mode::Split,
        dimension,
        metric: Metric::Cosine,
        hosts,
        colluding: 1,
        placement: Placement::default(),
    };
    let collection = owner.vpk().create("bench", config).await.unwrap();
    let start = Instant::now();
    for (number, batch) in corpus.chunks(SEGMENT).enumerate() {
        let first = number * SEGMENT;
        let items = batch.iter().enumerate().map(|(at, vector)| Item::new((first + at) as u64, vector.clone()));
        collection.upsert(items.collect()).await.unwrap();
    }
    collection.flush().await.unwrap();
    let upload_ms = start.elapsed().as_secs_f64() * 1000.0;
    let (mut times, mut right) = (Vec::new(), true);
    let mut random = Random(77);
    for number in 0..=QUESTIONS {
        let vector = random.vector(dimension);
        let start = Instant::now();
        let found = collection.search(&vector, 10, &serde_json::Map::new()).await.unwrap();
        // The first question has the hosts read the collection to memory.
        if number > 0 {
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        let cosine = corpus.iter().map(|row| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
            dot(row, &vector) / (dot(row, row) * dot(&vector, &vector)).sqrt()
        });
        // A cosine in fixed point is off by a few millionths: the tenth may be the eleventh.
        let truth = best(cosine);
        right &= found.hits.iter().filter(|hit| truth.contains(&(hit.id as usize))).count() >= 9;
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while collection.stats().liars.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let liar_named = collection.stats().liars == [liar];
    json!({
        "mode": "split", "case": "five nodes, one 500 ms late, one lying", "latency_ms": median(times), "right": right,
        "liar_named": liar_named, "upload_ms": upload_ms,
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["embed", texts, vectors] => embed::embed(texts.as_ref(), vectors.as_ref()),
        ["random", count, dimension, seed, vectors] => {
            let [count, dimension, seed] = [count, dimension, seed].map(|number| number.parse().unwrap());
            let mut random = Random(seed as u64);
            Vectors::write(vectors.as_ref(), (0..count).map(|_| random.vector(dimension)));
        }
        ["index", vectors, questions, dimension] => {
            served::serve::<index::Local>(vectors.as_ref(), questions.as_ref(), dimension.parse().unwrap());
        }
        _ => private_search(&arguments),
    }
}

fn private_search(arguments: &[&str]) {
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let count = numbers.first().copied().unwrap_or(50_000);
    let dimension = numbers.get(1).copied().unwrap_or(384);
    let mut random = Random(42);
    let corpus: Vec<Vec<f32>> = (0..count).map(|_| random.vector(dimension)).collect();
    let key = CollectionKey::generate().unwrap();

    let owner = SealOwner::new(&key, dimension, Metric::Cosine).unwrap();
    println!("{}", measure(&owner, vec![Box::new(SealHost::new(dimension).unwrap())], &corpus, dimension));
    let owner = SplitOwner::new(&key, dimension, Metric::Cosine, 3, 1).unwrap();
    let hosts = (0..3).map(|_| -> Box<dyn Host> { Box::new(FieldHost::split(dimension).unwrap()) }).collect();
    println!("{}", measure(&owner, hosts, &corpus, dimension));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{}", runtime.block_on(five_nodes(&corpus, dimension)));
}
