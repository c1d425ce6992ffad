//! `kwaainet.TrustGraph`.

use std::collections::BTreeMap;
use std::sync::Arc;

use kwaai_ffi::trust::{Filter, Measured, Propagation, TrustOptions};
use pyo3::prelude::*;

use crate::error::{exception, parse};
use crate::operation::Operation;
use crate::provide::Signer;
use crate::reply::{Object, Record};

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct TrustGraph(pub(crate) Arc<kwaai_ffi::TrustGraph>);

#[pymethods]
impl TrustGraph {
    #[staticmethod]
    fn open(py: Python<'_>, options: &str, signer: Option<&Signer>) -> PyResult<Operation> {
        let options: TrustOptions = parse(py, "", options)?;
        let signer = signer.map(|signer| signer.0.clone());
        Ok(Operation::new(|cancel| async {
            kwaai_ffi::TrustGraph::open(options, signer, cancel).await.map(|graph| Object(TrustGraph(Arc::new(graph))))
        }))
    }

    fn advance_clock(&self, py: Python<'_>, by_ms: u64) -> PyResult<()> {
        self.0.advance_clock(by_ms).map_err(|error| exception(py, &error))
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    #[getter]
    fn did(&self) -> &str {
        self.0.did()
    }

    fn issue(
        &self,
        kind: String,
        subject: String,
        claims: String,
        valid_for_ms: Option<u64>,
        revocable: bool,
    ) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue(kind, subject, claims, valid_for_ms, revocable, cancel).await.and_then(Record::of)
        })
    }

    fn revoke(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.revoke(credential_id, cancel).await })
    }

    fn suspend(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.suspend(credential_id, cancel).await })
    }

    fn reinstate(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.reinstate(credential_id, cancel).await })
    }

    fn status(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.status(json, cancel).await.and_then(Record::of) })
    }

    fn status_lists(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.status_lists(cancel).await })
    }

    fn status_list(&self, url: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.status_list(url, cancel).await })
    }

    fn keep_status_list(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.keep_status_list(json, cancel).await.and_then(Record::of) })
    }

    fn wanted_status_lists(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.wanted_status_lists(cancel).await.and_then(Record::of) })
    }

    fn verify(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.verify(json, cancel).await.and_then(Record::of) })
    }

    fn read_legacy(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.read_legacy(json, cancel).await.and_then(Record::of) })
    }

    fn read_dtg(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.read_dtg(json, cancel).await.and_then(Record::of) })
    }

    fn import_credential(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.import_credential(json, cancel).await.and_then(Record::of) })
    }

    fn credentials(&self, subject: Option<String>, issuer: Option<String>, r#type: Option<String>) -> Operation {
        let graph = self.0.clone();
        let filter = Filter { subject, issuer, r#type };
        Operation::new(move |cancel| async move { graph.credentials(filter, cancel).await.and_then(Record::of) })
    }

    fn credential(&self, id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.credential(id, cancel).await.and_then(Record::of) })
    }

    fn remove_credential(&self, id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.remove_credential(id, cancel).await })
    }

    fn export_credentials(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.export_credentials(cancel).await })
    }

    fn import_credentials(&self, bundle: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.import_credentials(bundle, cancel).await.and_then(Record::of) })
    }

    fn set_passphrase(&self, passphrase: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.set_passphrase(passphrase, cancel).await })
    }

    fn remove_passphrase(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.remove_passphrase(cancel).await })
    }

    fn unlock(&self, passphrase: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.unlock(passphrase, cancel).await })
    }

    fn lock(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.lock(cancel).await })
    }

    fn wallet_state(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.wallet_state(cancel).await.and_then(Record::of) })
    }

    fn issuers(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.issuers(cancel).await.and_then(Record::of) })
    }

    fn trust_issuer(&self, did: String, types: Vec<String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.trust_issuer(did, types, cancel).await })
    }

    fn distrust_issuer(&self, did: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.distrust_issuer(did, cancel).await })
    }

    fn score(&self, peer: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.score(peer, cancel).await.and_then(Record::of) })
    }

    fn scores(&self, peers: Vec<String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.scores(peers, cancel).await.and_then(Record::of) })
    }

    fn policy(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.policy(cancel).await.and_then(Record::of) })
    }

    fn set_policy(&self, py: Python<'_>, policy: &str) -> PyResult<Operation> {
        let (graph, policy) = (self.0.clone(), parse(py, "policy", policy)?);
        Ok(Operation::new(move |cancel| async move { graph.set_policy(policy, cancel).await }))
    }

    fn require(&self, peer: String, purpose: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.require(peer, purpose, cancel).await })
    }

    fn disclosures(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.disclosures(cancel).await.and_then(Record::of) })
    }

    fn set_disclosures(&self, disclosures: BTreeMap<String, String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.set_disclosures(disclosures, cancel).await })
    }

    fn thresholds(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.thresholds(cancel).await.and_then(Record::of) })
    }

    fn set_thresholds(&self, py: Python<'_>, thresholds: &str) -> PyResult<Operation> {
        let (graph, thresholds) = (self.0.clone(), parse(py, "thresholds", thresholds)?);
        Ok(Operation::new(move |cancel| async move { graph.set_thresholds(thresholds, cancel).await }))
    }

    fn record(
        &self,
        peer: String,
        outcome: String,
        latency_ms: Option<f64>,
        promised: Option<f64>,
        delivered: Option<f64>,
    ) -> Operation {
        let graph = self.0.clone();
        let measured = Measured { latency_ms, promised, delivered };
        Operation::new(move |cancel| async move { graph.record(peer, outcome, measured, cancel).await })
    }

    fn reputation(&self, peer: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.reputation(peer, cancel).await.and_then(Record::of) })
    }

    fn reputations(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.reputations(cancel).await.and_then(Record::of) })
    }

    fn add_recommendation(
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

    fn propagate(&self, pretrusted: Option<Vec<String>>, alpha: Option<f64>) -> Operation {
        let (graph, options) = (self.0.clone(), Propagation { pretrusted, alpha });
        Operation::new(move |cancel| async move { graph.propagate(options, cancel).await.and_then(Record::of) })
    }

    fn flush(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.flush(cancel).await })
    }

    fn reset_reputation(&self, peer: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.reset_reputation(peer, cancel).await })
    }

    fn tests(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.tests(credential_id, cancel).await.and_then(Record::of) })
    }

    fn sight(&self, peer: String, up: bool) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.sight(peer, up, cancel).await })
    }

    fn sightings(&self, peer: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.sightings(peer, cancel).await.and_then(Record::of) })
    }

    fn issue_uptime(&self, peer: String, valid_for_ms: Option<u64>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue_uptime(peer, valid_for_ms, cancel).await.and_then(Record::of)
        })
    }

    fn issue_binding(&self, subject: String, link_type: String, valid_for_ms: Option<u64>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue_binding(subject, link_type, valid_for_ms, cancel).await.and_then(Record::of)
        })
    }

    fn bindings(&self, did: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.bindings(did, cancel).await.and_then(Record::of) })
    }

    fn present(
        &self,
        audience: String,
        challenge: String,
        subject: Option<String>,
        issuer: Option<String>,
        r#type: Option<String>,
    ) -> Operation {
        let graph = self.0.clone();
        let filter = Filter { subject, issuer, r#type };
        Operation::new(move |cancel| async move { graph.present(audience, challenge, filter, cancel).await })
    }

    fn verify_presentation(&self, json: String, audience: String, challenge: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.verify_presentation(json, audience, challenge, cancel).await.and_then(Record::of)
        })
    }

    fn request_pledge(&self, issuer: String, text: String, name: Option<String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.request_pledge(issuer, text, name, cancel).await })
    }

    fn issue_pledge(
        &self,
        request: String,
        text: String,
        name: Option<String>,
        valid_for_ms: Option<u64>,
    ) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue_pledge(request, text, name, valid_for_ms, cancel).await.and_then(Record::of)
        })
    }

    fn accept_pledge(&self, json: String, text: String, name: Option<String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(
            move |cancel| async move { graph.accept_pledge(json, text, name, cancel).await.and_then(Record::of) },
        )
    }

    fn withdraw_pledge(&self, credential_id: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.withdraw_pledge(credential_id, cancel).await })
    }

    fn import_withdrawal(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.import_withdrawal(json, cancel).await })
    }

    fn withdrawals(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.withdrawals(cancel).await.and_then(Record::of) })
    }

    fn pledge_to_revoke(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.pledge_to_revoke(json, cancel).await.and_then(Record::of) })
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }
}
