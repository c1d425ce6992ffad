//! Knowledge bases of several nodes searched as one, for Kotlin and Swift.

use std::sync::Arc;

use kwaai_core::rag::{FederatedOptions, Hit, Mode, ProvenHit, Provenance};

use super::number::{maybe, whole};
use super::options::named;
use super::{Cancel, EmbedderChoice, NativeNode, NativeRag, Result, token};
use crate::federation::{
    FederatedResult, FederationOptions, KnowledgeCapability, Members, Proven, SharedSearch, check_provenance,
};
use crate::node::Sharing;
use crate::{Federation, SharedKnowledge};

/// A knowledge base of a peer.
#[derive(uniffi::Object)]
pub struct NativeSharedKnowledge(SharedKnowledge);

/// Several knowledge bases that are searched together.
#[derive(uniffi::Object)]
pub struct NativeFederation(Federation);

/// A knowledge base of this node under its name.
#[derive(uniffi::Record)]
pub struct NamedOwn {
    /// What hits call it.
    pub name: String,
    /// The knowledge base.
    pub rag: Arc<NativeRag>,
}

#[uniffi::export]
impl NativeNode {
    /// Lets a peer search a knowledge base.
    pub async fn share_knowledge(
        &self,
        rag: Arc<NativeRag>,
        holder: String,
        name: String,
        valid_for_ms: i64,
        cancel: Cancel,
    ) -> Result<KnowledgeCapability> {
        let sharing = Sharing { holder, name, valid_for_ms: whole("valid_for_ms", valid_for_ms)? };
        Ok(self.0.share_knowledge(&rag.0, sharing, token(cancel)).await?)
    }

    /// A knowledge base that a peer shares.
    pub async fn shared_knowledge(
        &self,
        peer: String,
        capability: String,
        cancel: Cancel,
    ) -> Result<Arc<NativeSharedKnowledge>> {
        let shared = self.0.shared_knowledge(peer, capability, token(cancel)).await?;
        Ok(Arc::new(NativeSharedKnowledge(shared)))
    }

    /// Several knowledge bases as one.
    pub async fn federation(
        &self,
        own: Vec<NamedOwn>,
        shared: Vec<Arc<NativeSharedKnowledge>>,
        embedder: EmbedderChoice,
        language: Option<String>,
        cancel: Cancel,
    ) -> Result<Arc<NativeFederation>> {
        let mut members = Members::default();
        own.into_iter().try_for_each(|named| members.own(named.name, &named.rag.0))?;
        shared.iter().try_for_each(|shared| members.shared(&shared.0))?;
        let (embedder, supplies) = embedder.into_parts()?;
        let options = FederationOptions { embedder, language: named("language", language)? };
        let made = self.0.federation(members, options, supplies.embedder, token(cancel)).await?;
        Ok(Arc::new(NativeFederation(made)))
    }

    /// Proves where passages of a knowledge base come from.
    pub async fn prove(&self, rag: Arc<NativeRag>, hits: Vec<Hit>, cancel: Cancel) -> Result<Vec<ProvenHit>> {
        Ok(self.0.prove(&rag.0, hits, token(cancel)).await?)
    }
}

#[uniffi::export]
impl NativeRag {
    /// Its id.
    pub async fn id(&self, cancel: Cancel) -> Result<String> {
        Ok(self.0.id(token(cancel)).await?)
    }

    /// Lets a capability count no more.
    pub async fn revoke_share(&self, capability_id: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.revoke_share(capability_id, token(cancel)).await?)
    }
}

#[uniffi::export]
impl NativeSharedKnowledge {
    /// What opens it.
    pub fn capability(&self) -> KnowledgeCapability {
        self.0.capability().clone()
    }

    /// The `k` best passages, as the owner's node ranks them.
    pub async fn search(
        &self,
        text: String,
        k: i64,
        mode: Mode,
        timeout_ms: Option<i64>,
        cancel: Cancel,
    ) -> Result<Vec<ProvenHit>> {
        let usual = SharedSearch::default().timeout_ms;
        let options = SharedSearch { mode, timeout_ms: maybe("timeout_ms", timeout_ms)?.unwrap_or(usual) };
        Ok(self.0.search(text, whole("k", k)?, options, token(cancel)).await?)
    }
}

#[uniffi::export]
impl NativeFederation {
    /// The names of the knowledge bases.
    pub fn members(&self) -> Vec<String> {
        self.0.members().to_vec()
    }

    /// The `k` best passages of all knowledge bases.
    #[allow(clippy::too_many_arguments, reason = "options are arguments where languages name them")]
    pub async fn search(
        &self,
        text: String,
        k: i64,
        mode: Mode,
        links: bool,
        dense_weight: Option<f64>,
        timeout_ms: Option<i64>,
        cancel: Cancel,
    ) -> Result<FederatedResult> {
        let usual = FederatedOptions::default().timeout_ms;
        let timeout_ms = maybe("timeout_ms", timeout_ms)?.unwrap_or(usual);
        let options = FederatedOptions { mode, links, dense_weight, timeout_ms };
        Ok(self.0.search(text, whole("k", k)?, options, token(cancel)).await?)
    }
}

/// Checks that a passage stood in a knowledge base, and tells in which.
///
/// # Errors
/// `corrupt_data` for what does not hold, `invalid_argument` for what has another form.
#[uniffi::export]
pub fn check_native_provenance(hit: Hit, provenance: Provenance) -> Result<Proven> {
    Ok(check_provenance(&hit, &provenance)?)
}

/// Reads a capability, and checks its form and its signature.
///
/// # Errors
/// `corrupt_data` for a wrong signature, `invalid_argument` for what has another form.
#[uniffi::export]
pub fn read_native_capability(text: String) -> Result<KnowledgeCapability> {
    Ok(KnowledgeCapability::read(&text)?)
}
