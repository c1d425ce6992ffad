//! `TrustGraph`.

use std::collections::BTreeMap;
use std::sync::Arc;

use kwaai_ffi::trust::{Filter, TrustOptions};
use napi_derive::napi;

use crate::error::{Result, json, parse, thrown, whole};
use crate::operation::Operation;
use crate::provide::Signer;

/// Who may do what.
#[napi]
pub struct TrustGraph(pub(crate) Arc<kwaai_ffi::TrustGraph>);

#[napi]
impl TrustGraph {
    #[napi]
    pub fn open(options: String, signer: Option<&Signer>) -> Result<Operation> {
        let options: TrustOptions = parse("", &options)?;
        let signer = signer.map(|signer| signer.0.clone());
        Ok(Operation::new(|cancel| async {
            kwaai_ffi::TrustGraph::open(options, signer, cancel).await.map(|graph| TrustGraph(Arc::new(graph)))
        }))
    }

    #[napi]
    pub fn did(&self) -> String {
        self.0.did().to_string()
    }

    #[napi]
    pub fn issue(&self, kind: String, subject: String, claims: String, valid_for_ms: Option<f64>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue(kind, subject, claims, valid_for_ms.map(whole), cancel).await.and_then(json)
        })
    }

    #[napi]
    pub fn verify(&self, credential: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.verify(credential, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn import_credential(&self, credential: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.import_credential(credential, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn credentials(&self, filter: String) -> Result<Operation> {
        let (graph, filter) = (self.0.clone(), parse::<Filter>("", &filter)?);
        Ok(Operation::new(move |cancel| async move { graph.credentials(filter, cancel).await.and_then(json) }))
    }

    #[napi]
    pub fn credential(&self, id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.credential(id, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn remove_credential(&self, id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.remove_credential(id, cancel).await })
    }

    #[napi]
    pub fn issuers(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.issuers(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn trust_issuer(&self, did: String, types: Vec<String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.trust_issuer(did, types, cancel).await })
    }

    #[napi]
    pub fn distrust_issuer(&self, did: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.distrust_issuer(did, cancel).await })
    }

    #[napi]
    pub fn score(&self, peer: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.score(peer, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn policy(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.policy(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn set_policy(&self, policy: String) -> Result<Operation> {
        let (graph, policy) = (self.0.clone(), parse::<BTreeMap<String, String>>("policy", &policy)?);
        Ok(Operation::new(move |cancel| async move { graph.set_policy(policy, cancel).await }))
    }

    #[napi]
    pub fn require(&self, peer: String, purpose: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.require(peer, purpose, cancel).await })
    }

    #[napi]
    pub fn advance_clock(&self, by_ms: f64) -> Result<()> {
        self.0.advance_clock(whole(by_ms)).map_err(thrown)
    }

    #[napi]
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}
