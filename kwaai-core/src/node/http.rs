//! OpenAI's HTTP API, served by a node.

use std::sync::PoisonError;
use std::time::Duration;

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
        let backing = Backing { metrics: Box::new(metrics), clock: self.inner.clock.clone() };
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

    /// Ends the servers of the node; what they answer may come to its end within `grace`.
    pub(super) async fn close_servers(&self, grace: Duration) {
        let servers = std::mem::take(&mut *self.inner.servers.lock().unwrap_or_else(PoisonError::into_inner));
        let open: Vec<_> = servers.iter().filter_map(std::sync::Weak::upgrade).collect();
        futures::future::join_all(open.iter().map(|server| server.shutdown(grace))).await;
    }
}
