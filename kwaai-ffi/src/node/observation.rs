//! What a node sees of peers for itself.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::trust::{Credential, Rate};
use crate::{CancelToken, Model, Result, rt, validate};

impl Node {
    /// Looks whether a peer is up, and keeps that as a sample of its sightings.
    pub async fn sight(&self, peer: String, cancel: CancelToken) -> Result<bool> {
        let (node, peer) = (self.handle.get()?, validate::peer(&peer)?);
        rt::run(&cancel, async move { node.sight(peer).await }).await
    }

    /// Looks at every connected peer, and at those that were looked at lately, once each period, as long as the node runs.
    pub async fn watch_peers(&self, period_ms: u64, cancel: CancelToken) -> Result<()> {
        let node = self.handle.get()?;
        rt::run(&cancel, async move { node.watch_peers(Duration::from_millis(period_ms)) }).await
    }

    /// Measures how fast a peer computes its blocks of a model, and issues a `ThroughputVC` about it, which is not kept.
    pub async fn issue_throughput(
        &self,
        peer: String,
        model: Arc<Model>,
        rate: Rate,
        cancel: CancelToken,
    ) -> Result<Credential> {
        let (node, peer) = (self.handle.get()?, validate::peer(&peer)?);
        let (model, rate) = (model.core()?, rate.read()?);
        let issue = async move { node.issue_throughput(peer, &model, rate).await };
        rt::run(&cancel, issue).await.map(Credential::from)
    }
}
