//! `Node`.

use std::sync::Arc;

use kwaai_ffi::http::HttpOptions;
use kwaai_ffi::rag::Options;
use napi_derive::napi;

use crate::error::{Result, json, parse, thrown, whole};
use crate::http::{HttpServer, Served};
use crate::operation::Operation;
use crate::provide::Supplies;
use crate::rag::Rag;
use crate::shard::{Model, ShardEngine};
use crate::stream::Stream;
use crate::trust::TrustGraph;
use crate::vpk::Vpk;

/// A running node.
#[napi]
pub struct Node(pub(crate) Arc<kwaai_ffi::Node>);

#[napi]
impl Node {
    #[napi]
    pub fn start(config: String) -> Result<Operation> {
        let config = parse("", &config)?;
        Ok(Operation::new(|cancel| async {
            kwaai_ffi::Node::start(config, cancel).await.map(|node| Node(Arc::new(node)))
        }))
    }

    #[napi]
    pub fn name(&self) -> String {
        self.0.identity().name.clone()
    }

    #[napi]
    pub fn peer_id(&self) -> String {
        self.0.identity().peer_id.clone()
    }

    #[napi]
    pub fn did(&self) -> String {
        self.0.identity().did.clone()
    }

    #[napi]
    pub fn info(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.info(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn peers(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.peers(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn diagnose(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.diagnose(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn metrics(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.metrics(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn connect(&self, address: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.connect(address, cancel).await })
    }

    #[napi]
    pub fn disconnect(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.disconnect(peer, cancel).await })
    }

    #[napi]
    pub fn find_peer(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.find_peer(peer, cancel).await })
    }

    #[napi]
    pub fn probe(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.probe(peer, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn ask_trust(&self, peer: String, about: String, at_least: String) -> Result<Operation> {
        let (node, at_least) = (self.0.clone(), parse("atLeast", &at_least)?);
        Ok(Operation::new(
            move |cancel| async move { node.ask_trust(peer, about, at_least, cancel).await.and_then(json) },
        ))
    }

    #[napi]
    pub fn ask_word(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.ask_word(peer, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn refresh_status_lists(&self) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.refresh_status_lists(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn test_credential(&self, credential_id: String, model: Option<&Model>, options: String) -> Result<Operation> {
        let (node, options) = (self.0.clone(), parse("", &options)?);
        let model = model.map(|model| model.0.clone());
        Ok(Operation::new(move |cancel| async move {
            node.test_credential(credential_id, model, options, cancel).await.and_then(json)
        }))
    }

    #[napi]
    pub fn sight(&self, peer: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.sight(peer, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn watch_peers(&self, period_ms: f64) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.watch_peers(whole(period_ms), cancel).await })
    }

    #[napi]
    pub fn issue_throughput(&self, peer: String, model: &Model, rate: String) -> Result<Operation> {
        let (node, model, rate) = (self.0.clone(), model.0.clone(), parse("", &rate)?);
        Ok(Operation::new(move |cancel| async move {
            node.issue_throughput(peer, model, rate, cancel).await.and_then(json)
        }))
    }

    #[napi]
    pub fn send_message(&self, peer: String, text: String) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.send_message(peer, text, cancel).await })
    }

    #[napi]
    pub fn messages(&self) -> Result<Stream> {
        self.0.messages().map(Stream::new).map_err(thrown)
    }

    #[napi]
    pub fn events(&self) -> Result<Stream> {
        self.0.events().map(Stream::new).map_err(thrown)
    }

    #[napi]
    pub fn trust(&self) -> TrustGraph {
        TrustGraph(self.0.trust())
    }

    #[napi]
    pub fn shards(&self) -> ShardEngine {
        ShardEngine(self.0.shards())
    }

    #[napi]
    pub fn vpk(&self) -> Vpk {
        Vpk(self.0.vpk())
    }

    #[napi]
    pub fn rag(&self, name: String, options: String, supplies: &Supplies) -> Result<Operation> {
        let options: Options = parse("", &options)?;
        let (node, supplies) = (self.0.clone(), supplies.take());
        Ok(Operation::new(move |cancel| async move { node.rag(name, options, supplies, cancel).await.map(Rag::from) }))
    }

    #[napi]
    pub fn serve_http(&self, options: String, served: &Served) -> Result<Operation> {
        let options: HttpOptions = parse("", &options)?;
        let (node, served) = (self.0.clone(), served.take());
        Ok(Operation::new(
            move |cancel| async move { node.serve_http(served, options, cancel).await.map(HttpServer::from) },
        ))
    }

    #[napi]
    pub fn contribute(&self, contribution: String) -> Result<Operation> {
        let contribution = parse("", &contribution)?;
        let node = self.0.clone();
        Ok(Operation::new(move |cancel| async move { node.contribute(contribution, cancel).await.and_then(json) }))
    }

    #[napi]
    pub fn advance_clock(&self, by_ms: f64) -> Result<()> {
        self.0.advance_clock(whole(by_ms)).map_err(thrown)
    }

    #[napi]
    pub fn shutdown(&self, grace_ms: Option<f64>) -> Operation {
        let node = self.0.clone();
        Operation::new(move |cancel| async move { node.shutdown(grace_ms.map(whole), cancel).await })
    }
}
