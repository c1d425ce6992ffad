//! `kwaainet.Node`.

use std::sync::Arc;

use kwaai_ffi::federation::FederationOptions;
use kwaai_ffi::node::Sharing;
use kwaai_ffi::rag::Options;
use kwaai_ffi::trust::{Rate, TestOptions};
use pyo3::prelude::*;

use crate::error::{exception, parse};
use crate::federation::{Federation, SharedKnowledge, members};
use crate::http::{Embedding, HttpServer, Model as ServedModel, served};
use crate::operation::Operation;
use crate::provide::{Embedder, Reader, Writer, supplies};
use crate::rag::Rag;
use crate::reply::{Object, Record};
use crate::shard::{Model, ShardEngine};
use crate::stream::Stream;
use crate::trust::TrustGraph;
use crate::vpk::Vpk;

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Node(Arc<kwaai_ffi::Node>);

#[pymethods]
impl Node {
    #[staticmethod]
    fn start(py: Python<'_>, config: &str) -> PyResult<Operation> {
        let config = parse(py, "", config)?;
        Ok(Operation::new(|cancel| async {
            kwaai_ffi::Node::start(config, cancel).await.map(|node| Object(Node(Arc::new(node))))
        }))
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.identity().name
    }

    #[getter]
    fn peer_id(&self) -> &str {
        &self.0.identity().peer_id
    }

    #[getter]
    fn did(&self) -> &str {
        &self.0.identity().did
    }

    fn info(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.info(cancel).await.and_then(Record::of) })
    }

    fn peers(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.peers(cancel).await.and_then(Record::of) })
    }

    fn diagnose(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.diagnose(cancel).await.and_then(Record::of) })
    }

    fn metrics(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.metrics(cancel).await.and_then(Record::of) })
    }

    fn connect(&self, address: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.connect(address, cancel).await })
    }

    fn disconnect(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.disconnect(peer, cancel).await })
    }

    fn find_peer(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.find_peer(peer, cancel).await })
    }

    fn probe(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.probe(peer, cancel).await.and_then(Record::of) })
    }

    fn ask_trust(&self, py: Python<'_>, peer: String, about: String, at_least: &str) -> PyResult<Operation> {
        let (node, at_least) = (self.0.clone(), parse(py, "at_least", at_least)?);
        Ok(Operation::new(move |cancel| async move {
            node.ask_trust(peer, about, at_least, cancel).await.and_then(Record::of)
        }))
    }

    fn ask_word(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.ask_word(peer, cancel).await.and_then(Record::of) })
    }

    fn refresh_status_lists(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.refresh_status_lists(cancel).await.and_then(Record::of) })
    }

    fn test_credential(
        &self,
        credential_id: String,
        model: Option<&Model>,
        tolerance: Option<f64>,
        tokens: Option<u32>,
        seed: Option<u64>,
    ) -> Operation {
        let (node, model) = (self.0.clone(), model.map(|model| model.0.clone()));
        let options = TestOptions { tolerance, tokens, seed };
        Operation::new(move |cancel| async move {
            node.test_credential(credential_id, model, options, cancel).await.and_then(Record::of)
        })
    }

    fn sight(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.sight(peer, cancel).await.and_then(Record::of) })
    }

    fn watch_peers(&self, period_ms: u64) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.watch_peers(period_ms, cancel).await })
    }

    fn issue_throughput(
        &self,
        peer: String,
        model: &Model,
        tokens: Option<u32>,
        runs: Option<u32>,
        seed: Option<u64>,
        valid_for_ms: Option<u64>,
    ) -> Operation {
        let (node, model) = (self.0.clone(), model.0.clone());
        let rate = Rate { tokens, runs, seed, valid_for_ms };
        Operation::new(move |cancel| async move {
            node.issue_throughput(peer, model, rate, cancel).await.and_then(Record::of)
        })
    }

    fn send_message(&self, peer: String, text: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.send_message(peer, text, cancel).await })
    }

    fn messages(&self, py: Python<'_>) -> PyResult<Stream> {
        self.0.messages().map(Stream::new).map_err(|error| exception(py, &error))
    }

    fn events(&self, py: Python<'_>) -> PyResult<Stream> {
        self.0.events().map(Stream::new).map_err(|error| exception(py, &error))
    }

    fn trust(&self) -> TrustGraph {
        TrustGraph(self.0.trust())
    }

    fn shards(&self) -> ShardEngine {
        ShardEngine(self.0.shards())
    }

    fn vpk(&self) -> Vpk {
        Vpk(self.0.vpk())
    }

    fn rag(
        &self,
        py: Python<'_>,
        name: String,
        options: &str,
        embedder: Option<&Embedder>,
        writer: Option<&Writer>,
        readers: Vec<PyRef<'_, Reader>>,
    ) -> PyResult<Operation> {
        let options: Options = parse(py, "", options)?;
        let (node, supplies) = (self.0.clone(), supplies(embedder, writer, &readers));
        Ok(Operation::new(move |cancel| async move {
            node.rag(name, options, supplies, cancel).await.map(|rag| Object(Rag::from(rag)))
        }))
    }

    fn serve_http(
        &self,
        py: Python<'_>,
        models: Vec<(String, ServedModel<'_>)>,
        embedders: Vec<(String, Embedding<'_>)>,
        knowledge: Vec<(String, PyRef<'_, Rag>)>,
        options: &str,
    ) -> PyResult<Operation> {
        let (node, options) = (self.0.clone(), parse(py, "", options)?);
        let served = served(py, models, embedders, knowledge)?;
        Ok(Operation::new(move |cancel| async move {
            node.serve_http(served, options, cancel).await.map(|server| Object(HttpServer::from(server)))
        }))
    }

    fn share_knowledge(&self, py: Python<'_>, rag: &Rag, sharing: &str) -> PyResult<Operation> {
        let (node, rag, sharing): (_, _, Sharing) = (self.0.clone(), rag.0.clone(), parse(py, "", sharing)?);
        Ok(Operation::new(move |cancel| async move {
            node.share_knowledge(&rag, sharing, cancel).await.and_then(Record::of)
        }))
    }

    fn shared_knowledge(&self, peer: String, capability: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move {
            node.shared_knowledge(peer, capability, cancel).await.map(|shared| Object(SharedKnowledge::from(shared)))
        })
    }

    fn federation(
        &self,
        py: Python<'_>,
        own: Vec<(String, PyRef<'_, Rag>)>,
        shared: Vec<PyRef<'_, SharedKnowledge>>,
        options: &str,
        embedder: Option<&Embedder>,
    ) -> PyResult<Operation> {
        let options: FederationOptions = parse(py, "", options)?;
        let (node, members) = (self.0.clone(), members(py, own, &shared)?);
        let embedder = embedder.map(|own| own.0.clone());
        Ok(Operation::new(move |cancel| async move {
            node.federation(members, options, embedder, cancel).await.map(|made| Object(Federation::from(made)))
        }))
    }

    fn prove(&self, py: Python<'_>, rag: &Rag, hits: &str) -> PyResult<Operation> {
        let (node, rag, hits) = (self.0.clone(), rag.0.clone(), parse(py, "hits", hits)?);
        Ok(Operation::new(move |cancel| async move { node.prove(&rag, hits, cancel).await.and_then(Record::of) }))
    }

    fn contribute(&self, py: Python<'_>, contribution: &str) -> PyResult<Operation> {
        let contribution = parse(py, "", contribution)?;
        let node = self.0.clone();
        Ok(Operation::new(
            move |cancel| async move { node.contribute(contribution, cancel).await.and_then(Record::of) },
        ))
    }

    fn advance_clock(&self, py: Python<'_>, by_ms: u64) -> PyResult<()> {
        self.0.advance_clock(by_ms).map_err(|error| exception(py, &error))
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn shutdown(&self, grace_ms: Option<u64>) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.shutdown(grace_ms, cancel).await })
    }
}
