//! `Node`, for Kotlin and Swift.

use std::sync::Arc;

use super::number::{maybe, whole};
use super::{
    BlockShareOptions, Cancel, NativeEvents, NativeHttpServer, NativeMessages, NativeModel, NativeRag,
    NativeShardEngine, NativeTrustGraph, NativeVpk, NodeOptions, RagOptions, Result, ServerOptions, token,
};
use crate::Node;
use crate::node::{Contribution, Diagnosis, Metrics, NodeInfo, PeerInfo};
use crate::shard::Offer;
use crate::trust::{ClaimTest, Credential, Minimum, Rate, StatusRefresh, TakenWord, TestOptions, TrustStatement};

/// A running node.
#[derive(uniffi::Object)]
pub struct NativeNode(pub(super) Node);

#[uniffi::export]
impl NativeNode {
    /// Starts a node.
    #[uniffi::constructor]
    pub async fn start(options: NodeOptions, cancel: Cancel) -> Result<Arc<NativeNode>> {
        Ok(Arc::new(NativeNode(Node::start(options.config()?, token(cancel)).await?)))
    }

    /// The readable name.
    pub fn name(&self) -> String {
        self.0.identity().name.clone()
    }

    /// The identity on the network.
    pub fn peer_id(&self) -> String {
        self.0.identity().peer_id.clone()
    }

    /// The identity that signs credentials.
    pub fn did(&self) -> String {
        self.0.identity().did.clone()
    }

    /// What the node says about itself.
    pub async fn info(&self, cancel: Cancel) -> Result<NodeInfo> {
        Ok(self.0.info(token(cancel)).await?)
    }

    /// The connected peers.
    pub async fn peers(&self, cancel: Cancel) -> Result<Vec<PeerInfo>> {
        Ok(self.0.peers(token(cancel)).await?)
    }

    /// Looks for what keeps this node from others.
    pub async fn diagnose(&self, cancel: Cancel) -> Result<Vec<Diagnosis>> {
        Ok(self.0.diagnose(token(cancel)).await?)
    }

    /// What the node measured since its start.
    pub async fn metrics(&self, cancel: Cancel) -> Result<Metrics> {
        Ok(self.0.metrics(token(cancel)).await?)
    }

    /// Connects to a node at a multiaddress, and says who answered.
    pub async fn connect(&self, address: String, cancel: Cancel) -> Result<String> {
        Ok(self.0.connect(address, token(cancel)).await?)
    }

    /// Closes every connection to a peer.
    pub async fn disconnect(&self, peer: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.disconnect(peer, token(cancel)).await?)
    }

    /// Asks the network where a peer can be reached.
    pub async fn find_peer(&self, peer: String, cancel: Cancel) -> Result<Vec<String>> {
        Ok(self.0.find_peer(peer, token(cancel)).await?)
    }

    /// Whether a peer, or whoever is at an address, answers now.
    pub async fn probe(&self, peer: String, cancel: Cancel) -> Result<PeerInfo> {
        Ok(self.0.probe(peer, token(cancel)).await?)
    }

    /// Asks a peer where somebody stands with it.
    pub async fn ask_trust(
        &self,
        peer: String,
        about: String,
        at_least: Option<Minimum>,
        cancel: Cancel,
    ) -> Result<TrustStatement> {
        Ok(self.0.ask_trust(peer, about, at_least, token(cancel)).await?)
    }

    /// Asks a peer for its word about others.
    pub async fn ask_word(&self, peer: String, cancel: Cancel) -> Result<TakenWord> {
        Ok(self.0.ask_word(peer, token(cancel)).await?)
    }

    /// Looks for the status lists that are wanted.
    pub async fn refresh_status_lists(&self, cancel: Cancel) -> Result<StatusRefresh> {
        Ok(self.0.refresh_status_lists(token(cancel)).await?)
    }

    /// Puts what a credential claims to the test.
    pub async fn test_credential(
        &self,
        credential_id: String,
        model: Option<Arc<NativeModel>>,
        tolerance: Option<f64>,
        tokens: Option<i64>,
        seed: Option<i64>,
        cancel: Cancel,
    ) -> Result<ClaimTest> {
        let options = TestOptions { tolerance, tokens: maybe("tokens", tokens)?, seed: maybe("seed", seed)? };
        let model = model.map(|model| model.0.clone());
        Ok(self.0.test_credential(credential_id, model, options, token(cancel)).await?)
    }

    /// Looks whether a peer is up.
    pub async fn sight(&self, peer: String, cancel: Cancel) -> Result<bool> {
        Ok(self.0.sight(peer, token(cancel)).await?)
    }

    /// Looks at peers again and again.
    pub async fn watch_peers(&self, period_ms: i64, cancel: Cancel) -> Result<()> {
        Ok(self.0.watch_peers(whole("period_ms", period_ms)?, token(cancel)).await?)
    }

    /// Measures a peer's rate and issues a credential about it.
    #[allow(clippy::too_many_arguments, reason = "options are arguments where languages name them")]
    pub async fn issue_throughput(
        &self,
        peer: String,
        model: Arc<NativeModel>,
        tokens: Option<i64>,
        runs: Option<i64>,
        seed: Option<i64>,
        valid_for_ms: Option<i64>,
        cancel: Cancel,
    ) -> Result<Credential> {
        let rate = Rate {
            tokens: maybe("tokens", tokens)?,
            runs: maybe("runs", runs)?,
            seed: maybe("seed", seed)?,
            valid_for_ms: maybe("valid_for_ms", valid_for_ms)?,
        };
        Ok(self.0.issue_throughput(peer, model.0.clone(), rate, token(cancel)).await?)
    }

    /// Sends a text to a peer.
    pub async fn send_message(&self, peer: String, text: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.send_message(peer, text, token(cancel)).await?)
    }

    /// Messages as they arrive.
    pub fn messages(&self) -> Result<Arc<NativeMessages>> {
        Ok(NativeMessages::over(self.0.messages()?))
    }

    /// What happens on the network from now on.
    pub fn events(&self) -> Result<Arc<NativeEvents>> {
        Ok(NativeEvents::over(self.0.events()?))
    }

    /// Credentials, scores and the policy of this node.
    pub fn trust(&self) -> Arc<NativeTrustGraph> {
        Arc::new(NativeTrustGraph(self.0.trust()))
    }

    /// Language models, whole or in blocks over peers.
    pub fn shards(&self) -> Arc<NativeShardEngine> {
        Arc::new(NativeShardEngine(self.0.shards()))
    }

    /// What this node keeps for others, and others for it.
    pub fn vpk(&self) -> Arc<NativeVpk> {
        Arc::new(NativeVpk(self.0.vpk()))
    }

    /// Opens a knowledge base of this node.
    pub async fn rag(&self, name: String, options: RagOptions, cancel: Cancel) -> Result<Arc<NativeRag>> {
        let (options, supplies) = options.into_parts()?;
        Ok(Arc::new(NativeRag(self.0.rag(name, options, supplies, token(cancel)).await?)))
    }

    /// Serves models by OpenAI's HTTP API.
    pub async fn serve_http(&self, options: ServerOptions, cancel: Cancel) -> Result<Arc<NativeHttpServer>> {
        let (served, options) = options.into_parts()?;
        Ok(Arc::new(NativeHttpServer(self.0.serve_http(served, options, token(cancel)).await?)))
    }

    /// Shares exactly this.
    pub async fn contribute(
        &self,
        blocks: Vec<BlockShareOptions>,
        min_tier: Option<String>,
        grace_ms: Option<i64>,
        cancel: Cancel,
    ) -> Result<Vec<Offer>> {
        let grace_ms = maybe("grace_ms", grace_ms)?;
        let blocks = blocks.into_iter().map(BlockShareOptions::share).collect::<crate::Result<_>>()?;
        Ok(self.0.contribute(Contribution { blocks, min_tier, grace_ms }, token(cancel)).await?)
    }

    /// For tests: moves the clock.
    pub fn advance_clock(&self, by_ms: i64) -> Result<()> {
        Ok(self.0.advance_clock(whole("by_ms", by_ms)?)?)
    }

    /// Stops the node.
    pub async fn shutdown(&self, grace_ms: Option<i64>, cancel: Cancel) -> Result<()> {
        Ok(self.0.shutdown(maybe("grace_ms", grace_ms)?, token(cancel)).await?)
    }
}
