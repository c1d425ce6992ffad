//! A swarm of hosts around one caller, and what an answer through it should be.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwaai_core::Result;
use kwaai_core::event::{Item, Stream};
use kwaai_core::identity::PeerId;
use kwaai_core::llm::{ChatMessage, FinishReason, GenerateEvent, GenerateRequest, Hop, Usage};
use kwaai_core::net::{Multiaddr, Network};
use kwaai_core::shard::{Blocks, LoadOptions, Model, Route, ShardEngine};

use super::host::{At, Host, SILENCE, Schedule, Watching, caller, network};
use super::shard_support::{config, write_model};

/// Long enough that only a defect reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    pub end: Option<(FinishReason, Usage, Vec<Hop>)>,
}

impl Answer {
    /// What must not change: the text, why it ended, how many tokens there were.
    pub fn said(&self) -> (&str, Option<(FinishReason, Usage)>) {
        (&self.text, self.end.as_ref().map(|(reason, usage, _)| (*reason, *usage)))
    }

    pub fn path(&self) -> Vec<(PeerId, std::ops::Range<u32>)> {
        let (_, _, path) = self.end.as_ref().expect("the answer has an end");
        let hop = |hop: &Hop| (hop.peer.as_ref().unwrap().parse().unwrap(), hop.start_block..hop.end_block);
        path.iter().map(hop).collect()
    }
}

pub async fn read(mut stream: Stream<GenerateEvent>) -> (Answer, Result<()>) {
    let mut answer = Answer { text: String::new(), end: None };
    loop {
        match stream.next().await {
            Ok(Some(Item::Value(GenerateEvent::Token { text, .. }))) => answer.text.push_str(&text),
            Ok(Some(Item::Value(GenerateEvent::Done { finish_reason, usage, path, .. }))) => {
                answer.end = Some((finish_reason, usage, path));
            }
            Ok(Some(Item::Lagged { .. })) => panic!("no token may be lost"),
            Ok(None) => return (answer, Ok(())),
            Err(error) => return (answer, Err(error)),
        }
    }
}

/// A long question, which is read in three steps, and an answer of 24 tokens.
pub fn request() -> GenerateRequest {
    let question = "What is a block, and who computes it? ".repeat(7);
    let messages = vec![ChatMessage::user(question)];
    GenerateRequest { messages, max_tokens: 24, temperature: 1.0, seed: 5, ..GenerateRequest::default() }
}

pub struct Swarm {
    pub dir: tempfile::TempDir,
    pub network: Network,
    pub app: ShardEngine,
    pub model: Model,
    pub policy: Arc<Watching>,
    pub schedule: Arc<Schedule>,
    pub hosts: Vec<Host>,
    spans: Vec<std::ops::Range<u32>>,
    /// What the model says when it is whole.
    pub whole: Answer,
}

impl Swarm {
    /// Hosts with these spans of a model of four blocks.
    pub async fn start(spans: &[std::ops::Range<u32>]) -> Swarm {
        let dir = tempfile::tempdir().unwrap();
        write_model(dir.path(), 3, &config(4, 4, 2, 6, false));
        Swarm::over(dir, spans).await
    }

    /// Hosts with these spans of the model in a directory.
    pub async fn over(dir: tempfile::TempDir, spans: &[std::ops::Range<u32>]) -> Swarm {
        let network = network(&[]).await;
        let policy = Arc::new(Watching::default());
        let app = caller(&network, &policy, SILENCE);
        let schedule = Arc::new(Schedule::default());
        let local = ShardEngine::local();
        let whole = local.load(dir.path(), LoadOptions::default()).await.unwrap();
        let (whole, ended) = read(local.generate(&whole, request(), Route::Local).await.unwrap()).await;
        ended.unwrap();
        let model = app.load(dir.path(), LoadOptions { blocks: Blocks::None, ..LoadOptions::default() }).await.unwrap();
        let mut swarm =
            Swarm { dir, network, app, model, policy, schedule, hosts: Vec::new(), spans: spans.to_vec(), whole };
        for span in spans {
            let host = swarm.host(span).await;
            swarm.hosts.push(host);
        }
        swarm.settle().await;
        swarm
    }

    /// A further host.
    pub async fn host(&self, span: &std::ops::Range<u32>) -> Host {
        let bootstrap: Vec<Multiaddr> = self.network.listen_addresses();
        Host::start(&bootstrap, &self.schedule, self.dir.path(), span.clone()).await
    }

    /// Replaces the hosts that died, wakes those that hang, and waits until the caller sees them all.
    pub async fn settle(&mut self) {
        for number in 0..self.hosts.len() {
            self.hosts[number].wake();
            if self.hosts[number].is_dead() {
                self.hosts[number] = self.host(&self.spans[number].clone()).await;
            }
        }
        let start = Instant::now();
        loop {
            let coverage = self.app.coverage(&self.model).await.unwrap();
            let is_seen = |host: &Host| {
                let seen = coverage.hosts.iter().find(|seen| seen.peer == host.peer());
                seen.is_some_and(|seen| seen.refused.is_none() && !seen.spans.is_empty())
            };
            if self.hosts.iter().all(is_seen) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "not all hosts are seen: {coverage:?}");
            tokio::task::yield_now().await;
        }
    }

    pub async fn generate(&self) -> (Answer, Result<()>) {
        match self.app.generate(&self.model, request(), Route::Peers).await {
            Ok(stream) => read(stream).await,
            Err(error) => (Answer { text: String::new(), end: None }, Err(error)),
        }
    }

    /// Tokens times blocks that each host has computed so far.
    pub fn computed(&self) -> BTreeMap<PeerId, u64> {
        self.hosts.iter().map(|host| (host.peer(), host.engine.served_block_tokens())).collect()
    }

    /// Waits until no host has a session. Those of hosts that could not be told expire.
    pub async fn until_no_session_is_left(&self) {
        let expire = |host: &Host| host.clock.advance(Duration::from_secs(121));
        self.hosts.iter().filter(|host| host.wake()).for_each(expire);
        while self.hosts.iter().any(|host| !host.is_dead() && host.engine.open_sessions() > 0) {
            // The last frame of a session may be read, and lost, at any time after the answer.
            let fired = self.schedule.fired();
            let is_untold = |host: &&Host| fired.iter().any(|fired| fired.at == At::Close && fired.peer == host.peer());
            self.hosts.iter().filter(is_untold).for_each(|host| {
                host.wake();
                expire(host);
            });
            tokio::task::yield_now().await;
        }
    }

    pub async fn end(self) {
        for host in self.hosts {
            host.wake();
            host.network.shutdown(Duration::ZERO).await.unwrap();
        }
        self.network.shutdown(Duration::ZERO).await.unwrap();
    }
}

/// A model on disk, for hosts that are spoken to frame by frame.
pub fn small_model(dir: &Path) {
    write_model(dir, 1, &config(2, 4, 2, 6, false));
}
