//! The caller's side: which peers have which blocks, which of them to use, and how to run a step there.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;

use super::serve::{INFO, read_info};
use super::wire::{Frame, Hidden, PROTOCOL, Precision, SMALL_FRAME, SessionId, step_limit};
use crate::net::{PeerStream, Peers};
use crate::trust::{CredentialDigest, Outcome};
use crate::{Error, ErrorCode, Result};

/// Waiting for what a host says about itself, or grants.
const SHORT: Duration = Duration::from_secs(10);
/// Waiting for one step.
const STEP: Duration = Duration::from_secs(120);
/// Asking more providers than this for their blocks would be a flood.
const MAX_PROVIDERS: usize = 64;

/// Says which peers may compute for this node. The node answers from its trust graph, for the purpose `UseBlocks`.
#[async_trait]
pub trait HostPolicy: Send + Sync + 'static {
    /// Whether this node would use blocks of `peer`; `untrusted_peer` when it stands too low.
    async fn usable(&self, peer: PeerId) -> Result<()>;

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

/// A peer that provides a model, as seen from here.
#[derive(Debug, Clone)]
pub struct HostView {
    /// The peer.
    pub peer: PeerId,
    /// The blocks it says it serves, ascending.
    pub spans: Vec<Range<u32>>,
    /// Why this node does not use it; `None` when it does.
    pub refused: Option<Error>,
}

/// Which blocks of a model are up, and from whom.
#[derive(Debug, Clone)]
pub struct Coverage {
    /// Number of blocks of the model.
    pub blocks: u32,
    /// Every provider, in the order of their PeerIds.
    pub hosts: Vec<HostView>,
}

impl Coverage {
    /// For each block, how many usable hosts have it.
    pub fn counts(&self) -> Vec<u32> {
        let has = |host: &HostView, block: u32| host.spans.iter().any(|span| span.contains(&block));
        let usable = || self.hosts.iter().filter(|host| host.refused.is_none());
        (0..self.blocks).map(|block| usable().filter(|host| has(host, block)).count() as u32).collect()
    }

    /// The runs of blocks that no usable host has.
    pub fn gaps(&self) -> Vec<Range<u32>> {
        let mut gaps: Vec<Range<u32>> = Vec::new();
        for (block, count) in (0..).zip(self.counts()) {
            match gaps.last_mut() {
                _ if count > 0 => {}
                Some(gap) if gap.end == block => gap.end = block + 1,
                _ => gaps.push(block..block + 1),
            }
        }
        gaps
    }

    /// A path over the usable hosts that runs every block exactly once, with the fewest hops; of equally good hosts the
    /// one with the lowest PeerId.
    ///
    /// # Errors
    /// `unreachable` with the blocks that nobody has as `gap`. When hosts have the first of them and all say no for one
    /// reason, such as `permission_denied` there or `untrusted_peer` here, that reason is the code.
    pub fn plan(&self) -> Result<Vec<(PeerId, Range<u32>)>> {
        let mut path = Vec::new();
        let mut position = 0;
        while position < self.blocks {
            // Going as far as possible at each hop gives the fewest hops.
            let mut best: Option<(PeerId, u32)> = None;
            for host in self.hosts.iter().filter(|host| host.refused.is_none()) {
                for span in host.spans.iter().filter(|span| span.contains(&position)) {
                    if best.is_none_or(|(_, end)| span.end > end) {
                        best = Some((host.peer, span.end));
                    }
                }
            }
            let Some((peer, end)) = best else { return Err(self.gap()) };
            path.push((peer, position..end));
            position = end;
        }
        Ok(path)
    }

    fn gap(&self) -> Error {
        let gaps: Vec<String> = self.gaps().iter().map(|gap| format!("{}..{}", gap.start, gap.end)).collect();
        let gaps = gaps.join(", ");
        let refused: Vec<String> = self
            .hosts
            .iter()
            .filter_map(|host| host.refused.as_ref().map(|error| format!("{} ({})", host.peer, error.code())))
            .collect();
        let first = self.gaps().first().map_or(0, |gap| gap.start);
        let mut reasons = self
            .hosts
            .iter()
            .filter(|host| host.spans.iter().any(|span| span.contains(&first)))
            .filter_map(|host| host.refused.as_ref());
        let message = format!("no usable peer has the blocks {gaps} of {}", self.blocks);
        let error = match reasons.next() {
            Some(reason) if reasons.all(|other| other.code() == reason.code()) => {
                let message = format!("{message}: {}", reason.message());
                let error = Error::new(reason.code(), message).with_source(reason.clone());
                reason
                    .context()
                    .get("remedy")
                    .into_iter()
                    .fold(error, |error, remedy| error.with_remedy(remedy.as_str()))
            }
            _ => Error::unreachable(message).with_remedy("connect to peers that serve them, or load the model whole"),
        };
        let error = error.with("gap", gaps);
        if refused.is_empty() { error } else { error.with("refused_hosts", refused.join(", ")) }
    }
}

pub(super) fn serves_nothing(peer: PeerId, model: &str) -> Error {
    Error::not_found("the peer serves no block of this model").with("peer", peer).with("model", model)
}

/// Asks every provider of a model what it serves, and the policy whether to use it.
pub async fn coverage(peers: &dyn Peers, policy: &dyn HostPolicy, model: &str, blocks: u32) -> Result<Coverage> {
    let mut providers = peers.providers(&provider_key(model)).await?;
    providers.truncate(MAX_PROVIDERS);
    providers.sort_by_key(|peer| peer.to_bytes());
    providers.dedup();
    let ask = |peer: PeerId| async move {
        let said = peers.call(peer, INFO, Bytes::new(), SHORT).await.and_then(|body| read_info(&body));
        if let Ok(said) = &said {
            policy.learn(peer, &said.credentials).await;
        }
        let usable = policy.usable(peer).await;
        let mut spans: Vec<Range<u32>> = said
            .iter()
            .flat_map(|said| &said.offers)
            .filter(|offer| offer.model == model && offer.start < offer.end && offer.end <= blocks)
            .map(|offer| offer.start..offer.end)
            .collect();
        spans.sort_by_key(|span| (span.start, span.end));
        HostView { peer, spans, refused: usable.err().or(said.err()) }
    };
    let hosts = futures::future::join_all(providers.into_iter().map(ask)).await;
    Ok(Coverage { blocks, hosts })
}

/// A session at a host.
pub(super) struct RemoteHop {
    pub peer: PeerId,
    pub blocks: Range<u32>,
    stream: PeerStream,
    session: SessionId,
    precision: Precision,
    size: u32,
    max_step_tokens: u32,
    step: u64,
    position: u32,
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
    /// Opens a session for `blocks` and at most `max_tokens` tokens.
    pub async fn open(
        peers: &Arc<dyn Peers>,
        peer: PeerId,
        model: &str,
        blocks: Range<u32>,
        max_tokens: u32,
        size: u32,
        precision: Precision,
    ) -> Result<RemoteHop> {
        let opening = async {
            let mut stream = peers.open_stream(peer, PROTOCOL, SHORT).await?;
            Frame::Open { model: model.to_string(), blocks: blocks.clone(), max_tokens }.write(&mut stream).await?;
            match Frame::read(&mut stream, SMALL_FRAME).await? {
                Some(Frame::Opened { session, hidden, max_step_tokens }) if hidden == size && max_step_tokens > 0 => {
                    Ok((stream, session, max_step_tokens))
                }
                Some(Frame::Opened { hidden, max_step_tokens, .. }) => Err(Error::conflict(format!(
                    "the host grants steps of {max_step_tokens} states of length {hidden}; the model has {size}"
                ))),
                other => Err(unexpected(other)),
            }
        };
        let opened = within(SHORT, opening).await;
        let (stream, session, max_step_tokens) = opened.map_err(|error| named(error, peer, &blocks))?;
        Ok(RemoteHop {
            peer,
            blocks,
            stream,
            session,
            precision,
            size,
            max_step_tokens,
            step: 0,
            position: 0,
            failed: None,
        })
    }

    /// How the dealing stands: `None` before the first step.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.failed {
            Some(failure) => outcome_of(failure),
            None => (self.step > 0).then_some(Outcome::Good),
        }
    }

    /// How many tokens one step may carry.
    pub fn max_step_tokens(&self) -> u32 {
        self.max_step_tokens
    }

    /// Sends states and waits for those after the last block of the hop.
    pub async fn step(&mut self, hidden: Hidden) -> Result<Hidden> {
        let tokens = hidden.tokens;
        let (step, position) = (self.step + 1, self.position + tokens);
        let request = Frame::Step {
            session: self.session,
            step,
            position: self.position,
            blocks: self.blocks.clone(),
            precision: self.precision,
            hidden,
        };
        let limit = step_limit(tokens, self.size);
        let answer = within(STEP, async {
            request.write(&mut self.stream).await?;
            Frame::read(&mut self.stream, limit).await
        });
        let output = match answer.await {
            Ok(Some(Frame::Output { session, step: answered, position: stands, hidden, .. }))
                if (session, answered, stands) == (self.session, step, position)
                    && (hidden.tokens, hidden.size) == (tokens, self.size) =>
            {
                Ok(hidden)
            }
            Ok(other) => Err(unexpected(other)),
            Err(error) => Err(error),
        };
        let output = output.map_err(|error| {
            self.failed = Some(error.code());
            named(error, self.peer, &self.blocks)
        })?;
        (self.step, self.position) = (step, position);
        Ok(output)
    }

    /// Tells the host that the session is over; a host that cannot be told lets it expire.
    pub async fn close(mut self) {
        let closing = Frame::Close { session: self.session };
        if let Err(error) = within(Duration::from_secs(1), closing.write(&mut self.stream)).await {
            tracing::debug!(code = %error.code(), "a session is left to expire");
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::timeout(format!("no answer within {} s", limit.as_secs()))),
    }
}

/// What a host sent in place of what it should have sent.
fn unexpected(frame: Option<Frame>) -> Error {
    match frame {
        Some(Frame::Refused { code, position, message }) => {
            let error = Error::new(code, format!("the host refuses: {message}"));
            position.map_or(error.clone(), |position| error.with("host_position", position))
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
    use crate::identity::Keypair;

    /// The seed of its identity, its spans, and whether it may be used.
    type Seen = (u8, &'static [(u32, u32)], bool);

    fn seen(hosts: &[Seen]) -> Coverage {
        let mut hosts: Vec<HostView> = hosts
            .iter()
            .map(|(seed, spans, usable)| HostView {
                peer: Keypair::from_seed([*seed; 32]).peer_id(),
                spans: spans.iter().map(|(start, end)| *start..*end).collect(),
                refused: (!usable).then(|| Error::untrusted_peer("low")),
            })
            .collect();
        hosts.sort_by_key(|host| host.peer.to_bytes());
        Coverage { blocks: 8, hosts }
    }

    #[test]
    fn overlapping_spans_run_each_block_once_with_the_fewest_hops() {
        let coverage = seen(&[(1, &[(0, 5)], true), (2, &[(2, 8)], true), (3, &[(5, 8)], true), (4, &[(0, 2)], true)]);
        let path: Vec<Range<u32>> = coverage.plan().unwrap().into_iter().map(|(_, blocks)| blocks).collect();
        assert_eq!(path, [0..5, 5..8]);
        assert_eq!(coverage.counts(), [2, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn a_gap_is_named_and_so_are_the_hosts_that_were_not_used() {
        let coverage = seen(&[(1, &[(0, 3)], true), (2, &[(3, 5), (4, 6)], false), (3, &[(7, 8)], true)]);
        let error = coverage.plan().unwrap_err();
        assert_eq!(
            error.code(),
            ErrorCode::UntrustedPeer,
            "the only host of the first missing block was refused for this"
        );
        assert_eq!(error.context()["gap"], "3..7");
        assert!(error.context()["refused_hosts"].contains("untrusted_peer"));
    }

    #[test]
    fn the_same_hosts_give_the_same_path() {
        let hosts: [Seen; 4] = [(1, &[(0, 8)], true), (2, &[(0, 8)], true), (3, &[(0, 8)], true), (4, &[(0, 8)], true)];
        let mut turned = hosts;
        turned.reverse();
        assert_eq!(seen(&hosts).plan().unwrap(), seen(&turned).plan().unwrap());
    }
}
