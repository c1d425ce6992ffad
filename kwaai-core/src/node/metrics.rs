//! What a node measured so far.

use super::Node;
use crate::Result;
use crate::metric::{Instrument, Measurement};

impl Node {
    /// Counters and gauges of this node since its start, named by OpenTelemetry's conventions: who is connected and how, bytes,
    /// calls with their durations, what it gives as a relay and keeps for hivemind's DHT. Nothing of what was said, asked or
    /// stored is in it, and no peer. [`prometheus`](crate::metric::prometheus) makes text of it that Prometheus reads.
    ///
    /// # Errors
    /// `closed` after a shutdown.
    pub fn metrics(&self) -> Result<Vec<Measurement>> {
        self.open()?;
        let uptime = self.inner.started.elapsed().as_secs_f64();
        let about = "How long the node has been running.";
        let uptime = Measurement::number(Instrument::Gauge, "kwaainet.uptime", "s", about, uptime);
        Ok(std::iter::once(uptime).chain(self.inner.network.metrics()).collect())
    }
}
