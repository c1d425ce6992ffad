//! What this node saw of peers, and the credentials that it issues from that.

use std::time::Duration;

use kwaai_core::Error;
use kwaai_core::node::RateOptions;
use kwaai_core::trust;
use serde::{Deserialize, Serialize};

use super::claim_test::MAX_SEED;
use super::{Credential, TrustGraph};
use crate::{CancelToken, Result, rt, validate};

/// How often this node found a peer up, over the last 128 days.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Sightings {
    /// The first look, RFC 3339.
    pub since: String,
    /// The last look, RFC 3339.
    pub until: String,
    /// How often this node looked.
    pub looks: u64,
    /// How often it found the peer up.
    pub up: u64,
    /// The share of the looks that found it up, 0 to 1.
    pub up_share: f64,
}

/// How a rate is measured; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// How many tokens each run computes, 8 to 512; 32 unless set.
    pub tokens: Option<u32>,
    /// How many runs there are, 1 to 64; 3 unless set.
    pub runs: Option<u32>,
    /// Decides what work is asked for, from 0 to 2^53 - 1. Drawn at random when it is not given.
    pub seed: Option<u64>,
    /// Milliseconds that the credential holds; without it, it does not end.
    pub valid_for_ms: Option<u64>,
}

impl Rate {
    /// What the core is told.
    ///
    /// # Errors
    /// `invalid_argument` for a seed above 2^53 - 1.
    pub(crate) fn read(self) -> Result<RateOptions> {
        if let Some(seed) = self.seed.filter(|seed| *seed > MAX_SEED) {
            let message = format!("seed must be a whole number from 0 to {MAX_SEED}, not {seed}");
            return Err(Error::invalid_argument(message).into());
        }
        let usual = RateOptions::default();
        Ok(RateOptions {
            tokens: self.tokens.unwrap_or(usual.tokens),
            runs: self.runs.unwrap_or(usual.runs),
            seed: self.seed,
            valid_for: self.valid_for_ms.map(Duration::from_millis),
        })
    }
}

impl TrustGraph {
    /// Notes whether a peer was up just now, durably.
    pub async fn sight(&self, peer: String, up: bool, cancel: CancelToken) -> Result<()> {
        let (graph, peer) = (self.handle.get()?, validate::did(&peer)?);
        rt::blocking(&cancel, move || graph.sight(&peer, up)).await
    }

    /// How often this node found a peer up; nothing when it never looked within the last 128 days.
    pub async fn sightings(&self, peer: String, cancel: CancelToken) -> Result<Option<Sightings>> {
        let (graph, peer) = (self.handle.get()?, validate::did(&peer)?);
        Ok(rt::blocking(&cancel, move || graph.sightings(&peer)).await?.map(Sightings::from))
    }

    /// Issues an `UptimeVC` about a peer from what this node saw of it. It is returned and not kept.
    pub async fn issue_uptime(
        &self,
        peer: String,
        valid_for_ms: Option<u64>,
        cancel: CancelToken,
    ) -> Result<Credential> {
        let (graph, peer) = (self.handle.get()?, validate::did(&peer)?);
        let issue = async move { graph.issue_uptime(peer, valid_for_ms.map(Duration::from_millis)).await };
        rt::run(&cancel, issue).await.map(Credential::from)
    }
}

impl From<trust::Sightings> for Sightings {
    fn from(seen: trust::Sightings) -> Sightings {
        Sightings {
            since: seen.from.to_string(),
            until: seen.until.to_string(),
            looks: seen.looks,
            up: seen.up,
            up_share: seen.up_share(),
        }
    }
}
