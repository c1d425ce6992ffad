//! How far this node trusts a peer, from what it keeps: credentials, its own experience, and the word of others.
//!
//! The credential part is KwaaiNet's: the sum of weight × 0.5^(age in days / 365) over the credentials that count, and no
//! more than 1. A credential counts when its proof holds, its type has a weight, this node trusts its issuer for that type,
//! its subject did not issue it, it is in force, what it reports reaches the [`Thresholds`], and its issuer did not withdraw it. One whose withdrawal cannot be looked
//! up counts half. Of several credentials of one type only the best counts, whoever issued them. Endorsements by peers who
//! are no named issuers fill what is left of the 0.05 for endorsements; see [`worth`](super::worth).
//!
//! Evidence moves it: see [`blend`]. Without evidence the score is the credential part to the last bit.
//!
//! Age is counted in whole days of 86 400 seconds since `validFrom`. Sums are kept in whole units of 10^-15, so that
//! 0.30 + 0.20 + 0.20 is 0.70 and not a little less, and a tier does not depend on the order of addition.
//!
//! A score is a function of what is stored and the time; nothing is remembered from one call to the next. That holds for
//! the tier too, which is kept 0.02 below the threshold at which it was reached: whether it was reached is reckoned
//! again from the stored credentials and observations. What expired, was revoked or lost its issuer's trust is left out of
//! that as well, so the tier that stood on it falls at once.

mod blend;
pub(super) mod facts;
mod judge;
mod weighed;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use rayon::prelude::*;

use super::TrustGraph;
use super::credential::{Credential, CredentialSummary, CredentialType};
use super::experience::Evidence;
use super::policy::Tier;
use super::reputation::State;
use super::status_list::StatusLists;
use super::succession::Successions;
use crate::Result;
use crate::blocking::blocking;
use crate::identity::Did;
use facts::Keys;
use judge::Judge;

pub use blend::{Blend, HYSTERESIS, PRIOR_ANSWERS, WARNING, blend};

/// One whole point of score.
const UNITS: i64 = 1_000_000_000_000_000;
const UNITS_PER_THOUSANDTH: f64 = 1e12;
const HALF_LIFE_DAYS: f64 = 365.0;
const SECONDS_PER_DAY: i64 = 86_400;
/// So many peers are scored by one thread at a time.
const BATCH: usize = 512;

/// How far this node trusts a peer, with the arithmetic behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// From 0 to 1.
    pub value: f64,
    /// The same with the evidence read with caution; the value itself without evidence.
    pub lower_bound: f64,
    /// The tier that the lower bound reaches, or reached and lies less than 0.02 below.
    pub tier: Tier,
    /// The share of good answers to expect; see [`Blend::expectation`]. It is what to choose by: it orders peers that are
    /// alike in value, such as a stranger and one that has only disappointed, and lets peers with credentials be tried.
    pub expectation: f64,
    /// What the value is made of.
    pub parts: ScoreParts,
    /// Every credential about the peer: those that count first, the heaviest first.
    pub reasons: Vec<Reason>,
}

/// What a score is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreParts {
    /// KwaaiNet's score of the credentials that count, endorsements included.
    pub credentials: f64,
    /// What of it comes from endorsements, at most 0.05.
    pub endorsements: f64,
    /// This node's own dealings with the peer; `None` when there were none.
    pub experience: Option<Evidence>,
    /// What recommenders say, worth at most five answers; `None` when nobody who is believed says anything.
    pub recommended: Option<Evidence>,
    /// What the newest answers leave of the value: 1, or less for a peer that has just turned bad.
    pub standing: f64,
}

/// What one credential adds to a score, or why it adds nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The credential's identifier in the wallet.
    pub credential_id: String,
    /// KwaaiNet's type, when it has one.
    pub kind: Option<CredentialType>,
    /// Who issued it.
    pub issuer: Did,
    /// The weight of its type; 0 without a type.
    pub weight: f64,
    /// Whole days since `validFrom`; 0 when that lies ahead or is missing.
    pub age_days: u64,
    /// 0.5^(age_days / 365).
    pub factor: f64,
    /// What its issuer's word is worth: 1, and for endorsements less when the endorser is no named issuer or has endorsed
    /// peers that disappointed this node; [half](super::UNKNOWN_STATUS_SHARE) of it while its status is unknown.
    pub share: f64,
    /// weight × factor × share, cut to what is left of the 0.05 for endorsements: what it adds if it counts.
    pub contribution: f64,
    /// Whether it counts.
    pub counted: bool,
    /// Why it counts or does not, in a short phrase.
    pub why: Cow<'static, str>,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} = {}", self.value, self.tier)?;
        let evidence = [("own experience", self.parts.experience), ("recommended", self.parts.recommended)];
        for (name, evidence) in evidence {
            if let Some(Evidence { good, bad }) = evidence {
                write!(f, "\n  {name}: {good:.2} good and {bad:.2} bad answers")?;
            }
        }
        if self.parts.standing < 1.0 {
            write!(f, "\n  its newest answers leave {:.4} of it", self.parts.standing)?;
        }
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.map_or("another type", CredentialType::as_str);
        write!(f, "{kind}: {:.2} × 0.5^({}/365)", self.weight, self.age_days)?;
        if self.share < 1.0 {
            write!(f, " × {:.4}", self.share)?;
        }
        let verdict = if self.counted { "counted" } else { "not counted" };
        write!(f, " = {:.4}, {verdict}: {}", self.contribution, self.why)
    }
}

/// KwaaiNet's formula alone: the score of credentials of these types and ages in whole days, all of which count.
pub fn formula(credentials: impl IntoIterator<Item = (CredentialType, u64)>) -> f64 {
    let sum = credentials.into_iter().fold(0i64, |sum, (kind, age_days)| sum.saturating_add(units(kind, age_days)));
    in_points(sum.min(UNITS))
}

impl TrustGraph {
    /// Verifies credentials, then keeps them all in one transaction, or none when one is refused.
    ///
    /// # Errors
    /// As [`TrustGraph::import_credential`], for the first that is refused.
    pub async fn import_all(&self, texts: &[String]) -> Result<Vec<CredentialSummary>> {
        let (graph, texts) = (self.clone(), texts.to_vec());
        let verify = move || texts.iter().map(|text| graph.verify(text)).collect::<Result<Vec<Credential>>>();
        let credentials = blocking(verify).await?;
        let summaries = credentials.iter().map(|credential| credential.summary().clone()).collect();
        self.wallet.keep_all(credentials, self.clock.now()).await?;
        Ok(summaries)
    }

    /// The scores of several peers, in their order and from one view of the database: faster than one by one, and
    /// consistent with each other.
    pub fn scores(&self, peers: &[Did]) -> Result<Vec<Score>> {
        self.judged(peers, |judge, peer, state| judge.score(peer, state))
    }

    /// Those of these peers that are Known by credentials of named issuers or by own experience, whatever others say of them.
    pub(super) fn known(&self, peers: BTreeSet<Did>) -> Result<BTreeSet<Did>> {
        let peers: Vec<Did> = peers.into_iter().collect();
        let scores = self.judged(&peers, |judge, peer, state| judge.without_others(peer, state))?;
        let known = peers.into_iter().zip(scores).filter(|(_, score)| Tier::of(*score) >= Tier::Known);
        Ok(known.map(|(peer, _)| peer).collect())
    }

    /// What one view of the database says of each of these peers, in their order.
    fn judged<T: Send>(
        &self,
        peers: &[Did],
        work: impl Fn(&mut Judge<'_>, &Did, &State) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let (trusted, thresholds) = (self.trusted_types()?, self.thresholds()?);
        let anchors: BTreeSet<Did> = trusted
            .iter()
            .filter(|(_, types)| types.contains(&CredentialType::PeerEndorsement))
            .map(|(issuer, _)| *issuer)
            .collect();
        let now = self.clock.now();
        self.store.read(|transaction| {
            let table = self.wallet.facts(transaction)?;
            let mut state = self.ledger.state();
            state.weigh(&anchors, now);
            let voices =
                Successions::open(transaction)?.without_replaced(state.weighed().map(|(weights, _)| weights))?;
            let judge = || -> Result<Judge<'_>> {
                Ok(Judge {
                    graph: self,
                    table: &table,
                    lists: StatusLists::open(transaction, self.did(), now)?,
                    successions: Successions::open(transaction)?,
                    trusted: &trusted,
                    thresholds: &thresholds,
                    now,
                    keys: Keys::default(),
                    voices: voices.as_ref(),
                    own: BTreeMap::new(),
                    endorsers: BTreeMap::new(),
                })
            };
            // In the order of their rows, so that pages are read one after the other.
            let mut order: Vec<usize> = (0..peers.len()).collect();
            order.sort_unstable_by_key(|at| peers[*at].public_key());
            let batch = |batch: &[usize]| -> Result<Vec<T>> {
                let mut judge = judge()?;
                batch.iter().map(|at| work(&mut judge, &peers[*at], &state)).collect()
            };
            let scores = match order.len() {
                // Waking other threads takes longer than a few peers do.
                0..=BATCH => vec![batch(&order)?],
                _ => order.par_chunks(BATCH).map(batch).collect::<Result<_>>()?,
            };
            let mut scores: Vec<(usize, T)> = order.into_iter().zip(scores.into_iter().flatten()).collect();
            scores.sort_unstable_by_key(|(at, _)| *at);
            Ok(scores.into_iter().map(|(_, score)| score).collect())
        })
    }
}

fn age_in_days(from: Timestamp, now: Timestamp) -> u64 {
    // Fractions of a second count: without them the last one of a day would make it whole.
    let fraction = now.subsec_nanosecond() - from.subsec_nanosecond();
    let elapsed = now.as_second() - from.as_second() + i64::from(fraction.div_euclid(1_000_000_000));
    u64::try_from(elapsed / SECONDS_PER_DAY).unwrap_or(0)
}

fn factor(age_days: u64) -> f64 {
    0.5f64.powf(age_days as f64 / HALF_LIFE_DAYS)
}

fn units(kind: CredentialType, age_days: u64) -> i64 {
    units_at(kind, factor(age_days))
}

fn units_at(kind: CredentialType, factor: f64) -> i64 {
    (f64::from(kind.weight_in_thousandths()) * UNITS_PER_THOUSANDTH * factor).round() as i64
}

/// This share of an amount.
fn part(units: i64, share: f64) -> i64 {
    (units as f64 * share).round() as i64
}

fn in_points(units: i64) -> f64 {
    units as f64 / UNITS as f64
}
