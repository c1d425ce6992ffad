//! One value for each peer, from what this node saw and what others say.

use kwaai_core::trust::{self, DEFAULT_ALPHA};
use serde::{Deserialize, Serialize};

use super::TrustGraph;
use crate::{CancelToken, Result, rt, validate};

/// How trust is propagated; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Propagation {
    /// Who is trusted before anybody is rated, DIDs or PeerIds; this node unless set.
    pub pretrusted: Option<Vec<String>>,
    /// How much of the trust goes to the pre-trusted at each step, from 0.01 to 1; 0.1 unless set.
    pub alpha: Option<f64>,
}

/// A peer's share of the trust in the network.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct GlobalTrust {
    /// The peer's DID.
    pub peer: String,
    /// From 0 to 1; those of all peers sum to 1.
    pub value: f64,
}

impl TrustGraph {
    /// EigenTrust over everybody of whom this node knows, from its own experience and from recommendations: the greatest value
    /// first. No score contains it.
    pub async fn propagate(&self, options: Propagation, cancel: CancelToken) -> Result<Vec<GlobalTrust>> {
        let graph = self.handle.get()?;
        let pretrusted = options.pretrusted.unwrap_or_default();
        let pretrusted: Vec<_> = pretrusted.iter().map(|peer| validate::did(peer)).collect::<Result<_>>()?;
        let alpha = options.alpha.unwrap_or(DEFAULT_ALPHA);
        let found = rt::blocking(&cancel, move || graph.propagate(&pretrusted, alpha)).await?;
        Ok(found.into_iter().map(GlobalTrust::from).collect())
    }
}

impl From<trust::GlobalTrust> for GlobalTrust {
    fn from(found: trust::GlobalTrust) -> GlobalTrust {
        GlobalTrust { peer: found.peer.to_string(), value: found.value }
    }
}
