//! A host on a real node whose answers are damaged on their way out, when and how a test says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::clock::ManualClock;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::{Multiaddr, Network, NetworkConfig, PeerStream, Peers, StreamHandler, UnaryHandler};
use kwaai_core::shard::wire::{Frame, Hidden, LARGEST_FRAME, SessionId};
use kwaai_core::shard::{EngineOptions, HostPolicy, Patience, ShardEngine};
use kwaai_core::trust::{Gate, Minimum, Outcome, Purpose};
use kwaai_core::{Error, ErrorCode, Result};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

/// Long enough for a busy machine: an honest host says every half second that it works.
pub const SILENCE: Duration = Duration::from_millis(1500);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The node ends.
    Kill,
    /// The node answers nothing any more.
    Hang,
    /// The stream ends in place of an answer.
    Reset,
    /// The stream ends in the middle of the answer.
    Cut,
    /// The answer comes twice.
    Duplicate,
    /// The answer before comes again, and then this one.
    Reorder,
    /// A row too many.
    WrongShape,
    /// A value that is no number.
    NotFinite,
    /// States far too large.
    Scaled,
    /// The highest bit of an exponent, set.
    Flipped,
    /// The session stands elsewhere.
    WrongPosition,
    /// The host has started anew and knows no session.
    Forgets,
    /// An error in place of an answer.
    Refuses,
    /// Bytes that are no frame.
    Garbage,
    /// The answer takes its time.
    Slow,
    /// Not now, but soon.
    Busy,
}

impl Fault {
    pub const ALL: [Fault; 16] = [
        Fault::Kill,
        Fault::Hang,
        Fault::Reset,
        Fault::Cut,
        Fault::Duplicate,
        Fault::Reorder,
        Fault::WrongShape,
        Fault::NotFinite,
        Fault::Scaled,
        Fault::Flipped,
        Fault::WrongPosition,
        Fault::Forgets,
        Fault::Refuses,
        Fault::Garbage,
        Fault::Slow,
        Fault::Busy,
    ];

    /// Whether a caller goes on with the same host.
    pub fn is_borne(self) -> bool {
        matches!(self, Fault::Slow | Fault::Busy)
    }

    /// Whether the answer cannot be an honest host's.
    pub fn is_a_lie(self) -> bool {
        use Fault::*;
        matches!(self, Duplicate | Reorder | WrongShape | NotFinite | Scaled | Flipped | WrongPosition | Garbage)
    }
}

/// At which request of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Open,
    /// The number of the step, from 0.
    Step(u32),
    Close,
}

/// A fault that waits for its session: the one that is opened over `block` as number `round`.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    pub block: u32,
    pub round: u32,
    pub at: At,
    pub fault: Fault,
}

/// What happened so far.
#[derive(Debug, Clone)]
pub struct Fired {
    pub peer: PeerId,
    pub fault: Fault,
    pub at: At,
    /// Tokens times blocks that the session had computed.
    pub computed: u64,
}

/// The faults of one run, shared by its hosts.
#[derive(Default)]
pub struct Schedule {
    waiting: Mutex<Vec<Planned>>,
    rounds: Mutex<BTreeMap<u32, u32>>,
    fired: Mutex<Vec<Fired>>,
}

impl Schedule {
    pub fn set(&self, faults: Vec<Planned>) {
        *self.waiting.lock().unwrap() = faults;
        self.rounds.lock().unwrap().clear();
        self.fired.lock().unwrap().clear();
    }

    pub fn fired(&self) -> Vec<Fired> {
        self.fired.lock().unwrap().clone()
    }

    /// The faults of a session that is being opened.
    fn for_session(&self, blocks: &std::ops::Range<u32>) -> Vec<Planned> {
        let mut rounds = self.rounds.lock().unwrap();
        let mut waiting = self.waiting.lock().unwrap();
        let due = |planned: &mut Planned| {
            blocks.contains(&planned.block) && rounds.get(&planned.block).copied().unwrap_or(0) == planned.round
        };
        let due = waiting.extract_if(.., due).collect();
        blocks.clone().for_each(|block| *rounds.entry(block).or_default() += 1);
        due
    }
}

/// A node that serves blocks, and its faults.
pub struct Host {
    pub network: Network,
    pub engine: ShardEngine,
    pub clock: ManualClock,
    state: Arc<State>,
}

struct State {
    peer: PeerId,
    schedule: Arc<Schedule>,
    hung: AtomicBool,
    woken: Notify,
    dead: AtomicBool,
    /// Whether it says that ggml computes its blocks.
    says_ggml: AtomicBool,
    /// Taken by whoever ends it.
    network: Mutex<Option<Network>>,
}

impl State {
    fn of(network: &Network, schedule: &Arc<Schedule>) -> Arc<State> {
        Arc::new(State {
            peer: network.local_peer(),
            schedule: schedule.clone(),
            hung: AtomicBool::new(false),
            woken: Notify::new(),
            dead: AtomicBool::new(false),
            says_ggml: AtomicBool::new(false),
            network: Mutex::new(Some(network.clone())),
        })
    }

    fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        if let Some(network) = self.network.lock().unwrap().take() {
            tokio::spawn(async move { network.shutdown(Duration::ZERO).await });
        }
    }

    async fn hang_while_hung(&self) {
        loop {
            let woken = self.woken.notified();
            if !self.hung.load(Ordering::SeqCst) {
                return;
            }
            woken.await;
        }
    }
}

struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<()> {
        Ok(())
    }
}

/// A node of the network that joins at `bootstrap`.
pub async fn network(bootstrap: &[Multiaddr]) -> Network {
    let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    let config = NetworkConfig { listen, bootstrap: bootstrap.to_vec(), ..NetworkConfig::new(Keypair::generate()) };
    Network::start(config, Arc::new(Everybody)).await.unwrap()
}

impl Host {
    pub async fn start(
        bootstrap: &[Multiaddr],
        schedule: &Arc<Schedule>,
        model: &Path,
        blocks: std::ops::Range<u32>,
    ) -> Host {
        let network = network(bootstrap).await;
        for address in bootstrap {
            network.connect(address.clone()).await.unwrap();
        }
        let state = State::of(&network, schedule);
        let peers = Arc::new(Faulty { network: network.clone(), state: state.clone() });
        let clock = ManualClock::at(jiff::Timestamp::UNIX_EPOCH);
        let options = EngineOptions { clock: Arc::new(clock.clone()), ..EngineOptions::default() };
        let engine = ShardEngine::new(Some((peers, Arc::new(Watching::default()))), options);
        engine.serve(model, blocks).await.unwrap();
        Host { network, engine, clock, state }
    }

    pub fn peer(&self) -> PeerId {
        self.network.local_peer()
    }

    pub fn is_dead(&self) -> bool {
        self.state.dead.load(Ordering::SeqCst)
    }

    /// From now on it says that its blocks are computed by another backend than those of the other hosts.
    pub fn say_ggml(&self) {
        self.state.says_ggml.store(true, Ordering::SeqCst);
    }

    /// Ends the node, with everything that is on its way.
    pub fn kill(&self) {
        self.state.kill();
    }

    /// Lets a node that hangs go on, and reports whether it had hung.
    pub fn wake(&self) -> bool {
        let hung = self.state.hung.swap(false, Ordering::SeqCst);
        self.state.woken.notify_waiters();
        hung
    }
}

/// The network as an engine sees it: what it serves is served through the faults.
struct Faulty {
    network: Network,
    state: Arc<State>,
}

#[async_trait]
impl Peers for Faulty {
    fn local_peer(&self) -> PeerId {
        self.network.local_peer()
    }

    async fn call(&self, peer: PeerId, method: &str, body: Bytes, timeout: Duration) -> Result<Bytes> {
        self.network.call(peer, method, body, timeout).await
    }

    /// All are equally near, so that paths do not follow from how busy this machine is.
    fn round_trip(&self, _: PeerId) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    async fn open_stream(&self, peer: PeerId, protocol: &str, timeout: Duration) -> Result<PeerStream> {
        self.network.open_stream(peer, protocol, timeout).await
    }

    fn serve_unary(&self, method: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.network.serve_unary(method, purpose, Arc::new(Unary { handler, state: self.state.clone() }))
    }

    fn serve_streams(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn StreamHandler>) -> Result<()> {
        self.network.serve_streams(protocol, purpose, Arc::new(Streams { handler, state: self.state.clone() }))
    }

    fn serve_foreign(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.network.serve_foreign(protocol, purpose, handler)
    }

    fn stop_serving(&self, name: &str) {
        self.network.stop_serving(name);
    }

    async fn announce(&self, key: &str) -> Result<()> {
        self.network.announce(key).await
    }

    async fn withdraw(&self, key: &str) -> Result<()> {
        self.network.withdraw(key).await
    }

    async fn providers(&self, key: &str) -> Result<Vec<PeerId>> {
        self.network.providers(key).await
    }
}

struct Unary {
    handler: Arc<dyn UnaryHandler>,
    state: Arc<State>,
}

#[async_trait]
impl UnaryHandler for Unary {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        self.state.hang_while_hung().await;
        let said = self.handler.call(caller, body).await?;
        if !self.state.says_ggml.load(Ordering::SeqCst) {
            return Ok(said);
        }
        let Ok(mut said_by_ggml) = serde_json::from_slice::<serde_json::Value>(&said) else { return Ok(said) };
        let spans = said_by_ggml["spans"].as_array_mut().into_iter().flatten();
        spans.for_each(|span| span["backend"] = "ggml".into());
        Ok(Bytes::from(said_by_ggml.to_string()))
    }
}

struct Streams {
    handler: Arc<dyn StreamHandler>,
    state: Arc<State>,
}

#[async_trait]
impl StreamHandler for Streams {
    async fn serve(&self, caller: PeerId, stream: PeerStream) -> Result<()> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let relay = Relay { state: self.state.clone(), outer: stream, inner: near, faults: Vec::new(), steps: 0 };
        let (served, relayed) = tokio::join!(self.handler.serve(caller, Box::new(far)), relay.run());
        served.and(relayed)
    }
}

/// Passes the frames of a stream on between its caller and the real handler, but for those that a fault is due at.
struct Relay {
    state: Arc<State>,
    outer: PeerStream,
    inner: tokio::io::DuplexStream,
    faults: Vec<Planned>,
    steps: u32,
}

impl Relay {
    async fn run(mut self) -> Result<()> {
        let mut before = None;
        let (mut computed, mut own) = (0, Vec::new());
        while let Some(request) = Frame::read(&mut self.outer, LARGEST_FRAME).await? {
            self.state.hang_while_hung().await;
            let (at, session, size) = match &request {
                Frame::Open { blocks, .. } => {
                    self.faults = self.state.schedule.for_session(blocks);
                    (At::Open, SessionId::default(), 0)
                }
                Frame::Step { session, blocks, hidden, .. } => {
                    self.steps += 1;
                    (At::Step(self.steps - 1), *session, u64::from(hidden.tokens) * blocks.len() as u64)
                }
                Frame::Close { session } => (At::Close, *session, 0),
                other => panic!("no caller sends {other:?}"),
            };
            let due = self.faults.extract_if(.., |planned| planned.at == at).next().map(|planned| planned.fault);
            if let Some(fault) = due {
                let fired = Fired { peer: self.state.peer, fault, at, computed };
                let mut all = self.state.schedule.fired.lock().unwrap();
                own.push(all.len());
                all.push(fired);
            }
            match due {
                Some(Fault::Kill) => {
                    self.state.kill();
                    return std::future::pending().await;
                }
                Some(Fault::Hang) => {
                    self.state.hung.store(true, Ordering::SeqCst);
                    self.state.hang_while_hung().await;
                    return Ok(());
                }
                Some(Fault::Reset) => return Ok(()),
                Some(Fault::Forgets) => Frame::Close { session }.write(&mut self.inner).await?,
                Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(40)).await,
                Some(Fault::Busy) => {
                    let (code, retry_after_ms) = (ErrorCode::Busy, Some(20));
                    let busy = Frame::Refused { code, position: None, retry_after_ms, message: "soon".into() };
                    busy.write(&mut self.outer).await?;
                    self.steps = self.steps.saturating_sub(u32::from(at != At::Open));
                    continue;
                }
                _ => {}
            }
            request.write(&mut self.inner).await?;
            if at == At::Close {
                continue;
            }
            let reply = loop {
                match Frame::read(&mut self.inner, LARGEST_FRAME).await? {
                    Some(beat @ Frame::Working { .. }) => beat.write(&mut self.outer).await?,
                    Some(reply) => break reply,
                    None => return Err(Error::unreachable("the handler ended the stream")),
                }
            };
            if matches!(reply, Frame::Output { .. }) {
                computed += size;
                // A caller that was answered twice learns of it when it has asked for the next step.
                let mut all = self.state.schedule.fired.lock().unwrap();
                own.iter().for_each(|place| all[*place].computed = computed);
            }
            let good = reply.encode()?;
            let sent = match due {
                Some(Fault::Cut) => good[..good.len() / 2].to_vec(),
                Some(Fault::Duplicate) => [&good[..], &good[..]].concat(),
                Some(Fault::Reorder) => [before.as_ref().unwrap_or(&good), &good[..]].concat(),
                Some(fault) => damaged(reply, fault)?,
                None => good.clone(),
            };
            before = Some(good);
            let io = |error: std::io::Error| Error::unreachable(error.to_string());
            self.outer.write_all(&sent).await.map_err(io)?;
            self.outer.flush().await.map_err(io)?;
            if due == Some(Fault::Cut) {
                return Ok(());
            }
        }
        let _ = self.inner.shutdown().await;
        Ok(())
    }
}

fn damaged(reply: Frame, fault: Fault) -> Result<Vec<u8>> {
    match (fault, reply) {
        (Fault::Refuses, _) => {
            let (code, message) = (ErrorCode::Internal, "no".to_string());
            Frame::Refused { code, position: None, retry_after_ms: None, message }.encode()
        }
        (Fault::Garbage, _) => Ok(vec![0xff; 64]),
        (_, Frame::Opened { session, hidden, max_step_tokens }) => match fault {
            Fault::WrongPosition | Fault::Scaled => {
                Frame::Opened { session, hidden, max_step_tokens: max_step_tokens.min(1) }.encode()
            }
            Fault::WrongShape | Fault::Flipped | Fault::NotFinite => {
                Frame::Opened { session, hidden: hidden + 1, max_step_tokens }.encode()
            }
            _ => Frame::Opened { session, hidden, max_step_tokens }.encode(),
        },
        (_, Frame::Output { session, step, position, precision, hidden }) => {
            let Hidden { mut tokens, size, mut values } = hidden;
            let mut position = position;
            match fault {
                Fault::WrongShape => {
                    tokens += 1;
                    values.extend(vec![0.25; size as usize]);
                }
                Fault::WrongPosition => position += 1,
                Fault::Scaled => values.iter_mut().for_each(|value| *value *= if step == 1 { 1e9 } else { 1e6 }),
                Fault::Flipped => {
                    let small = |value: &&mut f32| (0.01..1.0).contains(&value.abs());
                    let value = values.iter_mut().find(small).expect("a state of common size");
                    *value = f32::from_bits(value.to_bits() | 1 << 30);
                }
                _ => {}
            }
            // A scaled or flipped value may be no number any more, which only bytes can say.
            let finite = values.iter().map(|value| if value.is_finite() { *value } else { 0.0 }).collect();
            let hidden = Hidden { tokens, size, values: finite };
            let mut bytes = Frame::Output { session, step, position, precision, hidden }.encode()?;
            let start = bytes.len() - 4 * values.len();
            for (place, value) in bytes[start..].as_chunks_mut::<4>().0.iter_mut().zip(&values) {
                *place = value.to_le_bytes();
            }
            if fault == Fault::NotFinite {
                let end = bytes.len();
                bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            }
            Ok(bytes)
        }
        (_, other) => other.encode(),
    }
}

/// Lets everybody compute, and keeps what was observed of whom.
#[derive(Default)]
pub struct Watching(Mutex<Vec<(PeerId, Outcome)>>);

impl Watching {
    pub fn take(&self) -> Vec<(PeerId, Outcome)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[async_trait]
impl HostPolicy for Watching {
    async fn usable(&self, _: PeerId, _: Option<Minimum>) -> Result<()> {
        Ok(())
    }

    async fn observed(&self, peer: PeerId, outcome: Outcome, _: Option<f64>) {
        self.0.lock().unwrap().push((peer, outcome));
    }
}

/// An engine that calls hosts, and gives up one that is silent for so long.
pub fn caller(network: &Network, policy: &Arc<Watching>, silence: Duration) -> ShardEngine {
    let patience = Patience { silence, ..Patience::default() };
    let options = EngineOptions { patience, ..EngineOptions::default() };
    let state = State::of(network, &Arc::default());
    let peers = Arc::new(Faulty { network: network.clone(), state });
    ShardEngine::new(Some((peers, policy.clone())), options)
}
