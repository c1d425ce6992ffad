//! Where a peer's call arrives, and where a peer is chosen, its trust decides.
//!
//! Nodes show each other the credentials they hold about themselves: a node answers the unary method
//! `kwaainet.trust.credentials` with a JSON array of them, each as the JSON text that its issuer signed. The asking node
//! keeps what it can verify, what is about the peer that answered, and what comes from an issuer it trusts for that
//! type; everything else is dropped.
//!
//! Announcements carry only the digests of credentials. The unary method `kwaainet.trust.fetch` takes a JSON array of up to
//! eight digests and answers with those of the node's own credentials that bear one, in the same form as above. It is
//! called for the digests that the asking node lacks, and only for a peer that stands too low without them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use libp2p::PeerId;

use super::status::StatusLists;
use crate::blocking::blocking;
use crate::identity::Did;
use crate::net::{Peers, UnaryHandler};
use crate::shard::HostPolicy;
use crate::trust::{
    CredentialDigest, CredentialSummary, Gate, MAX_ANNOUNCED, Minimum, Observation, Outcome, Purpose, Tier, TrustGraph,
};
use crate::{Error, Result};

const METHOD: &str = "kwaainet.trust.credentials";
const FETCH: &str = "kwaainet.trust.fetch";
const TIMEOUT: Duration = Duration::from_secs(5);
/// A peer is asked again only after this long, so that a refused caller cannot make this node call back at will.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Who was asked is remembered for this many peers; when it is full, nobody new is asked for a while.
const MAX_ASKED: usize = 4096;
/// The credentials shown to a peer stay below this, so that they fit one answer.
const MAX_SHOWN: usize = 1024 * 1024;
/// Eight digests of 77 characters take less.
const MAX_FETCH: usize = 1024;

/// Admits callers and chooses hosts by their tier, after asking them for credentials that would raise it.
pub(super) struct TrustGate {
    trust: TrustGraph,
    // Weak: the network holds this gate.
    peers: OnceLock<Weak<dyn Peers>>,
    lists: OnceLock<Arc<StatusLists>>,
    asked: Mutex<BTreeMap<PeerId, Instant>>,
}

impl TrustGate {
    pub(super) fn new(trust: TrustGraph) -> TrustGate {
        TrustGate { trust, peers: OnceLock::new(), lists: OnceLock::new(), asked: Mutex::new(BTreeMap::new()) }
    }

    pub(super) fn trust(&self) -> &TrustGraph {
        &self.trust
    }

    /// Begins to answer peers, and makes asking them possible.
    pub(super) fn attach(&self, peers: &Arc<dyn Peers>) -> Result<()> {
        let lists = Arc::new(StatusLists::serve(peers, self.trust.clone())?);
        let twice = || Error::internal("the gate was attached twice");
        self.peers.set(Arc::downgrade(peers)).map_err(|_| twice())?;
        self.lists.set(lists).map_err(|_| twice())?;
        peers.serve_unary(METHOD, Purpose::Open, Arc::new(Show(self.trust.clone())))?;
        peers.serve_unary(FETCH, Purpose::Open, Arc::new(Fetch(self.trust.clone())))
    }

    /// The status lists that travel between nodes.
    pub(super) fn status_lists(&self) -> Result<Arc<StatusLists>> {
        self.lists.get().cloned().ok_or_else(|| Error::internal("the gate was not attached"))
    }

    /// Looks for the lists that credentials name which a peer has just shown.
    async fn look_up_status(&self, peer: PeerId, shown: &[CredentialSummary]) -> Result<()> {
        let issuers = shown.iter().map(|credential| credential.issuer).collect();
        self.status_lists()?.fetch_shown(peer, &issuers).await
    }

    /// Fetches a peer's credentials unless it was asked a moment ago. A peer that does not answer has none to show.
    pub(super) async fn ask(&self, peer: PeerId) {
        let (Ok(subject), Some(peers)) = (Did::from_peer_id(&peer), self.peers.get().and_then(Weak::upgrade)) else {
            return;
        };
        if !self.may_ask(peer) {
            return;
        }
        let kept = async {
            let answer = peers.call(peer, METHOD, Bytes::new(), TIMEOUT).await?;
            let shown = self.trust.import_presented(&subject, &texts(&answer)?).await?;
            self.look_up_status(peer, &shown).await
        };
        if let Err(error) = kept.await {
            tracing::debug!(%peer, code = %error.code(), "the peer's credentials could not be had");
        }
    }

    /// Asks who has a question for its credentials when it would learn more with better ones.
    pub(super) async fn ask_asker(&self, asker: PeerId) -> Result<()> {
        let Ok(did) = Did::from_peer_id(&asker) else { return Ok(()) };
        let disclosures = self.trust.disclosures()?;
        if disclosures.are_off() {
            return Ok(());
        }
        let trust = self.trust.clone();
        let score = blocking(move || trust.score(&did)).await?;
        if disclosures.to(score.tier) < disclosures.to(Tier::Trusted) {
            self.ask(asker).await;
        }
        Ok(())
    }

    /// Fetches the credentials that a peer announced and this node lacks.
    async fn fetch(&self, peer: PeerId, lacking: &[CredentialDigest]) -> Result<()> {
        let (subject, peers) = (Did::from_peer_id(&peer)?, self.peers.get().and_then(Weak::upgrade));
        let peers = peers.ok_or_else(|| Error::closed("the network was shut down"))?;
        let body = serde_json::to_vec(lacking)
            .map_err(|error| Error::internal("digests could not be written as JSON").with_source(error))?;
        let answer = peers.call(peer, FETCH, body.into(), TIMEOUT).await?;
        let shown = self.trust.import_fetched(&subject, lacking, &texts(&answer)?).await?;
        self.look_up_status(peer, &shown).await
    }

    /// Whether this node may use a host, as its policy has it now.
    async fn require(&self, host: Did, least: Option<Minimum>) -> Result<()> {
        let trust = self.trust.clone();
        blocking(move || trust.require_also(&host, Purpose::UseBlocks, least)).await
    }

    fn may_ask(&self, peer: PeerId) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if asked.get(&peer).is_some_and(|before| now.duration_since(*before) < ASK_AGAIN) {
            return false;
        }
        if asked.len() >= MAX_ASKED {
            asked.retain(|_, before| now.duration_since(*before) < ASK_AGAIN);
        }
        if asked.len() >= MAX_ASKED {
            return false;
        }
        asked.insert(peer, now);
        true
    }
}

#[async_trait]
impl Gate for TrustGate {
    async fn admit(&self, caller: PeerId, purpose: Purpose) -> Result<()> {
        if purpose == Purpose::Open || self.trust.admit(caller, purpose).await.is_ok() {
            return Ok(());
        }
        self.ask(caller).await;
        self.trust.admit(caller, purpose).await
    }
}

#[async_trait]
impl HostPolicy for TrustGate {
    async fn usable(&self, peer: PeerId, least: Option<Minimum>) -> Result<()> {
        let did = Did::from_peer_id(&peer).map_err(|_| {
            Error::untrusted_peer("the host's PeerId carries no key, so that no credential can be about it")
                .with("peer", peer)
        })?;
        if self.require(did, least).await.is_ok() {
            return Ok(());
        }
        self.ask(peer).await;
        self.require(did, least).await
    }

    async fn learn(&self, peer: PeerId, credentials: &[CredentialDigest]) {
        let Ok(did) = Did::from_peer_id(&peer) else { return };
        if self.require(did, None).await.is_ok() {
            return;
        }
        let (trust, credentials) = (self.trust.clone(), credentials.to_vec());
        let lacking = blocking(move || trust.lacking(&credentials)).await.unwrap_or_default();
        if lacking.is_empty() || !self.may_ask(peer) {
            return;
        }
        if let Err(error) = self.fetch(peer, &lacking).await {
            tracing::debug!(%peer, code = %error.code(), "what the peer announced could not be fetched");
            // It may still be asked for all that it shows.
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
        }
    }

    async fn observed(&self, peer: PeerId, outcome: Outcome, latency_ms: Option<f64>) {
        let Ok(did) = Did::from_peer_id(&peer) else { return };
        if did == self.trust.did() {
            return;
        }
        let trust = self.trust.clone();
        // Now and then an observation makes a batch due, which is then written.
        let recorded = blocking(move || {
            trust.record(&did, Observation { latency_ms, ..Observation::new(outcome, Timestamp::MAX) })
        });
        if let Err(error) = recorded.await {
            tracing::warn!(code = %error.code(), "what was seen of a peer could not be kept");
        }
    }

    async fn announced(&self) -> Vec<CredentialDigest> {
        let trust = self.trust.clone();
        blocking(move || trust.announced()).await.unwrap_or_else(|error| {
            tracing::warn!(code = %error.code(), "this node's credentials are not announced");
            Vec::new()
        })
    }
}

fn texts(answer: &[u8]) -> Result<Vec<String>> {
    serde_json::from_slice(answer)
        .map_err(|_| Error::invalid_argument("the peer's credentials are not a list of texts"))
}

/// Answers with the credentials about this node.
struct Show(TrustGraph);

#[async_trait]
impl UnaryHandler for Show {
    async fn call(&self, _caller: PeerId, _body: Bytes) -> Result<Bytes> {
        let trust = self.0.clone();
        shown(move || trust.presentable()).await
    }
}

/// Answers with those credentials about this node that were asked for.
struct Fetch(TrustGraph);

#[async_trait]
impl UnaryHandler for Fetch {
    async fn call(&self, _caller: PeerId, body: Bytes) -> Result<Bytes> {
        let digests: Option<Vec<CredentialDigest>> = match body.len() {
            0..=MAX_FETCH => serde_json::from_slice(&body).ok(),
            _ => None,
        };
        let digests = digests.filter(|digests| digests.len() <= MAX_ANNOUNCED).ok_or_else(|| {
            Error::invalid_argument(format!("not a list of at most {MAX_ANNOUNCED} digests of credentials"))
        })?;
        let trust = self.0.clone();
        shown(move || trust.presentable_of(&digests)).await
    }
}

/// Reads credentials off the async workers, and writes as many as fit an answer.
async fn shown(read: impl FnOnce() -> Result<Vec<String>> + Send + 'static) -> Result<Bytes> {
    let mut own = blocking(read).await?;
    let mut size = 0;
    own.retain(|text| {
        size += text.len() * 2;
        size <= MAX_SHOWN
    });
    serde_json::to_vec(&own)
        .map(Bytes::from)
        .map_err(|error| Error::internal("credentials could not be written as JSON").with_source(error))
}
