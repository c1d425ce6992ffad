//! The caller's side: what peers say that they have, and how to run a step at one of them.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use tokio::io::AsyncWriteExt;

use super::backend::Backend;
use super::plan::{Coverage, HostView};
use super::serve::{INFO, read_info};
use super::wire::{Frame, Hidden, PROTOCOL, Precision, SMALL_FRAME, SessionId, step_limit};
use crate::llm::HostWishes;
use crate::net::{PeerStream, Peers};
use crate::trust::{CredentialDigest, Minimum, Outcome};
use crate::{Error, ErrorCode, Result};

/// Waiting for what a host says about itself.
const SHORT: Duration = Duration::from_secs(10);
/// Waiting until a host was told that a session is over.
const FAREWELL: Duration = Duration::from_secs(2);
/// A busy host that does not say when to ask again is asked after this long.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Asking more providers than this for their blocks would be a flood.
const MAX_PROVIDERS: usize = 64;

/// Says which peers may compute for this node. The node answers from its trust graph, for the purpose `UseBlocks`.
#[async_trait]
pub trait HostPolicy: Send + Sync + 'static {
    /// Whether this node would use blocks of `peer`, also where an answer asks for `least`; `untrusted_peer` when it stands too low.
    async fn usable(&self, peer: PeerId, least: Option<Minimum>) -> Result<()>;

    /// Takes note, before it is asked about a peer, of the digests of credentials in the peer's announcement.
    async fn learn(&self, _peer: PeerId, _credentials: &[CredentialDigest]) {}

    /// Takes note of how a dealing with a host ended, and of the time that it took for one step in milliseconds.
    async fn observed(&self, _peer: PeerId, _outcome: Outcome, _latency_ms: Option<f64>) {}

    /// The digests that travel with this node's own announcement.
    async fn announced(&self) -> Vec<CredentialDigest> {
        Vec::new()
    }
}

/// The key under which hosts of a model are found.
pub fn provider_key(model: &str) -> String {
    format!("shard/{model}")
}

pub(super) fn serves_nothing(peer: PeerId, model: &str) -> Error {
    Error::not_found("the peer serves no block of this model").with("peer", peer).with("model", model)
}

/// How long a caller waits for its hosts, and how often it looks for others in the place of those that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Patience {
    /// For a host to grant a session, the dial included.
    pub open: Duration,
    /// A host that works on a step says so twice a second. One that is silent for this long has failed.
    pub silence: Duration,
    /// A step may take this many times as long as the longest one of its size before, and never less than `silence`.
    pub factor: u32,
    /// A step may take no longer than this, in particular the first one, to which nothing can be compared.
    pub step: Duration,
    /// So many hosts may fail in one generation; with the next failure it ends.
    pub failures: u32,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            open: Duration::from_secs(10),
            silence: Duration::from_secs(2),
            factor: 4,
            step: Duration::from_secs(120),
            failures: 8,
        }
    }
}

/// The longest steps so far, of one token and of more.
#[derive(Debug, Clone, Copy, Default)]
struct Paces {
    single: Option<Duration>,
    several: Option<(u32, Duration)>,
}

impl Paces {
    fn learn(&mut self, tokens: u32, took: Duration) {
        match (tokens, self.several) {
            (1, _) => self.single = self.single.max(Some(took)),
            // Per token, since steps have many sizes.
            (_, Some((before, longest))) if longest / before >= took / tokens => {}
            _ => self.several = Some((tokens, took)),
        }
    }

    /// No step of so many tokens should take longer: more tokens take no more than as many times the time of fewer.
    fn expected(&self, tokens: u32) -> Option<Duration> {
        let scaled = |(known, took): (u32, Duration)| took * tokens.div_ceil(known).max(1);
        let single = self.single.map(|took| scaled((1, took)));
        [single, self.several.map(scaled)].into_iter().flatten().min()
    }
}

/// Asks every provider of a model, but for those named, what it serves, and the policy whether to use it for an answer whose hosts have to
/// reach `least`.
pub(super) async fn coverage(
    peers: &dyn Peers,
    policy: &dyn HostPolicy,
    model: &str,
    blocks: u32,
    not: &[PeerId],
    least: Option<Minimum>,
) -> Result<Coverage> {
    let mut providers = peers.providers(&provider_key(model)).await?;
    providers.retain(|peer| !not.contains(peer));
    providers.truncate(MAX_PROVIDERS);
    providers.sort_by_key(|peer| peer.to_bytes());
    providers.dedup();
    let ask = |peer: PeerId| async move {
        let said = peers.call(peer, INFO, Bytes::new(), SHORT).await.and_then(|body| read_info(&body));
        if let Ok(said) = &said {
            policy.learn(peer, &said.credentials).await;
        }
        let usable = policy.usable(peer, least).await;
        let mut spans: Vec<(Option<Backend>, Range<u32>)> = said
            .iter()
            .flat_map(|said| &said.offers)
            .filter(|offer| offer.model == model && offer.start < offer.end && offer.end <= blocks)
            .map(|offer| (offer.backend, offer.start..offer.end))
            .collect();
        spans.sort_by_key(|(backend, span)| (backend.map(Backend::name), span.start, span.end));
        let load = said.as_ref().ok().and_then(|said| said.load);
        let seen = HostView {
            refused: usable.err().or(said.err()),
            round_trip_ms: peers.round_trip(peer).map(|way| way.as_secs_f64() * 1000.0),
            block_ms: load.and_then(|load| load.block_ms),
            waiting: load.map_or(0, |load| load.waiting),
            room_bytes: load.map(|load| load.room_bytes),
            ..HostView::new(peer, Vec::new())
        };
        if spans.is_empty() {
            return vec![seen];
        }
        let alike = spans.chunk_by(|(one, _), (other, _)| one == other);
        let view = |alike: &[(Option<Backend>, Range<u32>)]| HostView {
            backend: alike[0].0,
            spans: alike.iter().map(|(_, span)| span.clone()).collect(),
            ..seen.clone()
        };
        alike.map(view).collect()
    };
    let hosts = futures::future::join_all(providers.into_iter().map(ask)).await;
    Ok(Coverage { blocks, hosts: hosts.concat() })
}

/// What a session is opened for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub model: String,
    pub max_tokens: u32,
    /// Length of one hidden state.
    pub size: u32,
    pub patience: Patience,
    /// What its hosts must be, beyond the policy.
    pub wishes: HostWishes,
}

/// A session at a host.
pub(super) struct RemoteHop {
    pub peer: PeerId,
    pub blocks: Range<u32>,
    peers: Arc<dyn Peers>,
    stream: PeerStream,
    session: SessionId,
    precision: Precision,
    size: u32,
    max_step_tokens: u32,
    patience: Patience,
    paces: Paces,
    epoch: u32,
    step: u64,
    position: u32,
    /// Set while an exchange is under way, after which alone the stream stands between two frames.
    amid: bool,
    failed: Option<ErrorCode>,
}

/// What a failure says of the host: an answer that cannot be right is a bad one, and one that did not come may be the
/// network's doing. A host that says no, because it is full or does not know this node, has done nothing wrong.
pub(super) fn outcome_of(failure: ErrorCode) -> Option<Outcome> {
    match failure {
        ErrorCode::CorruptData | ErrorCode::Conflict => Some(Outcome::Bad),
        ErrorCode::Unreachable | ErrorCode::Timeout | ErrorCode::Closed => Some(Outcome::TransportFault),
        _ => None,
    }
}

impl RemoteHop {
    /// Opens a session for `blocks`.
    pub async fn open(
        peers: &Arc<dyn Peers>,
        peer: PeerId,
        blocks: Range<u32>,
        wanted: &Wanted,
        precision: Precision,
    ) -> Result<RemoteHop> {
        let Wanted { model, max_tokens, size, patience, .. } = wanted;
        let opening = async {
            let mut stream = peers.open_stream(peer, PROTOCOL, patience.open).await?;
            let open = Frame::Open { model: model.clone(), blocks: blocks.clone(), max_tokens: *max_tokens };
            open.write(&mut stream).await?;
            match Frame::read_unless_silent(&mut stream, SMALL_FRAME, patience.silence).await? {
                Some(Frame::Opened { session, hidden, max_step_tokens }) if hidden == *size && max_step_tokens > 0 => {
                    Ok((stream, session, max_step_tokens))
                }
                Some(Frame::Opened { hidden, max_step_tokens, .. }) => Err(Error::conflict(format!(
                    "the host grants steps of {max_step_tokens} states of length {hidden}; the model has {size}"
                ))),
                other => Err(unexpected(other)),
            }
        };
        let opened = within(patience.open, opening).await;
        let (stream, session, max_step_tokens) = opened.map_err(|error| named(error, peer, &blocks))?;
        Ok(RemoteHop {
            peer,
            blocks,
            peers: peers.clone(),
            stream,
            session,
            precision,
            size: *size,
            max_step_tokens,
            patience: patience.clone(),
            paces: Paces::default(),
            epoch: 0,
            step: 0,
            position: 0,
            amid: false,
            failed: None,
        })
    }

    /// How the dealing stands: `None` where no step was answered.
    pub fn outcome(&self, answered: bool) -> Option<Outcome> {
        match self.failed {
            Some(failure) => outcome_of(failure),
            None => answered.then_some(Outcome::Good),
        }
    }

    /// How many tokens one step may carry.
    pub fn max_step_tokens(&self) -> u32 {
        self.max_step_tokens
    }

    /// How long the next step may take.
    fn limit(&self, tokens: u32) -> Duration {
        let expected = self.paces.expected(tokens).map(|expected| expected.saturating_mul(self.patience.factor));
        expected.map_or(self.patience.step, |limit| limit.clamp(self.patience.silence, self.patience.step))
    }

    /// Takes an answer for wrong that its form did not show to be.
    pub fn distrust(&mut self, error: &Error) {
        self.failed = Some(error.code());
    }

    /// Sends states and waits for those after the last block of the hop. A host that is busy just now is asked again, while
    /// there is time.
    pub async fn step(&mut self, hidden: Hidden) -> Result<Hidden> {
        let tokens = hidden.tokens;
        let start = Instant::now();
        let limit = self.limit(tokens);
        let request = Frame::Step {
            session: self.session,
            epoch: self.epoch,
            step: self.step + 1,
            position: self.position,
            blocks: self.blocks.clone(),
            deadline_ms: limit.as_millis().try_into().unwrap_or(u32::MAX),
            precision: hidden.precision(self.precision),
            hidden,
        };
        self.amid = true;
        let answered = within(limit, async {
            loop {
                match self.exchange(&request, tokens).await {
                    Err(error) if error.code() == ErrorCode::Busy => tokio::time::sleep(retry_after(&error)).await,
                    answered => return answered,
                }
            }
        });
        let answered = answered.await;
        let output = answered.map_err(|error| {
            self.failed = Some(error.code());
            named(error, self.peer, &self.blocks)
        })?;
        self.amid = false;
        self.paces.learn(tokens, start.elapsed());
        (self.step, self.position) = (self.step + 1, self.position + tokens);
        Ok(output)
    }

    async fn exchange(&mut self, request: &Frame, tokens: u32) -> Result<Hidden> {
        let (step, position) = (self.step + 1, self.position + tokens);
        let limit = step_limit(tokens, self.size);
        request.write_unless_stuck(&mut self.stream, self.patience.silence).await?;
        loop {
            match Frame::read_unless_silent(&mut self.stream, limit, self.patience.silence).await? {
                Some(Frame::Working { session, step: on }) if (session, on) == (self.session, step) => {}
                Some(Frame::Output { session, step: answered, position: stands, hidden, .. })
                    if (session, answered, stands) == (self.session, step, position)
                        && (hidden.tokens, hidden.size) == (tokens, self.size) =>
                {
                    return Ok(hidden);
                }
                other => return Err(unexpected(other)),
            }
        }
    }

    /// Whether another exchange can follow.
    pub fn is_sound(&self) -> bool {
        !self.amid && self.failed.is_none()
    }

    /// Takes the session back to an earlier position.
    ///
    /// # Errors
    /// Those of the host, which may have closed the session meanwhile; after any of them the session is of no use.
    pub async fn truncate(&mut self, position: u32) -> Result<()> {
        let epoch = self.epoch + 1;
        let request = Frame::Truncate { session: self.session, epoch, position };
        self.amid = true;
        let taken_back = within(self.patience.silence, async {
            request.write(&mut self.stream).await?;
            match Frame::read_unless_silent(&mut self.stream, SMALL_FRAME, self.patience.silence).await? {
                Some(Frame::Truncated { session, epoch: answered, position: stands })
                    if (session, answered, stands) == (self.session, epoch, position) =>
                {
                    Ok(())
                }
                other => Err(unexpected(other)),
            }
        });
        taken_back.await.map_err(|error| named(error, self.peer, &self.blocks))?;
        (self.amid, self.epoch, self.position) = (false, epoch, position);
        Ok(())
    }

    /// Tells the host that the session is over, on a new stream where the old one broke or stands within a frame. A host that
    /// cannot be told lets the session expire.
    pub async fn close(mut self) {
        let closing = Frame::Close { session: self.session };
        let told = within(FAREWELL, async {
            if self.amid || self.failed.is_some() || closing.write(&mut self.stream).await.is_err() {
                self.stream = self.peers.open_stream(self.peer, PROTOCOL, FAREWELL).await?;
                closing.write(&mut self.stream).await?;
            }
            // An ended stream is read to its end, where one that is only dropped may be forgotten with what is on it.
            self.stream.shutdown().await.map_err(|error| Error::unreachable("the stream broke").with_source(error))
        });
        if let Err(error) = told.await {
            tracing::debug!(code = %error.code(), "a session is left to expire");
        }
    }
}

/// When to ask a busy host again.
pub(super) fn retry_after(busy: &Error) -> Duration {
    let millis = busy.context().get("retry_after_ms").and_then(|millis| millis.parse().ok());
    millis.map_or(ASK_AGAIN, Duration::from_millis)
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::timeout(format!("no answer within {} ms", limit.as_millis()))),
    }
}

/// What a host sent in place of what it should have sent.
fn unexpected(frame: Option<Frame>) -> Error {
    match frame {
        Some(Frame::Refused { code, position, retry_after_ms, message }) => {
            let mut error = Error::new(code, format!("the host refuses: {message}"));
            if let Some(position) = position {
                error = error.with("host_position", position);
            }
            retry_after_ms.map_or(error.clone(), |millis| error.with("retry_after_ms", millis))
        }
        Some(_) => Error::new(ErrorCode::CorruptData, "the host answers something that was not asked"),
        None => Error::unreachable("the host ended the stream"),
    }
}

fn named(error: Error, peer: PeerId, blocks: &Range<u32>) -> Error {
    error.with("peer", peer).with("blocks", format!("{}..{}", blocks.start, blocks.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_step_is_expected_to_take_no_longer_than_others_have_per_token() {
        let mut paces = Paces::default();
        assert_eq!(paces.expected(1), None);
        paces.learn(128, 640 * MS);
        assert_eq!(
            (paces.expected(1), paces.expected(128), paces.expected(200)),
            (Some(640 * MS), Some(640 * MS), Some(1280 * MS))
        );
        paces.learn(1, 20 * MS);
        paces.learn(1, 10 * MS);
        assert_eq!(
            (paces.expected(1), paces.expected(4), paces.expected(128)),
            (Some(20 * MS), Some(80 * MS), Some(640 * MS))
        );
        paces.learn(2, 60 * MS);
        assert_eq!(paces.expected(128), Some(128 * 20 * MS), "the slowest step of several tokens counts");
    }
}
