//! `TrustGraph`.

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
    pub fn issue(
        &self,
        kind: String,
        subject: String,
        claims: String,
        valid_for_ms: Option<f64>,
        revocable: bool,
    ) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue(kind, subject, claims, valid_for_ms.map(whole), revocable, cancel).await.and_then(json)
        })
    }

    #[napi]
    pub fn revoke(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.revoke(credential_id, cancel).await })
    }

    #[napi]
    pub fn suspend(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.suspend(credential_id, cancel).await })
    }

    #[napi]
    pub fn reinstate(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.reinstate(credential_id, cancel).await })
    }

    #[napi]
    pub fn status(&self, credential: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.status(credential, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn status_lists(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.status_lists(cancel).await })
    }

    #[napi]
    pub fn status_list(&self, url: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.status_list(url, cancel).await })
    }

    #[napi]
    pub fn keep_status_list(&self, list: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.keep_status_list(list, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn wanted_status_lists(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.wanted_status_lists(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn verify(&self, credential: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.verify(credential, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn read_legacy(&self, credential: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.read_legacy(credential, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn read_dtg(&self, credential: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.read_dtg(credential, cancel).await.and_then(json) })
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
    pub fn export_credentials(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.export_credentials(cancel).await })
    }

    #[napi]
    pub fn import_credentials(&self, bundle: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.import_credentials(bundle, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn set_passphrase(&self, passphrase: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.set_passphrase(passphrase, cancel).await })
    }

    #[napi]
    pub fn remove_passphrase(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.remove_passphrase(cancel).await })
    }

    #[napi]
    pub fn unlock(&self, passphrase: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.unlock(passphrase, cancel).await })
    }

    #[napi]
    pub fn lock(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.lock(cancel).await })
    }

    #[napi]
    pub fn wallet_state(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.wallet_state(cancel).await })
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
    pub fn scores(&self, peers: Vec<String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.scores(peers, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn policy(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.policy(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn set_policy(&self, policy: String) -> Result<Operation> {
        let (graph, policy) = (self.0.clone(), parse("policy", &policy)?);
        Ok(Operation::new(move |cancel| async move { graph.set_policy(policy, cancel).await }))
    }

    #[napi]
    pub fn require(&self, peer: String, purpose: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.require(peer, purpose, cancel).await })
    }

    #[napi]
    pub fn disclosures(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.disclosures(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn set_disclosures(&self, disclosures: String) -> Result<Operation> {
        let (graph, disclosures) = (self.0.clone(), parse("disclosures", &disclosures)?);
        Ok(Operation::new(move |cancel| async move { graph.set_disclosures(disclosures, cancel).await }))
    }

    #[napi]
    pub fn thresholds(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.thresholds(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn set_thresholds(&self, thresholds: String) -> Result<Operation> {
        let (graph, thresholds) = (self.0.clone(), parse("thresholds", &thresholds)?);
        Ok(Operation::new(move |cancel| async move { graph.set_thresholds(thresholds, cancel).await }))
    }

    #[napi]
    pub fn record(&self, peer: String, outcome: String, measured: String) -> Result<Operation> {
        let (graph, measured) = (self.0.clone(), parse("", &measured)?);
        Ok(Operation::new(move |cancel| async move { graph.record(peer, outcome, measured, cancel).await }))
    }

    #[napi]
    pub fn reputation(&self, peer: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.reputation(peer, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn reputations(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.reputations(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn add_recommendation(
        &self,
        recommender: String,
        about: String,
        good: f64,
        bad: f64,
        at: Option<String>,
    ) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.add_recommendation(recommender, about, good, bad, at, cancel).await
        })
    }

    #[napi]
    pub fn propagate(&self, options: String) -> Result<Operation> {
        let (graph, options) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { graph.propagate(options, cancel).await.and_then(json) }))
    }

    #[napi]
    pub fn flush(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.flush(cancel).await })
    }

    #[napi]
    pub fn reset_reputation(&self, peer: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.reset_reputation(peer, cancel).await })
    }

    #[napi]
    pub fn tests(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.tests(credential_id, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn sight(&self, peer: String, up: bool) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.sight(peer, up, cancel).await })
    }

    #[napi]
    pub fn sightings(&self, peer: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.sightings(peer, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn issue_uptime(&self, peer: String, valid_for_ms: Option<f64>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue_uptime(peer, valid_for_ms.map(whole), cancel).await.and_then(json)
        })
    }

    #[napi]
    pub fn issue_binding(&self, subject: String, link_type: String, valid_for_ms: Option<f64>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue_binding(subject, link_type, valid_for_ms.map(whole), cancel).await.and_then(json)
        })
    }

    #[napi]
    pub fn bindings(&self, did: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.bindings(did, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn present(&self, audience: String, challenge: String, filter: String) -> Result<Operation> {
        let (graph, filter) = (self.0.clone(), parse::<Filter>("", &filter)?);
        Ok(Operation::new(move |cancel| async move { graph.present(audience, challenge, filter, cancel).await }))
    }

    #[napi]
    pub fn verify_presentation(&self, presentation: String, audience: String, challenge: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.verify_presentation(presentation, audience, challenge, cancel).await.and_then(json)
        })
    }

    #[napi]
    pub fn request_pledge(&self, issuer: String, text: String, name: Option<String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.request_pledge(issuer, text, name, cancel).await })
    }

    #[napi]
    pub fn issue_pledge(
        &self,
        request: String,
        text: String,
        name: Option<String>,
        valid_for_ms: Option<f64>,
    ) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue_pledge(request, text, name, valid_for_ms.map(whole), cancel).await.and_then(json)
        })
    }

    #[napi]
    pub fn accept_pledge(&self, credential: String, text: String, name: Option<String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(
            move |cancel| async move { graph.accept_pledge(credential, text, name, cancel).await.and_then(json) },
        )
    }

    #[napi]
    pub fn withdraw_pledge(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.withdraw_pledge(credential_id, cancel).await })
    }

    #[napi]
    pub fn import_withdrawal(&self, withdrawal: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.import_withdrawal(withdrawal, cancel).await })
    }

    #[napi]
    pub fn withdrawals(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.withdrawals(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn pledge_to_revoke(&self, withdrawal: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.pledge_to_revoke(withdrawal, cancel).await.and_then(json) })
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
