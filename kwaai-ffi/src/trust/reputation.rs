//! What this node measures of its peers.

use kwaai_core::Error;
use kwaai_core::trust::{self, Evidence, Observation, Outcome, Recommendation};
use serde::{Deserialize, Serialize};

use super::TrustGraph;
use crate::{CancelToken, Result, rt, validate};

/// The names of the outcomes.
const OUTCOMES: [(&str, Outcome); 3] =
    [("good", Outcome::Good), ("bad", Outcome::Bad), ("transport_fault", Outcome::TransportFault)];

/// What was measured of one dealing; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Measured {
    /// How long the answer took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The throughput that the peer had promised, in units of the app's choice a second.
    pub promised: Option<f64>,
    /// The throughput that it delivered, in the same units.
    pub delivered: Option<f64>,
}

/// What this node measured of a peer, weighed by age with a half-life of 30 days.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Reputation {
    /// The peer's DID.
    pub peer: String,
    /// The weight of the good answers.
    pub good: f64,
    /// The weight of the bad answers.
    pub bad: f64,
    /// The share of good answers, one good and one bad one being supposed beforehand.
    pub success: f64,
    /// Its lower bound at about 90 %; 0 without answers.
    pub success_lower_bound: f64,
    /// The weight of dealings that failed in transport.
    pub transport_faults: f64,
    /// The share of dealings that did not fail in transport.
    pub reliability: Option<f64>,
    /// The share of the days with dealings on which it answered.
    pub uptime: Option<f64>,
    /// The mean time to an answer, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Delivered throughput over promised throughput, where both were measured.
    pub throughput: Option<f64>,
    /// 1, or less after many bad answers among the newest.
    pub standing: f64,
    /// When the newest dealing ended, RFC 3339.
    pub last: String,
}

impl TrustGraph {
    /// Notes how a dealing with a peer ended just now: `good`, `bad` or `transport_fault`.
    pub async fn record(&self, peer: String, outcome: String, measured: Measured, cancel: CancelToken) -> Result<()> {
        let (graph, peer) = (self.handle.get()?, validate::did(&peer)?);
        let Measured { latency_ms, promised, delivered } = measured;
        let now = self.clock.core().now();
        let observation = Observation { latency_ms, promised, delivered, ..Observation::new(named(&outcome)?, now) };
        rt::blocking(&cancel, move || graph.record(&peer, observation)).await
    }

    /// What this node measured of a peer; nothing when it never dealt with it.
    pub async fn reputation(&self, peer: String, cancel: CancelToken) -> Result<Option<Reputation>> {
        let (graph, peer) = (self.handle.get()?, validate::did(&peer)?);
        Ok(rt::blocking(&cancel, move || graph.reputation(&peer)).await?.map(Reputation::from))
    }

    /// What this node measured of each peer that it dealt with, in the order of their keys.
    pub async fn reputations(&self, cancel: CancelToken) -> Result<Vec<Reputation>> {
        let graph = self.handle.get()?;
        let reputations = rt::blocking(&cancel, move || graph.reputations()).await?;
        Ok(reputations.into_iter().map(Reputation::from).collect())
    }

    /// Notes what one peer says about another, in place of what it said before: the weights of good and of bad answers that it
    /// saw, and at which instant it said so, RFC 3339; now unless set. Whose word it is was checked by the app.
    pub async fn add_recommendation(
        &self,
        recommender: String,
        about: String,
        good: f64,
        bad: f64,
        at: Option<String>,
        cancel: CancelToken,
    ) -> Result<()> {
        let graph = self.handle.get()?;
        let (recommender, about) = (validate::did(&recommender)?, validate::did(&about)?);
        let at = match at {
            Some(text) => text.parse().map_err(|error| {
                Error::invalid_argument(format!("{text:.60?} is no instant: {error}"))
                    .with_remedy("write it like 2026-01-31T09:00:00Z")
            })?,
            None => self.clock.core().now(),
        };
        let recommendation = Recommendation { recommender, about, evidence: Evidence { good, bad }, at };
        rt::blocking(&cancel, move || graph.add_recommendation(recommendation)).await
    }

    /// Writes what was recorded and not written yet.
    pub async fn flush(&self, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.flush()).await
    }

    /// Forgets what this node measured of a peer, durably.
    pub async fn reset_reputation(&self, peer: String, cancel: CancelToken) -> Result<()> {
        let (graph, peer) = (self.handle.get()?, validate::did(&peer)?);
        rt::blocking(&cancel, move || graph.reset_reputation(&peer)).await
    }
}

fn named(text: &str) -> kwaai_core::Result<Outcome> {
    OUTCOMES.into_iter().find(|(name, _)| *name == text).map(|(_, outcome)| outcome).ok_or_else(|| {
        let known = OUTCOMES.map(|(name, _)| name).join(", ");
        Error::invalid_argument(format!("{text:.60?} is no outcome; outcomes are {known}"))
    })
}

impl From<trust::Reputation> for Reputation {
    fn from(reputation: trust::Reputation) -> Reputation {
        Reputation {
            peer: reputation.peer.to_string(),
            good: reputation.evidence.good,
            bad: reputation.evidence.bad,
            success: reputation.success,
            success_lower_bound: reputation.success_lower_bound,
            transport_faults: reputation.transport_faults,
            reliability: reputation.reliability,
            uptime: reputation.uptime,
            latency_ms: reputation.latency_ms,
            throughput: reputation.throughput,
            standing: reputation.standing,
            last: reputation.last.to_string(),
        }
    }
}
