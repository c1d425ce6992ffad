//! How good what credentials report must be.

use kwaai_core::trust::Thresholds;

use super::TrustGraph;
use crate::{CancelToken, Result, rt};

impl TrustGraph {
    /// What a credential about uptime or throughput must report to count.
    pub async fn thresholds(&self, cancel: CancelToken) -> Result<Thresholds> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.thresholds()).await
    }

    /// Replaces what credentials must report, durably.
    pub async fn set_thresholds(&self, thresholds: Thresholds, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.set_thresholds(&thresholds)).await
    }
}
