//! SE2 and SE3: answers over four hosts on this machine, by the model whole, and by llama.cpp.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use kwaai_core::Result;
use kwaai_core::event::Item;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::llm::{GenerateEvent, GenerateRequest, Prompt};
use kwaai_core::net::{Network, NetworkConfig, Peers};
use kwaai_core::shard::{Blocks, Compute, EngineOptions, HostPolicy, LoadOptions, Model, Route, ShardEngine};
use kwaai_core::trust::{Gate, Minimum, Purpose};
use serde_json::{Value, json};

use crate::file::ONE_B;
use crate::llama_cpp::LlamaCpp;
use crate::{by_ggml, median};

pub const HOSTS: usize = 4;

/// Everybody may do everything.
pub struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl HostPolicy for Everybody {
    async fn usable(&self, _: PeerId, _: Option<Minimum>) -> Result<()> {
        Ok(())
    }
}

/// Hosts of a model's blocks in equal runs, and a caller that sees them.
pub struct Town {
    pub app: ShardEngine,
    pub model: Model,
    _hosts: Vec<(Network, ShardEngine)>,
    _network: Network,
}

async fn network(listen: &str, bootstrap: &[Network]) -> Network {
    let listen = vec![listen.parse().unwrap()];
    let network =
        Network::start(NetworkConfig { listen, ..NetworkConfig::new(Keypair::generate()) }, Arc::new(Everybody)).await;
    let network = network.unwrap();
    for other in bootstrap {
        network.connect(other.listen_addresses()[0].clone()).await.unwrap();
    }
    network
}

impl Town {
    /// `seen` makes of the caller's network what the caller sees of it.
    pub async fn of(
        path: &Path,
        blocks: usize,
        compute: &Compute,
        listen: &str,
        seen: impl FnOnce(Network) -> Arc<dyn Peers>,
    ) -> Town {
        let first = network(listen, &[]).await;
        let options = || EngineOptions { compute: compute.clone(), ..EngineOptions::default() };
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            let network = network(listen, std::slice::from_ref(&first)).await;
            let engine = ShardEngine::new(Some((Arc::new(network.clone()), Arc::new(Everybody))), options());
            let of_host = |number: usize| (number * blocks / HOSTS) as u32;
            engine.serve(path, of_host(number)..of_host(number + 1)).await.unwrap();
            hosts.push((network, engine));
        }
        let peers = seen(first.clone());
        let app = ShardEngine::new(Some((peers, Arc::new(Everybody))), options());
        let model = app.load(path, LoadOptions { blocks: Blocks::None, compute: compute.clone() }).await.unwrap();
        let begun = Instant::now();
        while app.plan(&model, 16).await.is_err() {
            assert!(begun.elapsed().as_secs() < 60, "the hosts are not found");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Town { app, model, _hosts: hosts, _network: first }
    }
}

/// One letter again and again, each as soon as it is known.
pub fn request(prompt: usize, answer: usize) -> GenerateRequest {
    let tokens = (0..prompt).map(|place| (place * 37 % 256) as u32).collect();
    GenerateRequest {
        prompt: Some(Prompt::Tokens(tokens)),
        max_tokens: answer as u32,
        logit_bias: [(97, 1e6)].into(),
        ..GenerateRequest::default()
    }
}

/// The seconds after which each token came.
pub async fn answer(engine: &ShardEngine, model: &Model, request: GenerateRequest, route: Route) -> Vec<f64> {
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut stream = engine.generate(model, request, route).await.unwrap();
    while let Some(Item::Value(event)) = stream.next().await.unwrap() {
        if matches!(event, GenerateEvent::Token { .. }) {
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    times
}

/// What passes between tokens, in seconds.
pub fn between(times: &[f64]) -> Vec<f64> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

pub async fn measure(folder: &Path, runs: usize, steps: usize, threads: usize, encoding: &str) -> Value {
    let path = ONE_B.file(folder, encoding);
    let compute = by_ggml(threads);
    let town =
        Town::of(&path, ONE_B.blocks, &compute, "/ip4/127.0.0.1/udp/0/quic-v1", |network| Arc::new(network)).await;
    let local = ShardEngine::local();
    let whole = local.load(&path, LoadOptions { blocks: Blocks::All, compute }).await.unwrap();
    let mut judge = LlamaCpp::load(&path, ONE_B.context as u32, threads as i32);
    let (mut over_hosts, mut unsplit, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..=runs {
        let times = answer(&town.app, &town.model, request(1, steps), Route::Peers).await;
        let here = answer(&local, &whole, request(1, steps), Route::Local).await;
        judge.truncate(0);
        let mut judged = Vec::new();
        for _ in 0..steps {
            let begun = Instant::now();
            judge.read(&[97], false);
            judged.push(begun.elapsed().as_secs_f64());
        }
        if run > 0 {
            over_hosts.extend(between(&times));
            unsplit.extend(between(&here));
            theirs.extend(judged);
        }
    }
    json!({
        "encoding": encoding,
        "hosts": HOSTS,
        "over_hosts": 1.0 / median(&over_hosts),
        "unsplit": 1.0 / median(&unsplit),
        "llama_cpp": 1.0 / median(&theirs),
    })
}
