//! The host side: blocks that this node computes for others.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::backend::{Backend, BlockSpan};
use super::chain::HostPolicy;
use super::generate::blocking;
use super::session::{ServeLimits, Sessions, Step};
use super::wire::{BEAT, Frame, SessionId, step_limit};
use crate::clock::Clock;
use crate::net::{PeerStream, StreamHandler, UnaryHandler};
use crate::trust::{CredentialDigest, MAX_ANNOUNCED};
use crate::{Error, Result};

/// The unary method that tells anybody which blocks this node serves.
pub const INFO: &str = "kwaainet.shard.info";
const INFO_VERSION: u32 = 1;
const MAX_INFO: usize = 64 * 1024;
/// Frames that wait on a stream while one is computed.
const QUEUE: usize = 2;
/// How much the latest step counts in the pace that a host announces.
const LATEST_SHARE: f64 = 0.2;
/// Permits for a step that is computed by itself. One that is computed with those of other texts takes as small a part of them as
/// there may be others, so that they can meet.
const TURN: u32 = 64;
const SOONEST_MS: u32 = 50;
const LATEST_MS: u32 = 5000;

/// A span as a host offers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The model's id.
    pub model: String,
    /// The first block.
    pub start: u32,
    /// One past the last block.
    pub end: u32,
    /// What computes them; `None` for something that this version does not know. Hosts that do not say compute with candle.
    #[serde(default = "candle", skip_serializing_if = "is_candle", deserialize_with = "known")]
    pub backend: Option<Backend>,
}

fn candle() -> Option<Backend> {
    Some(Backend::Candle)
}

fn is_candle(backend: &Option<Backend>) -> bool {
    *backend == candle()
}

fn known<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Backend>, D::Error> {
    Ok(Backend::named(&String::deserialize(deserializer)?))
}

/// How busy a host says it is. A caller believes it for the choice of a path alone.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Milliseconds that one block took for one token lately; `None` before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_ms: Option<f64>,
    /// Steps that wait while others are computed.
    pub waiting: u32,
    /// Bytes that are left for keys and values.
    pub room_bytes: u64,
}

/// What a host says about itself to anybody who asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// What it serves.
    pub offers: Vec<Offer>,
    /// The digests of credentials about it, at most [`MAX_ANNOUNCED`]. They count for nothing until fetched and verified.
    pub credentials: Vec<CredentialDigest>,
    /// How busy it is, if it says so.
    pub load: Option<Load>,
}

#[derive(Serialize, Deserialize)]
struct Info {
    version: u32,
    spans: Vec<Offer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    credentials: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    load: Option<Load>,
}

/// Reads the answer to [`INFO`]. What is no digest among its credentials is passed over: it decides nothing.
///
/// # Errors
/// `corrupt_data` for an answer that is too long or no such answer, `unsupported` for another version.
pub fn read_info(body: &[u8]) -> Result<Announcement> {
    if body.len() > MAX_INFO {
        return Err(Error::corrupt_data(format!("{INFO} was answered with {} bytes", body.len())));
    }
    let info: Info = serde_json::from_slice(body)
        .map_err(|error| Error::corrupt_data(format!("{INFO} was answered with something else")).with_source(error))?;
    if info.version != INFO_VERSION {
        return Err(Error::unsupported(format!("the peer answers {INFO} in version {}", info.version)));
    }
    let credentials = info.credentials.iter().take(MAX_ANNOUNCED).filter_map(|text| text.parse().ok()).collect();
    let load = info.load;
    if load.and_then(|load| load.block_ms).is_some_and(|ms| !ms.is_finite() || ms < 0.0) {
        return Err(Error::corrupt_data(format!("{INFO} was answered with a time that cannot be")));
    }
    Ok(Announcement { offers: info.spans, credentials, load })
}

/// Which blocks of a model to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// These: the first, and one past the last.
    Run(Range<u32>),
    /// So many in a row, where the swarm has them least.
    Count(u32),
    /// As many as fit, as [`calibrate`](super::ShardEngine::calibrate) reckons, where the swarm has them least.
    Fitting {
        /// Bytes that they may take with what their sessions keep; what is free without a reserve unless set.
        memory_bytes: Option<u64>,
    },
}

impl Default for Amount {
    fn default() -> Amount {
        Amount::Fitting { memory_bytes: None }
    }
}

impl From<Range<u32>> for Amount {
    fn from(run: Range<u32>) -> Amount {
        Amount::Run(run)
    }
}

/// A run whose place was chosen, and may be chosen anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Its model, as it was named.
    pub model: PathBuf,
    /// Bytes of keys and values that it was sized for, where it was.
    pub cache_bytes: Option<usize>,
}

/// A span that is being served.
pub(super) struct ServedSpan {
    pub offer: Offer,
    /// `None` for a run that was asked for.
    pub chosen: Option<Chosen>,
    /// Whether it takes no further sessions.
    pub ending: AtomicBool,
    /// How many blocks the model has.
    pub blocks: u32,
    pub span: Arc<dyn BlockSpan>,
    pub hidden: u32,
    pub max_context: u32,
    pub cache_bytes_per_token: usize,
}

/// Everything this node computes for others.
pub(super) struct Host {
    spans: RwLock<Vec<Arc<ServedSpan>>>,
    sessions: Sessions,
    permits: Arc<Semaphore>,
    waiting: AtomicU32,
    /// Tokens times blocks.
    computed: AtomicU64,
    /// What one block takes for one token lately, in milliseconds.
    block_ms: Mutex<Option<f64>>,
    sweeper: RwLock<Option<AbortOnDropHandle<()>>>,
    /// Knows what credentials this node shows; an engine without a network shows none.
    policy: Option<Arc<dyn HostPolicy>>,
}

impl Host {
    pub fn new(limits: ServeLimits, clock: Arc<dyn Clock>, policy: Option<Arc<dyn HostPolicy>>) -> Arc<Host> {
        let turns = limits.parallel_steps.clamp(1, Semaphore::MAX_PERMITS / TURN as usize);
        let permits = Semaphore::new(turns * TURN as usize);
        Arc::new(Host {
            spans: RwLock::default(),
            sessions: Sessions::new(limits, clock),
            permits: Arc::new(permits),
            waiting: AtomicU32::new(0),
            computed: AtomicU64::new(0),
            block_ms: Mutex::default(),
            sweeper: RwLock::default(),
            policy,
        })
    }

    /// Adds a span, and starts looking for idle sessions.
    pub fn add(self: &Arc<Host>, span: ServedSpan) -> Result<()> {
        let mut spans = self.spans.write().unwrap_or_else(PoisonError::into_inner);
        if spans.iter().any(|other| other.offer == span.offer) {
            return Err(Error::already_exists("this node serves these blocks already"));
        }
        spans.push(Arc::new(span));
        spans.sort_by(|a, b| (&a.offer.model, a.offer.start).cmp(&(&b.offer.model, b.offer.start)));
        let mut sweeper = self.sweeper.write().unwrap_or_else(PoisonError::into_inner);
        sweeper.get_or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(sweep(Arc::downgrade(self)))));
        self.give(&spans);
        Ok(())
    }

    /// Drops those spans that `which` picks, with their sessions. Returns whether others remain.
    pub fn remove(&self, which: impl Fn(&ServedSpan) -> bool) -> bool {
        let mut spans = self.spans.write().unwrap_or_else(PoisonError::into_inner);
        spans.iter().filter(|span| which(span)).for_each(|span| self.sessions.close_span(&span.span));
        spans.retain(|span| !which(span));
        if spans.is_empty() {
            *self.sweeper.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.give(&spans);
        !spans.is_empty()
    }

    /// Lets sessions have the memory that the spans were sized for, if any was.
    fn give(&self, spans: &[Arc<ServedSpan>]) {
        let sized = spans.iter().filter_map(|span| span.chosen.as_ref()?.cache_bytes);
        self.sessions.give(sized.reduce(usize::saturating_add));
    }

    /// Takes no further sessions on those spans that `which` picks, and waits until they have none, for `grace` at most.
    pub async fn drain(&self, which: impl Fn(&ServedSpan) -> bool, grace: Duration) {
        let ending: Vec<_> = self.served().into_iter().filter(|span| which(span)).collect();
        ending.iter().for_each(|span| span.ending.store(true, Ordering::Relaxed));
        futures::future::join_all(ending.iter().map(|span| self.sessions.drained(&span.span, grace))).await;
    }

    /// What is offered, in the order of models and blocks.
    pub fn offers(&self) -> Vec<Offer> {
        self.open_spans().iter().map(|span| span.offer.clone()).collect()
    }

    /// The models of which anything is served, if only to its end.
    pub fn models(&self) -> BTreeSet<String> {
        self.served().iter().map(|span| span.offer.model.clone()).collect()
    }

    /// The spans that take sessions.
    pub fn open_spans(&self) -> Vec<Arc<ServedSpan>> {
        let mut spans = self.served();
        spans.retain(|span| !span.ending.load(Ordering::Relaxed));
        spans
    }

    pub fn open_sessions(&self) -> usize {
        self.sessions.sweep()
    }

    /// Tokens times blocks, of all steps so far.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    fn load(&self) -> Load {
        let waiting = self.waiting.load(Ordering::Relaxed);
        Load { block_ms: *self.pace(), waiting, room_bytes: self.sessions.room() as u64 }
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Option<f64>> {
        self.block_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a step that was computed. The pace is that of single tokens: a prompt's tokens share the reading of the weights.
    fn learn(&self, tokens: u32, blocks: u32, took: Duration) {
        self.computed.fetch_add(u64::from(tokens) * u64::from(blocks), Ordering::Relaxed);
        if tokens == 1 && blocks > 0 {
            let ms = took.as_secs_f64() * 1000.0 / f64::from(blocks);
            let mut pace = self.pace();
            *pace = Some(pace.map_or(ms, |before| before + (ms - before) * LATEST_SHARE));
        }
    }

    /// A refusal with the time in which the steps that wait will have been computed, as far as their pace is known.
    fn busy(&self) -> Error {
        let waiting = f64::from(self.waiting.load(Ordering::Relaxed));
        let blocks = self.served().iter().map(|span| span.offer.end - span.offer.start).max().unwrap_or_default();
        let ms = waiting * f64::from(blocks) * self.pace().unwrap_or_default();
        Error::busy("this host computes for others just now")
            .with("retry_after_ms", (ms as u32).clamp(SOONEST_MS, LATEST_MS))
    }

    fn served(&self) -> Vec<Arc<ServedSpan>> {
        self.spans.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn answer(&self, caller: PeerId, frame: Frame, cancel: &CancellationToken) -> Result<Frame> {
        match frame {
            Frame::Open { model, blocks, max_tokens } => self.open(caller, &model, blocks, max_tokens),
            Frame::Step { session, epoch, step, position, blocks, deadline_ms, precision, hidden } => {
                let step = Step { epoch, step, position, blocks, precision, hidden };
                let deadline = Instant::now() + Duration::from_millis(deadline_ms.into());
                self.step(caller, session, step, deadline, cancel).await
            }
            Frame::Truncate { session, epoch, position } => {
                let kept = self.sessions.get(caller, session)?;
                // Another answer begins here, and blocks that are about to go take none.
                let ending = |span: &Arc<ServedSpan>| kept.runs_on(&span.span) && span.ending.load(Ordering::Relaxed);
                if self.served().iter().any(ending) {
                    self.sessions.close(caller, session);
                    return Err(Error::not_found("these blocks are served no longer"));
                }
                blocking(move || kept.truncate(epoch, position)).await?
            }
            Frame::Close { .. }
            | Frame::Opened { .. }
            | Frame::Output { .. }
            | Frame::Truncated { .. }
            | Frame::Working { .. }
            | Frame::Refused { .. } => Err(Error::invalid_argument("frames of this kind are not answered")),
        }
    }

    fn open(&self, caller: PeerId, model: &str, blocks: Range<u32>, max_tokens: u32) -> Result<Frame> {
        let served = self.open_spans();
        let span = served
            .iter()
            .find(|span| span.offer.model == model && span.offer.start <= blocks.start && blocks.end <= span.offer.end)
            .ok_or_else(|| Error::not_found(format!("blocks {blocks:?} of this model are not served here")))?;
        if max_tokens > span.max_context {
            return Err(Error::invalid_argument(format!("the model's context ends at {} tokens", span.max_context)));
        }
        let session = self.sessions.open(caller, span.span.clone(), blocks, max_tokens, span.cache_bytes_per_token)?;
        Ok(Frame::Opened {
            session: session.id(),
            hidden: span.hidden,
            max_step_tokens: self.sessions.limits().step_tokens,
        })
    }

    /// Computes a step until its deadline. A thread that is still busy with it then stops at the next block, and leaves the
    /// session as it was.
    async fn step(
        &self,
        caller: PeerId,
        id: SessionId,
        step: Step,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<Frame> {
        let session = self.sessions.get(caller, id)?;
        let served = self.served().into_iter().find(|span| session.runs_on(&span.span));
        let hidden = served.as_ref().map(|span| span.hidden);
        if hidden != Some(step.hidden.size) || step.hidden.tokens > self.sessions.limits().step_tokens {
            return Err(Error::invalid_argument(format!(
                "{} states of length {} are not what this session takes",
                step.hidden.tokens, step.hidden.size
            )));
        }
        let others = served.filter(|_| step.hidden.tokens == 1).map_or(1, |span| span.span.together() as u32);
        let permit = self.permit((TURN / others.max(1)).max(1), deadline).await?;
        let (tokens, blocks) = (step.hidden.tokens, step.blocks.len() as u32);
        let stop = cancel.child_token();
        let _stop_in_any_case = stop.clone().drop_guard();
        let running = blocking(move || {
            // Held by the thread: it counts for as long as it computes, whoever has stopped waiting for it.
            let _permit = permit;
            session.run(step, &stop)
        });
        let ran = timeout_at(deadline, running).await;
        let ran = ran.map_err(|_| Error::timeout("the step took longer than its caller waits"))???;
        if let Some(took) = ran.computed {
            self.learn(tokens, blocks, took);
        }
        Ok(ran.output)
    }

    /// Waits for its turn to compute.
    async fn permit(&self, permits: u32, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        let closed = |_| Error::closed("this host has shut down");
        if let Ok(permit) = self.permits.clone().try_acquire_many_owned(permits) {
            return Ok(permit);
        }
        let _place = Waiting::begin(&self.waiting, self.sessions.limits().waiting_steps).ok_or_else(|| self.busy())?;
        match timeout_at(deadline, self.permits.clone().acquire_many_owned(permits)).await {
            Ok(permit) => permit.map_err(closed),
            Err(_) => Err(self.busy()),
        }
    }
}

/// The sessions that were opened on a stream. Of one that has read nothing when the stream ends, the caller may not even have
/// heard; a caller that comes back with another stream has one that it has used.
struct Opened<'a> {
    sessions: &'a Sessions,
    caller: PeerId,
    ids: Vec<SessionId>,
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.sessions.close_unread(self.caller, &self.ids);
    }
}

/// A place among the steps that wait.
struct Waiting<'a>(&'a AtomicU32);

impl Waiting<'_> {
    fn begin(waiting: &AtomicU32, limit: usize) -> Option<Waiting<'_>> {
        let place = Waiting(waiting);
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        ((before as usize) < limit).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl UnaryHandler for Host {
    async fn call(&self, _caller: PeerId, _body: Bytes) -> Result<Bytes> {
        let credentials = match &self.policy {
            Some(policy) => policy.announced().await.iter().map(CredentialDigest::to_string).collect(),
            None => Vec::new(),
        };
        serde_json::to_vec(&Info { version: INFO_VERSION, spans: self.offers(), credentials, load: Some(self.load()) })
            .map(Bytes::from)
            .map_err(|error| Error::internal("the offers could not be written").with_source(error))
    }
}

#[async_trait]
impl StreamHandler for Host {
    async fn serve(&self, caller: PeerId, stream: PeerStream) -> Result<()> {
        // Dropped with this future: whatever still computes for the stream stops at the next block.
        let cancel = CancellationToken::new();
        let _cancel_when_dropped = cancel.clone().drop_guard();
        let mut opened = Opened { sessions: &self.sessions, caller, ids: Vec::new() };
        let (mut input, mut output) = tokio::io::split(stream);
        let (queue, mut frames) = mpsc::channel(QUEUE);
        let idle = self.sessions.limits().idle;
        let reader = async {
            loop {
                let hidden = self.served().iter().map(|span| span.hidden).max().unwrap_or_default();
                let limit = step_limit(self.sessions.limits().step_tokens, hidden);
                let Some(frame) = Frame::read(&mut input, limit).await? else { return Ok(()) };
                // A close is often the last thing on a stream, so it must not wait behind what ends with the stream.
                if let Frame::Close { session } = frame {
                    self.sessions.close(caller, session);
                } else if queue.send(frame).await.is_err() {
                    return Ok(());
                }
            }
        };
        let worker = async {
            while let Ok(Some(frame)) = timeout(idle, frames.recv()).await {
                let working = match frame {
                    Frame::Step { session, step, .. } => Some(Frame::Working { session, step }),
                    _ => None,
                };
                let answer = self.answer(caller, frame, &cancel);
                tokio::pin!(answer);
                let mut beats = interval_at(Instant::now() + BEAT, BEAT);
                beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let reply = loop {
                    tokio::select! {
                        reply = &mut answer => break reply.unwrap_or_else(|error| Frame::refusal(&error)),
                        _ = beats.tick() => {
                            if let Some(working) = &working {
                                working.write_unless_stuck(&mut output, idle).await?;
                            }
                        }
                    }
                };
                if let Frame::Opened { session, .. } = reply {
                    opened.ids.push(session);
                }
                // A caller that sends but never reads would hold its answers here for ever.
                reply.write_unless_stuck(&mut output, idle).await?;
            }
            Ok(())
        };
        // When the caller's side ends, nobody waits for what is still being computed.
        tokio::select! {
            result = reader => result,
            result = worker => result,
        }
    }
}

async fn sweep(host: Weak<Host>) {
    loop {
        let Some(pause) = host.upgrade().map(|host| host.sessions.limits().idle / 2) else { return };
        tokio::time::sleep(pause.max(std::time::Duration::from_millis(100))).await;
        if let Some(host) = host.upgrade() {
            host.sessions.sweep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn an_announcement_of_either_age_is_read_and_what_is_no_digest_in_it_is_passed_over() {
        let digest = format!("urn:kwaai:vc:{}", "ab".repeat(32));
        let spans = r#""version":1,"spans":[{"model":"m","start":0,"end":2}]"#;
        let offers = vec![Offer { model: "m".into(), start: 0, end: 2, backend: candle() }];
        let read = |text: String| read_info(text.as_bytes()).unwrap();
        let plain = Announcement { offers: offers.clone(), credentials: Vec::new(), load: None };
        assert_eq!(read(format!("{{{spans}}}")), plain);
        let with = read(format!(r#"{{{spans},"credentials":["nonsense","{digest}"]}}"#));
        assert_eq!(with, Announcement { offers, credentials: vec![digest.parse().unwrap()], load: None });
        let load = Load { block_ms: Some(1.5), waiting: 2, room_bytes: 300 };
        let busy = read(format!(r#"{{{spans},"load":{{"block_ms":1.5,"waiting":2,"room_bytes":300,"later":1}}}}"#));
        assert_eq!(busy.load, Some(load));
        assert!(read_info(format!(r#"{{{spans},"load":{{"block_ms":-1}}}}"#).as_bytes()).is_err());
        let many = vec![digest; MAX_ANNOUNCED + 1];
        let many = read(format!(r#"{{{spans},"credentials":{}}}"#, serde_json::to_string(&many).unwrap()));
        assert_eq!(many.credentials.len(), MAX_ANNOUNCED);
        let computed = |by: &str| {
            let spans = format!(r#""version":1,"spans":[{{"model":"m","start":0,"end":2,"backend":"{by}"}}]"#);
            read(format!("{{{spans}}}")).offers[0].backend
        };
        assert_eq!(["candle", "ggml", "other"].map(computed), [candle(), Some(Backend::Ggml), None]);
        let wrong = read_info(format!(r#"{{{spans},"credentials":5}}"#).as_bytes());
        assert_eq!(wrong.unwrap_err().code(), ErrorCode::CorruptData);
    }

    #[test]
    fn the_bytes_of_an_announcement_are_fixed() {
        let offer = Offer { model: "m".into(), start: 0, end: 2, backend: candle() };
        let info = |credentials| Info { version: INFO_VERSION, spans: vec![offer.clone()], credentials, load: None };
        let text = |info: Info| serde_json::to_string(&info).unwrap();
        assert_eq!(text(info(Vec::new())), r#"{"version":1,"spans":[{"model":"m","start":0,"end":2}]}"#);
        assert_eq!(
            text(info(vec!["urn:kwaai:vc:ab".into()])),
            r#"{"version":1,"spans":[{"model":"m","start":0,"end":2}],"credentials":["urn:kwaai:vc:ab"]}"#
        );
        let load = Some(Load { block_ms: Some(1.5), waiting: 2, room_bytes: 300 });
        assert_eq!(
            text(Info { load, ..info(Vec::new()) }),
            r#"{"version":1,"spans":[{"model":"m","start":0,"end":2}],"load":{"block_ms":1.5,"waiting":2,"room_bytes":300}}"#
        );
        let by_ggml = Offer { backend: Some(Backend::Ggml), ..offer.clone() };
        assert_eq!(serde_json::to_string(&by_ggml).unwrap(), r#"{"model":"m","start":0,"end":2,"backend":"ggml"}"#);
    }
}
