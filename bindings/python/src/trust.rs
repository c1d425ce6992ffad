//! `kwaainet.TrustGraph`.

use std::collections::BTreeMap;
use std::sync::Arc;

use kwaai_ffi::trust::{Filter, TrustOptions};
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

    fn issue(&self, kind: String, subject: String, claims: String, valid_for_ms: Option<u64>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move {
            graph.issue(kind, subject, claims, valid_for_ms, cancel).await.and_then(Record::of)
        })
    }

    fn verify(&self, json: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.verify(json, cancel).await.and_then(Record::of) })
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

    fn policy(&self) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.policy(cancel).await.and_then(Record::of) })
    }

    fn set_policy(&self, minimum: BTreeMap<String, String>) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.set_policy(minimum, cancel).await })
    }

    fn require(&self, peer: String, purpose: String) -> Operation {
        let graph = self.0.clone();
        Operation::new(move |cancel| async move { graph.require(peer, purpose, cancel).await })
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }
}
