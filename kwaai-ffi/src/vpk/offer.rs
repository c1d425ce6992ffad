//! Hosts that were found, and what is asked of them.

use std::str::FromStr;

use kwaai_core::trust::Tier;
use kwaai_core::vpk::{self, Placement};
use serde::{Deserialize, Serialize};

use crate::Result;

/// What is asked of hosts that are looked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoverOptions {
    /// The bytes that each must have left; 16 MiB unless set.
    pub free_bytes: Option<u64>,
    /// The lowest tier; the policy's minimum of `store_vectors` unless set.
    pub min_tier: Option<String>,
    /// Whether hosts in one address range count as one; true unless set.
    pub distinct_networks: Option<bool>,
}

/// A node that says that it hosts, as it answered when it was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct HostOffer {
    /// The PeerId of the host.
    pub host: String,
    /// How far this node trusts it.
    pub tier: String,
    /// The bytes that it has left for this node; 0 when it was refused.
    pub free_bytes: u64,
    /// How long it took to answer; nothing when it was not asked or did not answer.
    pub latency_ms: Option<f64>,
    /// The DIDs that are proven to be its person's or its organisation's.
    pub operators: Vec<String>,
    /// The address ranges that its connections come from; none when it is reached through relays alone.
    pub networks: Vec<String>,
    /// The code of what keeps it from being used; nothing when it can be.
    pub refusal: Option<String>,
    /// The same in words.
    pub reason: Option<String>,
}

impl DiscoverOptions {
    pub(super) fn placement(self, replicas: Option<usize>) -> Result<Placement> {
        let usual = Placement::default();
        Ok(Placement {
            replicas,
            free_bytes: self.free_bytes.unwrap_or(usual.free_bytes),
            min_tier: self.min_tier.as_deref().map(Tier::from_str).transpose()?,
            distinct_networks: self.distinct_networks.unwrap_or(usual.distinct_networks),
        })
    }
}

impl From<vpk::HostOffer> for HostOffer {
    fn from(offer: vpk::HostOffer) -> HostOffer {
        HostOffer {
            host: offer.host.to_string(),
            tier: offer.tier.to_string(),
            free_bytes: offer.free_bytes,
            latency_ms: offer.latency.map(|latency| latency.as_secs_f64() * 1000.0),
            operators: offer.operators.iter().map(ToString::to_string).collect(),
            networks: offer.networks,
            refusal: offer.refusal.as_ref().map(|error| error.code().as_str().to_owned()),
            reason: offer.refusal.as_ref().map(|error| error.message().to_owned()),
        }
    }
}
