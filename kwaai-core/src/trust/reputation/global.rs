//! One value for each peer, after EigenTrust, from what this node saw and what others say.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::Did;
use crate::trust::TrustGraph;
use crate::trust::experience::{Evidence, day_of, decay};
use crate::trust::propagation::{EigenTrust, Rating};
use crate::{Error, Result};

/// How much of the trust goes to the pre-trusted at each step, unless set otherwise.
pub const DEFAULT_ALPHA: f64 = 0.1;

/// The least alpha. The number of steps is about 21 divided by it.
pub const MIN_ALPHA: f64 = 0.01;

/// So much may be left to move, all peers together.
const EPSILON: f64 = 1e-9;

/// A peer's share of the trust in the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GlobalTrust {
    /// The peer.
    pub peer: Did,
    /// From 0 to 1; those of all peers sum to 1.
    pub value: f64,
}

impl TrustGraph {
    /// [EigenTrust](crate::trust::propagation::eigentrust) over everybody of whom this node knows: it rates peers by its own
    /// experience, and each recommender by its recommendations, good answers minus bad ones, weighed by their age. Sorted by the
    /// value, the greatest first, then by key; this node is among them. `pretrusted` share equally what alpha takes from all; without
    /// any it is this node. [Scores](TrustGraph::score) do not contain it: here a recommender is believed as far as it serves well.
    ///
    /// # Errors
    /// `invalid_argument` when alpha lies not from [`MIN_ALPHA`] to 1.
    pub fn propagate(&self, pretrusted: &[Did], alpha: f64) -> Result<Vec<GlobalTrust>> {
        if !(MIN_ALPHA..=1.0).contains(&alpha) {
            return Err(Error::invalid_argument(format!("alpha lies from {MIN_ALPHA} to 1")).with("argument", "alpha"));
        }
        let own = self.did();
        let ratings = self.ratings();
        let trusted: BTreeSet<Did> =
            if pretrusted.is_empty() { [own].into() } else { pretrusted.iter().copied().collect() };
        let known = ratings.iter().flat_map(|(from, to, _)| [*from, *to]);
        let peers: BTreeSet<Did> = known.chain(trusted.iter().copied()).chain([own]).collect();
        let numbers: BTreeMap<Did, usize> = peers.iter().enumerate().map(|(number, peer)| (*peer, number)).collect();
        let numbered: Vec<Rating> =
            ratings.iter().map(|(from, to, rating)| (numbers[from], numbers[to], *rating)).collect();
        let weights: Vec<f64> = peers.iter().map(|peer| if trusted.contains(peer) { 1.0 } else { 0.0 }).collect();
        let trust = EigenTrust::new(&numbered, &weights, alpha, EPSILON)?;
        let values = trust.trust().iter();
        let mut found: Vec<GlobalTrust> =
            peers.into_iter().zip(values).map(|(peer, value)| GlobalTrust { peer, value: *value }).collect();
        found.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.peer.cmp(&b.peer)));
        Ok(found)
    }

    /// Who rates whom and how, this node by its own experience.
    fn ratings(&self) -> Vec<(Did, Did, f64)> {
        let (own, now) = (self.did(), self.clock.now());
        let day = day_of(now);
        let rating = |evidence: Evidence| evidence.good - evidence.bad;
        let state = self.ledger.state();
        let seen = state.experience.iter().map(|(peer, seen)| (own, *peer, rating(seen.evidence(now))));
        let told = state.said.iter().flat_map(|(recommender, words)| {
            words.iter().map(move |(about, said)| {
                (*recommender, *about, rating(said.evidence.times(decay(day - day_of(said.at)))))
            })
        });
        seen.chain(told).collect()
    }
}
