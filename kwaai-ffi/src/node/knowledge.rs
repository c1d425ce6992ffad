//! Knowledge bases that a node shares, and those of others that it searches.

use std::time::Duration;

use kwaai_core::Error;
use kwaai_core::rag::{Hit, Language, ShareTerms};
use serde::Deserialize;

use super::Node;
use crate::federation::{FederationOptions, KnowledgeCapability, Members, ProvenHit};
use crate::provide::Embedder;
use crate::{CancelToken, Federation, Rag, Result, SharedKnowledge, rt, validate};

/// On what terms a knowledge base is shared.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharing {
    /// Who may search it, a DID or a PeerId.
    pub holder: String,
    /// What the holder sees it called, 1 to 64 characters.
    pub name: String,
    /// For how many milliseconds, 366 days at most; the end is that of a whole second.
    pub valid_for_ms: u64,
}

impl Node {
    /// Lets a peer search a knowledge base, by the capability that is returned, which is handed to it by whatever way.
    ///
    /// # Errors
    /// `invalid_argument` for a name of no or more than 64 characters, and for less than a second and more than 366 days; `closed`.
    pub async fn share_knowledge(
        &self,
        rag: &Rag,
        sharing: Sharing,
        cancel: CancelToken,
    ) -> Result<KnowledgeCapability> {
        let (node, base, holder) = (self.handle.get()?, rag.0.get()?, validate::did(&sharing.holder)?);
        let expires = self.clock.core().now().checked_add(Duration::from_millis(sharing.valid_for_ms));
        let expires = expires.map_err(|error| {
            Error::invalid_argument("valid_for_ms ends later than any time there is").with_source(error)
        })?;
        let terms = ShareTerms { holder, name: sharing.name, expires };
        let capability = rt::run(&cancel, async move { node.share_knowledge(&base, &terms).await }).await?;
        Ok((&capability).into())
    }

    /// A knowledge base that a peer shares, by its capability. Nobody is asked before it is searched.
    pub async fn shared_knowledge(
        &self,
        peer: String,
        capability: String,
        cancel: CancelToken,
    ) -> Result<SharedKnowledge> {
        let (node, peer) = (self.handle.get()?, validate::peer(&peer)?);
        rt::run(&cancel, async move { node.shared_knowledge(peer, &capability) }).await.map(SharedKnowledge::new)
    }

    /// Several knowledge bases as one.
    pub async fn federation(
        &self,
        members: Members,
        options: FederationOptions,
        embedder: Option<Embedder>,
        cancel: CancelToken,
    ) -> Result<Federation> {
        let node = self.handle.get()?;
        let (options, supplies) = options.into_parts(embedder);
        options.claim(&supplies)?;
        let made = async move {
            // Before a model is loaded for knowledge bases that are refused.
            node.federation(members.0.clone(), None, Language::default())?;
            let config = options.config(supplies).await?;
            node.federation(members.0, config.embedder, config.language.unwrap_or_default())
        };
        rt::run(&cancel, made).await.map(Federation::new)
    }

    /// Proves where passages of a knowledge base come from, as this node's statement. Those that are no longer as they were found
    /// are left out.
    pub async fn prove(&self, rag: &Rag, hits: Vec<Hit>, cancel: CancelToken) -> Result<Vec<ProvenHit>> {
        let (node, base) = (self.handle.get()?, rag.0.get()?);
        rt::run(&cancel, async move { node.prove(&base, hits).await }).await
    }
}
