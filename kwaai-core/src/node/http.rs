//! OpenAI's HTTP API, served by a node.

use std::sync::PoisonError;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::Node;
use crate::Result;
use crate::http::{Backing, HttpConfig, HttpServer};

impl Node {
    /// Serves models by OpenAI's HTTP API, on port 11435 of this machine alone unless `config` says otherwise; `/metrics` has what
    /// [`Node::metrics`] has. The server ends when its last clone is dropped, and with the node, whose grace is also its own.
    ///
    /// # Errors
    /// As [`HttpServer::start`]; `closed` after a shutdown.
    pub async fn serve_http(&self, config: HttpConfig) -> Result<HttpServer> {
        self.open()?;
        // Weak, so that the node ends with its last handle.
        let node = std::sync::Arc::downgrade(&self.inner);
        let metrics = move || {
            let node = node.upgrade().map(|inner| Node { inner });
            node.and_then(|node| node.metrics().ok()).unwrap_or_default()
        };
        let node = std::sync::Arc::downgrade(&self.inner);
        let status = move || -> BoxFuture<'static, Value> {
            let node = node.upgrade().map(|inner| Node { inner });
            Box::pin(async move {
                match node {
                    Some(node) => node.shown().await.unwrap_or_default(),
                    None => Value::Null,
                }
            })
        };
        let clock = self.inner.clock.clone();
        let backing = Backing { metrics: Box::new(metrics), status: Box::new(status), clock };
        let server = HttpServer::start_for(config, backing).await?;
        {
            let mut servers = self.inner.servers.lock().unwrap_or_else(PoisonError::into_inner);
            servers.retain(|server| server.strong_count() > 0);
            servers.push(server.downgrade());
        }
        // A shutdown that came in between has not seen it.
        match self.open() {
            Ok(()) => Ok(server),
            Err(closed) => {
                server.shutdown(Duration::ZERO).await;
                Err(closed)
            }
        }
    }

    /// What the status shows of the node.
    async fn shown(&self) -> Result<Value> {
        let (info, shards) = (self.info()?, self.shards());
        let peers: Vec<Value> = self
            .peers()
            .await?
            .into_iter()
            .map(|peer| {
                json!({
                    "peer_id": peer.peer_id.to_string(), "name": peer.name, "agent": peer.agent, "relayed": peer.relayed,
                    "rtt_ms": peer.rtt_ms, "tier": peer.tier, "score": peer.score,
                })
            })
            .collect();
        Ok(json!({
            "name": info.name,
            "peer_id": info.peer_id.to_string(),
            "version": info.version,
            "peers": peers,
            "served": shards.served(),
            "open_sessions": shards.open_sessions(),
            "served_block_tokens": shards.served_block_tokens(),
        }))
    }

    /// Ends the servers of the node; what they answer may come to its end within `grace`.
    pub(super) async fn close_servers(&self, grace: Duration) {
        let servers = std::mem::take(&mut *self.inner.servers.lock().unwrap_or_else(PoisonError::into_inner));
        let open: Vec<_> = servers.iter().filter_map(std::sync::Weak::upgrade).collect();
        futures::future::join_all(open.iter().map(|server| server.shutdown(grace))).await;
    }
}
