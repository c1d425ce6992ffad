//! `SharedKnowledge`, `Federation`, and what `Node` and `Rag` do with them.

use std::sync::{Arc, Mutex, PoisonError};

use kwaai_ffi::federation::{
    self, FederatedOptions, FederationOptions, KnowledgeCapability, ProvenHit, SharedSearch, check_provenance,
};
use kwaai_ffi::node::Sharing;
use napi_derive::napi;

use crate::error::{Result, json, parse, thrown};
use crate::node::Node;
use crate::operation::Operation;
use crate::provide::Supplies;
use crate::rag::Rag;

/// A knowledge base of a peer.
#[napi]
pub struct SharedKnowledge(Arc<kwaai_ffi::SharedKnowledge>);

/// Several knowledge bases that are searched together.
#[napi]
pub struct Federation(Arc<kwaai_ffi::Federation>);

/// The knowledge bases of a federation.
#[napi]
#[derive(Default)]
pub struct Members(Mutex<federation::Members>);

#[napi]
impl Members {
    #[napi(constructor)]
    #[allow(clippy::new_without_default, reason = "the constructor of JavaScript")]
    pub fn new() -> Members {
        Members::default()
    }

    #[napi]
    pub fn own(&self, name: String, rag: &Rag) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).own(name, &rag.0).map_err(thrown)
    }

    #[napi]
    pub fn shared(&self, shared: &SharedKnowledge) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).shared(&shared.0).map_err(thrown)
    }
}

#[napi]
impl Node {
    #[napi]
    pub fn share_knowledge(&self, rag: &Rag, sharing: String) -> Result<Operation> {
        let (node, rag, sharing): (_, _, Sharing) = (self.0.clone(), rag.0.clone(), parse("", &sharing)?);
        Ok(Operation::new(
            move |cancel| async move { node.share_knowledge(&rag, sharing, cancel).await.and_then(json) },
        ))
    }

    #[napi]
    pub fn shared_knowledge(&self, peer: String, capability: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move {
            let shared = node.shared_knowledge(peer, capability, cancel).await?;
            Ok(SharedKnowledge(Arc::new(shared)))
        })
    }

    #[napi]
    pub fn federation(&self, members: &Members, options: String, supplies: &Supplies) -> Result<Operation> {
        let options: FederationOptions = parse("", &options)?;
        let members = std::mem::take(&mut *members.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (node, embedder) = (self.0.clone(), supplies.take().embedder);
        Ok(Operation::new(move |cancel| async move {
            let made = node.federation(members, options, embedder, cancel).await?;
            Ok(Federation(Arc::new(made)))
        }))
    }

    #[napi]
    pub fn prove(&self, rag: &Rag, hits: String) -> Result<Operation> {
        let (node, rag, hits) = (self.0.clone(), rag.0.clone(), parse("hits", &hits)?);
        Ok(Operation::new(move |cancel| async move { node.prove(&rag, hits, cancel).await.and_then(json) }))
    }
}

#[napi]
impl Rag {
    #[napi]
    pub fn id(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.id(cancel).await })
    }

    #[napi]
    pub fn revoke_share(&self, capability_id: String) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.revoke_share(capability_id, cancel).await })
    }
}

#[napi]
impl SharedKnowledge {
    #[napi]
    pub fn capability(&self) -> Result<String> {
        json(self.0.capability()).map_err(thrown)
    }

    #[napi]
    pub fn search(&self, text: String, k: u32, options: String) -> Result<Operation> {
        let (shared, options): (_, SharedSearch) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move {
            shared.search(text, k as usize, options, cancel).await.and_then(json)
        }))
    }
}

#[napi]
impl Federation {
    #[napi]
    pub fn members(&self) -> Vec<String> {
        self.0.members().to_vec()
    }

    #[napi]
    pub fn search(&self, text: String, k: u32, options: String) -> Result<Operation> {
        let (federation, options): (_, FederatedOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move {
            federation.search(text, k as usize, options, cancel).await.and_then(json)
        }))
    }
}

/// What a proven hit proves, both as JSON.
#[napi(js_name = "checkProvenance")]
pub fn check_proven(proven: String) -> Result<String> {
    let ProvenHit { hit, provenance } = parse("", &proven)?;
    check_provenance(&hit, &provenance).and_then(json).map_err(thrown)
}

/// What a capability says, as JSON.
#[napi]
pub fn read_knowledge_capability(capability: String) -> Result<String> {
    KnowledgeCapability::read(&capability).and_then(json).map_err(thrown)
}
