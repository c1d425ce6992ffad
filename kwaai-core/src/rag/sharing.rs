//! Knowledge bases that a peer may search.
//!
//! An owner signs a capability for one holder and one knowledge base, until a time. Its form is that of every statement between nodes:
//! `kwaainet/KnowledgeCapability/1` under JCS and Ed25519. Who holds it asks the owner's node by the unary method
//! `kwaainet.knowledge.search`: a JSON object in a call, a JSON object in the answer. The owner's node learns the question; who asks gets
//! passages, each with its [`Provenance`], and what the words of the question are worth there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::identity::{Did, Signer};
use crate::net::{Peers, UnaryHandler};
use crate::rag::ingest::blocking;
use crate::rag::provenance::{Proven, Provenance};
use crate::rag::statistics::Statistics;
use crate::rag::{Hit, Mode, Rag, SearchOptions};
use crate::trust::json::{hex, unhex};
use crate::trust::statement::{self, Reader, refused};
use crate::trust::{Purpose, TrustGraph};
use crate::{Error, ErrorCode, Result};

const KIND: &str = "KnowledgeCapability";
const METHOD: &str = "kwaainet.knowledge.search";
/// The longest capability, in bytes of text.
pub const MAX_KNOWLEDGE_CAPABILITY_BYTES: usize = 4 * 1024;
/// How long one holds at most.
const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The longest name of a knowledge base.
const MAX_NAME: usize = 64;
/// What one question may cost its host.
const MAX_TEXT: usize = 8 * 1024;
pub(super) const MAX_TERMS: usize = 256;
const MAX_HITS: usize = 64;
/// No passage has more words on average, whatever a peer says.
const MOST_WORDS: u64 = 10_000;
/// So many questions are answered at the same time; the others wait.
const AT_ONCE: usize = 4;
/// So many bytes of passages are answered; hits beyond are left out.
const MAX_ANSWER: usize = 512 * 1024;

/// Allows one holder to search one knowledge base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnowledgeCapability {
    issuer: Did,
    holder: Did,
    knowledge_base: [u8; 16],
    name: String,
    id: [u8; 16],
    issued: Timestamp,
    expires: Timestamp,
    text: String,
}

impl KnowledgeCapability {
    /// Allows `holder` to search the knowledge base of this id, called `name` by its owner, who signs. `id` must be 16 random bytes.
    ///
    /// # Errors
    /// `invalid_argument` for a name of no or more than 64 characters, and, with the rule `lifetime`, for an end that is past or more
    /// than 366 days off; what the signer answers.
    pub async fn issue(
        signer: &dyn Signer,
        knowledge_base: &str,
        terms: &ShareTerms,
        id: [u8; 16],
        now: Timestamp,
    ) -> Result<KnowledgeCapability> {
        let (now, expires) = (seconds(now)?, seconds(terms.expires)?);
        let knowledge_base: [u8; 16] =
            unhex(knowledge_base).ok_or_else(|| Error::internal("a knowledge base has no id"))?;
        let mut members = Map::new();
        members.insert("issuer".into(), signer.did().to_string().into());
        members.insert("holder".into(), terms.holder.to_string().into());
        members.insert("knowledge_base".into(), hex(&knowledge_base).into());
        members.insert("name".into(), terms.name.as_str().into());
        members.insert("id".into(), hex(&id).into());
        members.insert("issued".into(), now.to_string().into());
        members.insert("expires".into(), expires.to_string().into());
        check_terms(&terms.name, now, expires)?;
        KnowledgeCapability::read(&statement::sign(KIND, members, signer).await?)
    }

    /// Reads a capability, and checks its form and its signature.
    ///
    /// # Errors
    /// With the broken `rule`: those of every statement (`form`, `signature`), and `lifetime`.
    pub fn read(text: &str) -> Result<KnowledgeCapability> {
        let (mut reader, issuer) = Reader::open(KIND, text, MAX_KNOWLEDGE_CAPABILITY_BYTES, "issuer")?;
        let (holder, knowledge_base) = (reader.did("holder")?, reader.bytes("knowledge_base")?);
        let (name, id) = (reader.text("name")?, reader.bytes("id")?);
        let (issued, expires) = (reader.time("issued")?, reader.time("expires")?);
        reader.end()?;
        check_terms(&name, issued, expires)?;
        let text = text.to_owned();
        Ok(KnowledgeCapability { issuer, holder, knowledge_base, name, id, issued, expires, text })
    }

    /// Whose knowledge base it is.
    pub fn owner(&self) -> Did {
        self.issuer
    }

    /// Who may search it.
    pub fn holder(&self) -> Did {
        self.holder
    }

    /// The knowledge base's id, 32 hexadecimal digits.
    pub fn knowledge_base(&self) -> String {
        hex(&self.knowledge_base)
    }

    /// What its owner calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What [`Rag::revoke_share`] takes: 32 hexadecimal digits.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// Until when it holds.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads what the owner's node answered to a search for at most `k` passages, and checks all that can be checked.
    ///
    /// # Errors
    /// `corrupt_data` for what is no such answer, and for passages whose provenance does not hold or is of another knowledge base.
    pub fn read_answer(&self, answer: &[u8], k: usize) -> Result<Vec<ProvenHit>> {
        Ok(self.answered(answer, k)?.hits)
    }

    fn answered(&self, answer: &[u8], k: usize) -> Result<Answered> {
        let mut answered: Answered =
            serde_json::from_slice(answer).map_err(|error| not_this("cannot be read").with_source(error))?;
        if answered.hits.len() > k {
            return Err(not_this("has more passages than were asked for"));
        }
        let texts: usize = answered.hits.iter().map(|found| found.hit.text.len()).sum();
        if texts > MAX_ANSWER || answered.hits.iter().any(|found| found.hit.text.trim().is_empty()) {
            return Err(not_this("has passages that are empty or too long"));
        }
        let statistics = &mut answered.statistics;
        for ProvenHit { hit, provenance } in &mut answered.hits {
            let Proven { owner, knowledge_base, passages, .. } = provenance.check(hit)?;
            if owner != self.issuer || knowledge_base != self.knowledge_base() {
                return Err(not_this("is of another knowledge base"));
            }
            statistics.passages = statistics.passages.min(passages);
            // Nobody asked for this, and nothing proves it.
            (hit.around, hit.via) = (None, None);
            hit.metadata.clear();
        }
        statistics.words = statistics.words.min(statistics.passages.saturating_mul(MOST_WORDS));
        Ok(answered)
    }

    fn check(&self, owner: Did, caller: Did, now: Timestamp) -> Result<()> {
        for (holds, rule, why) in [
            (self.issuer == owner, "issuer", "the capability is not of this node"),
            (self.holder == caller, "holder", "the capability is somebody else's"),
            (statement::is_past(self.issued, now), "not_yet", "the capability comes from the future"),
            (self.expires > now, "expired", "the capability has ended"),
        ] {
            if !holds {
                return Err(refused(ErrorCode::PermissionDenied, rule, why));
            }
        }
        Ok(())
    }
}

fn check_terms(name: &str, issued: Timestamp, expires: Timestamp) -> Result<()> {
    if name.trim().is_empty() || name.chars().count() > MAX_NAME {
        return Err(refused(ErrorCode::InvalidArgument, "form", format!("a name has 1 to {MAX_NAME} characters")));
    }
    let seconds = expires.as_second() - issued.as_second();
    if !(1..=MAX_LIFETIME.as_secs() as i64).contains(&seconds) {
        return Err(refused(
            ErrorCode::InvalidArgument,
            "lifetime",
            "a capability holds between a second and 366 days",
        ));
    }
    Ok(())
}

fn not_this(what: &str) -> Error {
    Error::corrupt_data(format!("the peer's answer {what}"))
}

fn seconds(time: Timestamp) -> Result<Timestamp> {
    Timestamp::from_second(time.as_second())
        .map_err(|error| Error::invalid_argument("this is no time").with_source(error))
}

/// On what terms a knowledge base is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareTerms {
    /// Who may search it.
    pub holder: Did,
    /// What the holder sees it called, 1 to 64 characters.
    pub name: String,
    /// Until when, to the second; 366 days at most.
    pub expires: Timestamp,
}

/// How a shared knowledge base is searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    capability: String,
    text: String,
    k: usize,
    mode: Mode,
    links: bool,
    /// Words whose worth is asked for, as the asker cuts and stems them.
    terms: Vec<String>,
}

impl Request {
    fn read(body: &[u8]) -> Result<Request> {
        let request: Request = serde_json::from_slice(body)
            .map_err(|error| Error::invalid_argument(format!("the search cannot be read: {error}")))?;
        let Request { text, k, terms, .. } = &request;
        let large = terms.len() > MAX_TERMS || terms.iter().any(|term| term.len() > MAX_TEXT);
        if text.len() > MAX_TEXT || *k > MAX_HITS || large {
            return Err(Error::resource_exhausted(format!(
                "a peer searches for at most {MAX_HITS} passages, {MAX_TEXT} bytes and {MAX_TERMS} words"
            ))
            .with("limit", MAX_HITS));
        }
        Ok(request)
    }
}

/// What a knowledge base answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    pub hits: Vec<ProvenHit>,
    pub statistics: Statistics,
}

/// A passage with what proves where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenHit {
    /// The passage.
    pub hit: Hit,
    /// What proves that it stood there.
    pub provenance: Provenance,
}

/// The knowledge bases that a node lets holders of capabilities search.
pub(crate) struct Shares {
    trust: TrustGraph,
    clock: Arc<dyn Clock>,
    open: Mutex<BTreeMap<[u8; 16], Rag>>,
    turns: Arc<Semaphore>,
}

impl Shares {
    /// Begins to answer.
    pub fn serve(peers: &dyn Peers, trust: TrustGraph, clock: Arc<dyn Clock>) -> Result<Arc<Shares>> {
        let shares =
            Arc::new(Shares { trust, clock, open: Mutex::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) });
        peers.serve_unary(METHOD, Purpose::SearchKnowledge, Arc::new(Service(shares.clone())))?;
        Ok(shares)
    }

    /// Lets capabilities for a knowledge base open it.
    ///
    /// # Errors
    /// `conflict` while a copy of it is open, which has the same id.
    pub async fn add(&self, base: &Rag) -> Result<()> {
        let id = base.id().await?;
        let id = unhex(&id).ok_or_else(|| Error::internal("a knowledge base has no id"))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, base| !base.is_closed());
        match open.get(&id) {
            Some(other) if !other.is(base) => Err(Error::conflict("a copy of this knowledge base is open, and shared")
                .with_remedy("close the copy, or ingest the documents into a knowledge base of their own")),
            _ => {
                open.insert(id, base.clone());
                Ok(())
            }
        }
    }

    /// Lets capabilities open nothing any more.
    pub fn close(&self) {
        self.turns.close();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Shares a knowledge base.
    pub async fn share(&self, base: &Rag, terms: &ShareTerms) -> Result<KnowledgeCapability> {
        let id = base.id().await?;
        let signer = self.trust.signer();
        self.add(base).await?;
        KnowledgeCapability::issue(signer, &id, terms, rand::random(), self.clock.now()).await
    }

    /// Proves where passages of a knowledge base of this node come from. Hits that are no longer as they were found are left out.
    pub async fn prove(&self, base: &Rag, hits: Vec<Hit>) -> Result<Vec<ProvenHit>> {
        base.prove(hits, self.trust.signer(), self.clock.now()).await
    }

    async fn answer(&self, caller: Did, request: Request) -> Result<Answered> {
        let Request { capability, text, k, mode, links, terms } = request;
        let capability = KnowledgeCapability::read(&capability)?;
        capability.check(self.trust.did(), caller, self.clock.now())?;
        let base = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&capability.knowledge_base).cloned();
        let base = base
            .filter(|base| !base.is_closed())
            .ok_or_else(|| Error::not_found("the knowledge base is not open at its owner's node"))?;
        if base.is_revoked(&capability.id()).await? {
            return Err(refused(ErrorCode::PermissionDenied, "revoked", "the capability was revoked"));
        }
        // Without an embedder it is searched by words.
        let mode = if mode == Mode::Dense && !base.embeds() { Mode::Lexical } else { mode };
        let options = SearchOptions { links, ..mode.into() };
        let mut found = base.search(&text, k, options).await;
        if found.is_err() && mode != Mode::Lexical {
            // An embedder that fails is nothing that a holder need know of.
            found = base.search(&text, k, SearchOptions { links, ..Mode::Lexical.into() }).await;
        }
        let found = found.map_err(|error| {
            tracing::warn!(code = %error.code(), "a shared knowledge base could not be searched");
            Error::busy("the knowledge base cannot be searched at present")
        });
        let mut hits = found?.hits;
        // What the app says about its documents is the owner's.
        hits.iter_mut().for_each(|hit| hit.metadata.clear());
        let mut left = MAX_ANSWER;
        hits.retain(|hit| {
            let fits = hit.text.len() <= left;
            left = if fits { left - hit.text.len() } else { 0 };
            fits
        });
        Ok(Answered { hits: self.prove(&base, hits).await?, statistics: base.statistics(terms).await? })
    }
}

impl Rag {
    /// Its id: 32 hexadecimal digits, of its own and made when it was.
    ///
    /// # Errors
    /// `closed` after the shutdown; those of the database.
    pub async fn id(&self) -> Result<String> {
        let knowledge = self.knowledge()?;
        blocking(move || knowledge.id()).await
    }

    /// Lets a capability count no more, by its [id](KnowledgeCapability::id). Revoking it again does nothing.
    ///
    /// # Errors
    /// `invalid_argument` for what is no id; `closed` after the shutdown; those of the database.
    pub async fn revoke_share(&self, capability: &str) -> Result<()> {
        let id = unhex::<16>(capability)
            .ok_or_else(|| Error::invalid_argument("a capability's id is 32 hexadecimal digits"))?;
        let knowledge = self.knowledge()?;
        blocking(move || knowledge.revoke(&hex(&id))).await
    }

    pub(super) async fn is_revoked(&self, capability: &str) -> Result<bool> {
        let (knowledge, capability) = (self.knowledge()?, capability.to_owned());
        blocking(move || knowledge.is_revoked(&capability)).await
    }

    /// Whether it searches by meaning.
    pub(super) fn embeds(&self) -> bool {
        self.inner.opened.get().is_some_and(|open| open.embedder.is_some())
    }

    pub(super) async fn statistics(&self, terms: Vec<String>) -> Result<Statistics> {
        let knowledge = self.knowledge()?;
        blocking(move || {
            let (frequencies, passages) = knowledge.lexical.frequencies(terms.iter().map(String::as_str))?;
            Ok(Statistics { passages, words: knowledge.lexical.words()?, frequencies })
        })
        .await
    }

    /// Proves where passages come from. Those that are no longer as they were found are left out.
    async fn prove(&self, hits: Vec<Hit>, signer: &dyn Signer, now: Timestamp) -> Result<Vec<ProvenHit>> {
        if hits.is_empty() {
            return Ok(Vec::new());
        }
        let knowledge = self.knowledge()?;
        let (tree, id) = blocking(move || Ok((knowledge.tree()?, knowledge.id()?))).await?;
        let statement = tree.sign(&id, signer, now).await?;
        let proven = |hit| Some(ProvenHit { provenance: tree.provenance(&hit, &statement)?, hit });
        Ok(hits.into_iter().filter_map(proven).collect())
    }
}

struct Service(Arc<Shares>);

#[async_trait]
impl UnaryHandler for Service {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        let caller = Did::from_peer_id(&caller).map_err(|error| {
            Error::unsupported("a PeerId that carries no key holds no capability").with_source(error)
        })?;
        let request = Request::read(&body)?;
        let shares = self.0.clone();
        let permit = shares.turns.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::closed("the node was shut down"))?;
        // A search that was begun goes on when its caller gives up, and its turn with it.
        let answering = tokio::spawn(async move {
            let _permit = permit;
            shares.answer(caller, request).await
        });
        let answered = answering
            .await
            .unwrap_or_else(|error| Err(Error::internal("an answer did not finish").with_source(error)))?;
        let answered = serde_json::to_vec(&answered)
            .map_err(|error| Error::internal("an answer could not be written down").with_source(error))?;
        Ok(answered.into())
    }
}

/// A knowledge base of a peer, which a capability opens.
#[derive(Clone)]
pub struct SharedKnowledge {
    peers: Arc<dyn Peers>,
    peer: PeerId,
    capability: Arc<KnowledgeCapability>,
}

impl std::fmt::Debug for SharedKnowledge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedKnowledge").field("peer", &self.peer).field("name", &self.name()).finish_non_exhaustive()
    }
}

impl SharedKnowledge {
    pub(crate) fn new(peers: Arc<dyn Peers>, peer: PeerId, capability: &str) -> Result<SharedKnowledge> {
        Ok(SharedKnowledge { peers, peer, capability: Arc::new(KnowledgeCapability::read(capability)?) })
    }

    /// What its owner calls it.
    pub fn name(&self) -> &str {
        self.capability.name()
    }

    /// What opens it.
    pub fn capability(&self) -> &KnowledgeCapability {
        &self.capability
    }

    /// The `k` best passages, 64 at most, as the owner's node ranks them. Each was checked against what the owner signed.
    ///
    /// # Errors
    /// `permission_denied` with the rule that the capability breaks (`holder`, `expired`, `revoked`, …) or where the owner's policy
    /// refuses this node; `not_found` while the knowledge base is not open there; `resource_exhausted` for a text of more than 8 KiB or
    /// too large a `k`; `corrupt_data` for an answer that does not hold; `unreachable`, `timeout`, `closed`.
    pub async fn search(&self, text: &str, k: usize, mode: Mode, timeout: Duration) -> Result<Vec<ProvenHit>> {
        Ok(self.ask(text, k, mode, false, Vec::new(), timeout).await?.hits)
    }

    pub(super) async fn ask(
        &self,
        text: &str,
        k: usize,
        mode: Mode,
        links: bool,
        terms: Vec<String>,
        timeout: Duration,
    ) -> Result<Answered> {
        let (capability, text) = (self.capability.as_str().to_owned(), text.to_owned());
        let asked = terms.len();
        let request = Request { capability, text, k, mode, links, terms };
        let body = serde_json::to_vec(&request)
            .map_err(|error| Error::internal("a search could not be written down").with_source(error))?;
        Request::read(&body)?;
        let answer = self.peers.call(self.peer, METHOD, body.into(), timeout).await?;
        let answered = self.capability.answered(&answer, k).map_err(|error| error.with("peer", self.peer))?;
        if answered.statistics.frequencies.len() != asked {
            return Err(not_this("tells of other words than it was asked for").with("peer", self.peer));
        }
        Ok(answered)
    }
}
