//! Hosts that read along and go on at once where another one fails.

mod shard_support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::Result;
use kwaai_core::identity::PeerId;
use kwaai_core::llm::{GenerateRequest, HostWishes};
use kwaai_core::net::{PeerStream, Peers, StreamHandler, UnaryHandler};
use kwaai_core::shard::{Blocks, Model, Route, ShardEngine};
use kwaai_core::trust::Purpose;
use shard_support::answers::{answered, asked, expected, read, text};
use shard_support::{AllBut, TcpNode, Town, config, write_model};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

const BLOCKS: u64 = 3;

/// A caller whose words to each host go no further than they are let: each frame takes a permit.
struct Gated {
    node: Arc<TcpNode>,
    permits: Mutex<HashMap<PeerId, Arc<Semaphore>>>,
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    permits: Arc<Semaphore>,
) -> std::io::Result<()> {
    loop {
        let length = from.read_u32_le().await?;
        let mut frame = length.to_le_bytes().to_vec();
        frame.resize(4 + length as usize, 0);
        from.read_exact(&mut frame[4..]).await?;
        permits.acquire().await.unwrap().forget();
        to.write_all(&frame).await?;
        to.flush().await?;
    }
}

#[async_trait]
impl Peers for Gated {
    fn local_peer(&self) -> PeerId {
        self.node.local_peer()
    }

    async fn call(&self, peer: PeerId, method: &str, body: Bytes, timeout: Duration) -> Result<Bytes> {
        self.node.call(peer, method, body, timeout).await
    }

    async fn open_stream(&self, peer: PeerId, protocol: &str, timeout: Duration) -> Result<PeerStream> {
        let stream = self.node.open_stream(peer, protocol, timeout).await?;
        let permits = self.permits.lock().unwrap()[&peer].clone();
        let (near, far) = tokio::io::duplex(1 << 20);
        let (from_caller, mut to_caller) = tokio::io::split(far);
        let (mut from_host, to_host) = tokio::io::split(stream);
        tokio::spawn(async move {
            // Ends for both when one of them ends.
            tokio::select! {
                _ = carry(from_caller, to_host, permits) => {}
                _ = tokio::io::copy(&mut from_host, &mut to_caller) => {}
            }
            let _ = to_caller.shutdown().await;
        });
        Ok(Box::new(near))
    }

    fn serve_unary(&self, method: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.node.serve_unary(method, purpose, handler)
    }

    fn serve_streams(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn StreamHandler>) -> Result<()> {
        self.node.serve_streams(protocol, purpose, handler)
    }

    fn serve_foreign(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.node.serve_foreign(protocol, purpose, handler)
    }

    fn stop_serving(&self, name: &str) {
        self.node.stop_serving(name);
    }

    async fn announce(&self, key: &str) -> Result<()> {
        self.node.announce(key).await
    }

    async fn withdraw(&self, key: &str) -> Result<()> {
        self.node.withdraw(key).await
    }

    async fn providers(&self, key: &str) -> Result<Vec<PeerId>> {
        self.node.providers(key).await
    }
}

/// Hosts that have all blocks each, and a caller.
struct Swarm {
    gate: Arc<Gated>,
    nodes: Vec<Arc<TcpNode>>,
    hosts: Vec<ShardEngine>,
    app: ShardEngine,
    model: Model,
    dir: tempfile::TempDir,
}

impl Swarm {
    async fn start(hosts: u8, refused: Option<usize>) -> Swarm {
        let dir = tempfile::tempdir().unwrap();
        write_model(dir.path(), 4, &config(BLOCKS as usize, 4, 2, 6, true));
        let town = Arc::new(Town::default());
        let mut nodes = Vec::new();
        for seed in 1..=hosts + 1 {
            nodes.push(TcpNode::start(&town, seed).await);
        }
        let caller = nodes.pop().unwrap();
        let host = |node: &Arc<TcpNode>| ShardEngine::over(node.clone(), Arc::new(AllBut::default()));
        let hosts: Vec<ShardEngine> = nodes.iter().map(host).collect();
        for host in &hosts {
            host.serve(dir.path(), 0..BLOCKS as u32).await.unwrap();
        }
        let refused = refused.map(|place| nodes[place].local_peer());
        let permits = nodes.iter().map(|node| (node.local_peer(), Arc::new(Semaphore::new(10_000)))).collect();
        let gate = Arc::new(Gated { node: caller, permits: Mutex::new(permits) });
        let policy = Arc::new(AllBut(refused.into_iter().collect()));
        let app = ShardEngine::over(gate.clone(), policy);
        let model = app.load(dir.path(), Blocks::None).await.unwrap();
        Swarm { gate, nodes, hosts, app, model, dir }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Swarm) -> bool) {
        let there = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(30), there).await.is_ok(), "{what}");
    }

    /// The host that is going to compute, which is let have so many frames: one for a session, and one for each step.
    async fn main_host(&self, frames: usize) -> usize {
        let plan = self.app.plan(&self.model, 500).await.unwrap();
        let place = self.nodes.iter().position(|node| node.local_peer() == plan.hops[0].peer).unwrap();
        self.gate(place, frames);
        place
    }

    /// Lets a host have so many frames from now on.
    fn gate(&self, host: usize, frames: usize) {
        let permits = self.gate.permits.lock().unwrap()[&self.nodes[host].local_peer()].clone();
        permits.forget_permits(usize::MAX);
        permits.add_permits(frames);
    }

    fn computed(&self) -> Vec<u64> {
        self.hosts.iter().map(|host| host.served_block_tokens() / BLOCKS).collect()
    }
}

fn standing_by(tokens: &[u32], max_tokens: u32) -> GenerateRequest {
    let hosts = HostWishes { standby: true, ..HostWishes::default() };
    GenerateRequest { hosts, ..asked(tokens, max_tokens) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_read_along_goes_on_where_the_other_failed_and_reads_nothing_again() {
    let swarm = Swarm::start(2, None).await;
    let (tokens, main) = (text(300, 1), swarm.main_host(1 + 3 + 12).await);
    let stream = swarm.app.generate(&swarm.model, standing_by(&tokens, 40), Route::Peers).await.unwrap();
    let answer = read(stream, async |count| {
        if count == 13 {
            swarm.until("nobody reads along", |swarm| swarm.computed()[1 - main] == 312).await;
            swarm.nodes[main].vanish();
        }
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer.said, expected(swarm.dir.path(), &tokens, 40).await);
    assert_eq!(answer.path[0].peer, Some(swarm.nodes[1 - main].local_peer().to_string()));
    assert_eq!(swarm.computed()[1 - main], 300 + 39, "each token once");
    swarm.until("sessions stay open", |swarm| swarm.hosts[1 - main].open_sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_over_is_given_a_host_that_reads_along_as_well() {
    let swarm = Swarm::start(3, None).await;
    let (tokens, first) = (text(200, 2), swarm.main_host(1 + 2 + 8).await);
    let gone = Mutex::new(Vec::new());
    let stream = swarm.app.generate(&swarm.model, standing_by(&tokens, 200), Route::Peers).await.unwrap();
    let answer = read(stream, async |count| {
        if count == 9 {
            swarm
                .until("nobody reads along", |swarm| swarm.computed().iter().filter(|read| **read == 208).count() == 2)
                .await;
            let computed = swarm.computed();
            let second = (0..3).find(|place| *place != first && computed[*place] > 0).unwrap();
            gone.lock().unwrap().extend([first, second]);
            swarm.gate(second, 5);
            swarm.nodes[first].vanish();
        } else if count == 14 {
            // The third one has read along from the start.
            swarm
                .until("nobody reads along", |swarm| swarm.computed().iter().filter(|read| **read == 213).count() == 2)
                .await;
            let second = gone.lock().unwrap()[1];
            swarm.nodes[second].vanish();
        }
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer.said, expected(swarm.dir.path(), &tokens, 200).await);
    let last = (0..3).find(|place| !gone.lock().unwrap().contains(place)).unwrap();
    assert_eq!(swarm.computed()[last], 200 + 199, "each token once: {:?}", swarm.computed());
    assert_eq!(answer.path[0].peer, Some(swarm.nodes[last].local_peer().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_reads_along_and_fails_changes_nothing() {
    let swarm = Swarm::start(2, None).await;
    let (tokens, main) = (text(150, 3), swarm.main_host(1 + 2 + 4).await);
    let stream = swarm.app.generate(&swarm.model, standing_by(&tokens, 30), Route::Peers).await.unwrap();
    let answer = read(stream, async |count| {
        if count == 5 {
            swarm.until("nobody reads along", |swarm| swarm.computed()[1 - main] == 154).await;
            swarm.nodes[1 - main].vanish();
            swarm.gate(main, 1000);
        }
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer.said, expected(swarm.dir.path(), &tokens, 30).await);
    assert_eq!(swarm.computed()[main], 150 + 29);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_along_unless_it_is_wished_and_then_only_who_is_trusted() {
    let swarm = Swarm::start(2, None).await;
    let (tokens, main) = (text(20, 4), swarm.main_host(1000).await);
    answered(&swarm.app, &swarm.model, asked(&tokens, 10), Route::Peers).await;
    assert_eq!(swarm.computed()[1 - main], 0);
    let wary = Swarm::start(2, Some(1)).await;
    let answer = answered(&wary.app, &wary.model, standing_by(&tokens, 10), Route::Peers).await;
    assert_eq!((answer.said, wary.computed()[1]), (expected(wary.dir.path(), &tokens, 10).await, 0));
    let alone = Swarm::start(1, None).await;
    let answer = answered(&alone.app, &alone.model, standing_by(&tokens, 10), Route::Peers).await;
    assert_eq!(answer.said, expected(alone.dir.path(), &tokens, 10).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_read_along_stay_with_a_path_that_is_kept() {
    let swarm = Swarm::start(2, None).await;
    let (tokens, main) = (text(300, 5), swarm.main_host(1 + 3 + 11).await);
    let asked = |tokens: &[u32]| {
        let hosts = HostWishes { standby: true, keep_tokens: Some(500), ..HostWishes::default() };
        GenerateRequest { hosts, ..asked(tokens, 12) }
    };
    answered(&swarm.app, &swarm.model, asked(&tokens), Route::Peers).await;
    swarm.until("nobody reads along", |swarm| swarm.computed()[1 - main] == 311).await;
    // Going back, one step of the prompt, and three tokens.
    swarm.gate(main, 1 + 1 + 3);
    let more = [&tokens[..], &text(60, 6)].concat();
    let stream = swarm.app.generate(&swarm.model, asked(&more), Route::Peers).await.unwrap();
    let answer = read(stream, async |count| {
        if count == 4 {
            swarm.until("nobody reads along", |swarm| swarm.computed()[1 - main] == 311 + 104 + 3).await;
            swarm.nodes[main].vanish();
        }
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer.said, expected(swarm.dir.path(), &more, 12).await);
    assert_eq!(answer.usage.cached_tokens, 256);
    assert_eq!(swarm.computed()[1 - main], 311 + 104 + 11, "each token once");
    swarm.app.reset_prefix_cache().await;
    swarm.until("sessions stay open", |swarm| swarm.hosts[1 - main].open_sessions() == 0).await;
}
