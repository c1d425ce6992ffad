//! Knowledge bases of several nodes searched as one, as objects.

use kwaai_core::rag::{self, Hit, Mode};
use serde::{Deserialize, Serialize};

use crate::handle::Handle;
use crate::provide::{Embedder, Supplies};
use crate::rag::{EmbedderName, Options};
use crate::{CancelToken, Rag, Result, rt, validate};

pub use kwaai_core::rag::{FederatedOptions, Language, MemberFailure, ProvenHit, Provenance};

/// How many milliseconds a peer may take to search unless told otherwise.
const TIMEOUT_MS: u64 = 10_000;

/// What lets one holder search one knowledge base, which was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct KnowledgeCapability {
    /// What [`Rag::revoke_share`] takes: 32 hexadecimal digits.
    pub id: String,
    /// The DID of whose knowledge base it is.
    pub owner: String,
    /// The DID of who may search it.
    pub holder: String,
    /// The knowledge base's id, 32 hexadecimal digits.
    pub knowledge_base: String,
    /// What its owner calls it.
    pub name: String,
    /// Until when it holds, RFC 3339.
    pub expires_at: String,
    /// The signed text, to be given to the holder.
    pub text: String,
}

impl KnowledgeCapability {
    /// Reads a capability that its owner handed over, and checks its form and its signature.
    ///
    /// # Errors
    /// With the broken `rule`: those of every statement (`form`, `signature`), and `lifetime`.
    pub fn read(text: &str) -> Result<KnowledgeCapability> {
        Ok(rag::KnowledgeCapability::read(text).map(|capability| (&capability).into())?)
    }
}

impl From<&rag::KnowledgeCapability> for KnowledgeCapability {
    fn from(capability: &rag::KnowledgeCapability) -> KnowledgeCapability {
        KnowledgeCapability {
            id: capability.id(),
            owner: capability.owner().to_string(),
            holder: capability.holder().to_string(),
            knowledge_base: capability.knowledge_base(),
            name: capability.name().to_owned(),
            expires_at: capability.expires().to_string(),
            text: capability.as_str().to_owned(),
        }
    }
}

/// What a provenance proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Proven {
    /// The DID of who signed.
    pub owner: String,
    /// The knowledge base's id, 32 hexadecimal digits.
    pub knowledge_base: String,
    /// How many passages it held.
    pub passages: u64,
    /// When it held them, RFC 3339.
    pub signed_at: String,
}

/// Checks that the passage of a hit stood in a knowledge base, and tells in which. Nobody is asked.
///
/// # Errors
/// With the broken `rule`: those of every statement (`form`, `signature`), and `corrupt_data` with `inclusion` for a passage that
/// is not there, or not as it stands in the hit.
pub fn check_provenance(hit: &Hit, provenance: &Provenance) -> Result<Proven> {
    let rag::Proven { owner, knowledge_base, passages, signed } = provenance.check(hit)?;
    Ok(Proven { owner: owner.to_string(), knowledge_base, passages, signed_at: signed.to_string() })
}

/// A passage, where it was found, and what proves it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct FederatedHit {
    /// The name of the knowledge base.
    pub member: String,
    /// The names of others that hold the same text.
    pub also: Vec<String>,
    /// The passage. Its score is the one of the whole search; its ranks are those in its own knowledge base.
    pub hit: Hit,
    /// What proves that it stood there.
    pub provenance: Provenance,
}

/// What a search over several knowledge bases found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct FederatedResult {
    /// Best first.
    pub hits: Vec<FederatedHit>,
    /// The knowledge bases that were not searched.
    pub failures: Vec<MemberFailure>,
    /// How passages were scored.
    pub mode: Mode,
}

impl From<rag::FederatedResult> for FederatedResult {
    fn from(found: rag::FederatedResult) -> FederatedResult {
        let hits = found.hits.into_iter().map(|hit| {
            let rag::FederatedHit { member, also, found: ProvenHit { hit, provenance } } = hit;
            FederatedHit { member, also, hit, provenance }
        });
        FederatedResult { hits: hits.collect(), failures: found.failures, mode: found.mode }
    }
}

/// How a federation scores what it finds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FederationOptions {
    /// As for a knowledge base: `auto`, `none`, the folder or hub id of an embedding model, or one behind an endpoint.
    pub embedder: Option<EmbedderName>,
    /// The language whose word forms are brought together.
    #[serde(deserialize_with = "validate::or_default")]
    pub language: Language,
}

/// The knowledge bases of a federation, in their order.
#[derive(Default)]
pub struct Members(pub(crate) Vec<rag::Member>);

impl Members {
    /// Adds one of this node, under a name.
    ///
    /// # Errors
    /// `closed` after its shutdown.
    pub fn own(&mut self, name: String, rag: &Rag) -> Result<()> {
        self.0.push(rag::Member::Own(name, rag.0.get()?));
        Ok(())
    }

    /// Adds one that a peer shares.
    ///
    /// # Errors
    /// `closed` in a process forked from the one that has it.
    pub fn shared(&mut self, shared: &SharedKnowledge) -> Result<()> {
        self.0.push(rag::Member::Shared(shared.handle.get()?));
        Ok(())
    }
}

impl FederationOptions {
    /// What a knowledge base of these options embeds with, and its language.
    pub(crate) fn into_parts(self, embedder: Option<Embedder>) -> (Options, Supplies) {
        let options = Options { embedder: self.embedder, language: Some(self.language), ..Options::default() };
        (options, Supplies { embedder, ..Supplies::default() })
    }
}

/// How a shared knowledge base is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SharedSearch {
    /// How passages are found.
    pub mode: Mode,
    /// How many milliseconds the peer may take; 10,000 unless set.
    pub timeout_ms: u64,
}

impl Default for SharedSearch {
    fn default() -> SharedSearch {
        SharedSearch { mode: Mode::default(), timeout_ms: TIMEOUT_MS }
    }
}

/// A knowledge base of a peer, which a capability opens.
pub struct SharedKnowledge {
    handle: Handle<rag::SharedKnowledge>,
    capability: KnowledgeCapability,
}

impl SharedKnowledge {
    pub(crate) fn new(shared: rag::SharedKnowledge) -> SharedKnowledge {
        let capability = shared.capability().into();
        SharedKnowledge { handle: Handle::new("shared knowledge base", shared), capability }
    }

    /// What opens it.
    pub fn capability(&self) -> &KnowledgeCapability {
        &self.capability
    }

    /// The `k` best passages, as the owner's node ranks them. Each was checked against what the owner signed.
    pub async fn search(
        &self,
        text: String,
        k: usize,
        options: SharedSearch,
        cancel: CancelToken,
    ) -> Result<Vec<ProvenHit>> {
        let (shared, timeout) = (self.handle.get()?, validate::millis("timeout_ms", options.timeout_ms)?);
        rt::run(&cancel, async move { shared.search(&text, k, options.mode, timeout).await }).await
    }
}

/// Several knowledge bases that are searched together.
pub struct Federation {
    handle: Handle<rag::Federation>,
    members: Vec<String>,
}

impl Federation {
    pub(crate) fn new(federation: rag::Federation) -> Federation {
        let members = federation.members().iter().map(|member| member.name().to_owned()).collect();
        Federation { handle: Handle::new("federation", federation), members }
    }

    /// The names of the knowledge bases, in their order.
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// The `k` best passages of all knowledge bases.
    pub async fn search(
        &self,
        text: String,
        k: usize,
        options: FederatedOptions,
        cancel: CancelToken,
    ) -> Result<FederatedResult> {
        let federation = self.handle.get()?;
        validate::millis("timeout_ms", options.timeout_ms)?;
        let found = rt::run(&cancel, async move { federation.search(&text, k, options).await }).await?;
        Ok(found.into())
    }
}

impl Rag {
    /// Its id: 32 hexadecimal digits, of its own and made when it was.
    pub async fn id(&self, cancel: CancelToken) -> Result<String> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.id().await }).await
    }

    /// Lets a capability count no more, by its id. Revoking it again does nothing.
    pub async fn revoke_share(&self, capability_id: String, cancel: CancelToken) -> Result<()> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.revoke_share(&capability_id).await }).await
    }
}
