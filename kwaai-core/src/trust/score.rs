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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{Span, Timestamp};
use rayon::prelude::*;

use super::TrustGraph;
use super::credential::{Credential, CredentialSummary, CredentialType, Validity};
use super::endorsement::{MAX_ENDORSED, answer_for, worth};
use super::experience::{Evidence, Experience};
use super::policy::Tier;
use super::propagation::recommended;
use super::reputation::State;
use super::status_list::{Status, StatusLists, UNKNOWN_STATUS_SHARE};
use super::succession::{Place, Successions};
use super::threshold::Thresholds;
use crate::Result;
use crate::identity::Did;
use facts::{Facts, FactsTable, Keys};

pub use blend::{Blend, HYSTERESIS, PRIOR_ANSWERS, blend};

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
    /// What recommenders say, worth at most three answers; `None` when nobody who is believed says anything.
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
        let credentials: Vec<Credential> = texts.iter().map(|text| self.verify(text)).collect::<Result<_>>()?;
        credentials.iter().try_for_each(|credential| self.refuse_withdrawn(credential.id()))?;
        let summaries = credentials.iter().map(|credential| credential.summary().clone()).collect();
        self.wallet.keep_all(credentials).await?;
        Ok(summaries)
    }

    /// The scores of several peers, in their order and from one view of the database: faster than one by one, and
    /// consistent with each other.
    pub fn scores(&self, peers: &[Did]) -> Result<Vec<Score>> {
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
                    own: BTreeMap::new(),
                    endorsers: BTreeMap::new(),
                })
            };
            // In the order of their rows, so that pages are read one after the other.
            let mut order: Vec<usize> = (0..peers.len()).collect();
            order.sort_unstable_by_key(|at| peers[*at].public_key());
            let batch = |batch: &[usize]| -> Result<Vec<Score>> {
                let mut judge = judge()?;
                batch.iter().map(|at| judge.score(&peers[*at], &state)).collect()
            };
            let scores = match order.len() {
                // Waking other threads takes longer than a few peers do.
                0..=BATCH => vec![batch(&order)?],
                _ => order.par_chunks(BATCH).map(batch).collect::<Result<_>>()?,
            };
            let mut scores: Vec<(usize, Score)> = order.into_iter().zip(scores.into_iter().flatten()).collect();
            scores.sort_unstable_by_key(|(at, _)| *at);
            Ok(scores.into_iter().map(|(_, score)| score).collect())
        })
    }
}

/// What one view of the database and one instant say.
struct Judge<'graph> {
    graph: &'graph TrustGraph,
    table: &'graph FactsTable,
    lists: StatusLists,
    successions: Successions,
    trusted: &'graph BTreeMap<Did, Vec<CredentialType>>,
    thresholds: &'graph Thresholds,
    now: Timestamp,
    keys: Keys,
    /// What peers have from credentials of named issuers, endorsements left out, found once.
    own: BTreeMap<Did, f64>,
    /// The worth of endorsers, found once.
    endorsers: BTreeMap<Did, f64>,
}

/// One credential, weighed.
struct Weighed<'row> {
    facts: &'row Facts,
    issuer: Did,
    age_days: u64,
    factor: f64,
    share: f64,
    /// What it adds, in units.
    amount: i64,
    verdict: Verdict<Word>,
    /// It counts, or a better one of its type does.
    sound: bool,
    /// Why it counts half.
    doubt: Option<String>,
}

/// What counts, or why it does not.
type Verdict<T> = std::result::Result<T, Cow<'static, str>>;

/// What the credentials that count add up to.
struct Sum {
    credentials: i64,
    endorsements: i64,
}

impl Judge<'_> {
    fn score(&mut self, peer: &Did, state: &State) -> Result<Score> {
        // A peer has what its earlier keys had. Its person and its organisation lend a node what others say of them, not what they
        // say themselves.
        let mut circle = vec![*peer];
        let replaced = match self.successions.place(peer)? {
            Place::Newest(older) => {
                circle.extend(older);
                None
            }
            Place::Replaced(by) => Some(format!("the peer replaced this key by {by}")),
        };
        let keys = circle.len();
        let mut all = circle.iter().map(|key| self.table.about(key.public_key())).collect::<Result<Vec<_>>>()?;
        // Links are read from the credentials themselves, which takes long; few peers have any.
        for at in 0..keys {
            if all[at].iter().any(|facts| facts.kind == Some(CredentialType::Binding)) {
                for identity in self.graph.bound_identities(&circle[at])? {
                    for key in self.successions.all_of(&identity)? {
                        if !circle.contains(&key) {
                            all.push(self.table.about(key.public_key())?);
                            circle.push(key);
                        }
                    }
                }
            }
        }
        let mut weighed = Vec::with_capacity(all.iter().map(Vec::len).sum());
        for (subject, facts) in circle.iter().zip(&all) {
            for facts in facts {
                weighed.push(self.weigh(facts, subject, &circle, state)?);
            }
        }
        if let Some(why) = &replaced {
            for one in &mut weighed {
                (one.verdict, one.sound, one.doubt) = (Err(why.clone().into()), false, None);
            }
        }
        let keys = if replaced.is_some() { &[] } else { &circle[..keys] };
        let sum = settle(&mut weighed);
        let heard = self.heard(keys, state)?;
        let seen = seen(keys, state);
        let credentials = in_points(sum.credentials);
        let own = seen.evidence(self.now);
        let standing = seen.standing(self.now);
        let Blend { value, lower_bound, expectation } = blend(credentials, own, heard, standing);
        let tier = blend::tier(lower_bound, |done| self.replay(&weighed, &seen, heard, done));
        let kept = |evidence: Evidence| (evidence.total() > 0.0).then_some(evidence);
        Ok(Score {
            value,
            lower_bound,
            tier,
            expectation,
            parts: ScoreParts {
                credentials,
                endorsements: in_points(sum.endorsements),
                experience: kept(own),
                recommended: kept(heard),
                standing,
            },
            reasons: weighed.into_iter().map(Weighed::into_reason).collect(),
        })
    }

    /// What recommenders say about the newest of a peer's keys that any of them speaks of.
    fn heard(&mut self, keys: &[Did], state: &State) -> Result<Evidence> {
        let Some((weights, word)) = state.weighed() else { return Ok(Evidence::default()) };
        let others = match self.successions.is_empty() {
            true => Cow::Borrowed(weights),
            false => Cow::Owned(self.others(keys, weights)?),
        };
        for key in keys {
            let mut failed = None;
            let heard = recommended(&others, word, *key, |recommender| {
                self.is_stranger(&recommender, state).unwrap_or_else(|error| {
                    failed = Some(error);
                    true
                })
            });
            if let Some(error) = failed {
                return Err(error);
            }
            if heard.total() > 0.0 {
                return Ok(heard);
            }
        }
        Ok(Evidence::default())
    }

    /// The recommenders that are neither this peer, under whatever key, nor keys that were replaced.
    fn others(&self, keys: &[Did], weights: &BTreeMap<Did, f64>) -> Result<BTreeMap<Did, f64>> {
        let mut others = BTreeMap::new();
        for (recommender, weight) in weights.iter().filter(|(recommender, _)| !keys.contains(recommender)) {
            if matches!(self.successions.place(recommender)?, Place::Newest(_)) {
                others.insert(*recommender, *weight);
            }
        }
        Ok(others)
    }

    /// Walks back through the instants at which the lower bound turned, to the one at which the oldest credential that is sound
    /// came into force, and shows the bound at each until `done`. A credential that a better one of its type replaced counted
    /// until then.
    fn replay(&self, weighed: &[Weighed<'_>], seen: &Experience, heard: Evidence, done: &mut dyn FnMut(f64) -> bool) {
        let sound: Vec<(Timestamp, CredentialType, &Weighed<'_>)> = weighed
            .iter()
            .filter(|one| one.sound)
            .filter_map(|one| Some((one.facts.valid_from?, one.facts.kind?, one)))
            .collect();
        let first = sound.iter().map(|(from, ..)| *from).min();
        let mut instants =
            if seen.is_empty() { Vec::new() } else { seen.turns(first.unwrap_or(Timestamp::MIN), self.now) };
        for (from, ..) in &sound {
            instants.push(*from);
            // What was there before it was at its least then.
            instants.extend(from.checked_sub(Span::new().nanoseconds(1)).ok().filter(|_| Some(*from) != first));
        }
        instants.sort_unstable_by(|a, b| b.cmp(a));
        instants.dedup();
        for instant in instants {
            let mut best: BTreeMap<CredentialType, i64> = BTreeMap::new();
            for (from, kind, one) in sound.iter().filter(|(from, ..)| *from <= instant) {
                let amount = best.entry(*kind).or_default();
                *amount = match kind {
                    // Endorsements are taken for what they are worth now: an endorser's past is not reckoned again.
                    CredentialType::PeerEndorsement if one.verdict.is_ok() => *amount + one.amount,
                    CredentialType::PeerEndorsement => *amount,
                    _ => part(units(*kind, age_in_days(*from, instant)), one.share).max(*amount),
                };
            }
            let credentials = in_points(best.values().sum::<i64>().min(UNITS));
            let then = blend(credentials, seen.evidence(instant), heard, seen.standing(instant));
            if done(then.lower_bound) {
                break;
            }
        }
    }

    fn weigh<'row>(
        &mut self,
        facts: &'row Facts,
        subject: &Did,
        circle: &[Did],
        state: &State,
    ) -> Result<Weighed<'row>> {
        let issuer = self.keys.did(&facts.issuer)?;
        let age_days = facts.valid_from.map_or(0, |from| age_in_days(from, self.now));
        let mut share = 1.0;
        let mut doubt = None;
        let mut verdict = self.admissible(facts, subject, circle, &issuer);
        match verdict {
            Ok(Word::Named) if facts.kind == Some(CredentialType::PeerEndorsement) => {
                share = answer_for(self.endorsed(&self.successions.held_by(&issuer)?, state)?);
            }
            Ok(Word::Peer) => {
                share = self.worth_of(&issuer, state)?;
                if share <= 0.0 {
                    verdict = Err("this node does not trust its issuer for PeerEndorsementVC".into());
                }
            }
            Ok(Word::Named) | Err(_) => {}
        }
        if verdict.is_ok() {
            match self.withdrawn(&issuer, facts)? {
                Ok(None) => {}
                Ok(Some(why)) => {
                    share *= UNKNOWN_STATUS_SHARE;
                    doubt = Some(why);
                }
                Err(why) => verdict = Err(why),
            }
        }
        if verdict.is_err() {
            share = 1.0;
        }
        let factor = factor(age_days);
        let amount = facts.kind.map_or(0, |kind| part(units_at(kind, factor), share));
        let sound = verdict.is_ok();
        Ok(Weighed { facts, issuer, age_days, factor, share, amount, verdict, sound, doubt })
    }

    /// Whether the issuer withdrew a credential, and why that is not known where it is not.
    fn withdrawn(&mut self, issuer: &Did, facts: &Facts) -> Result<Verdict<Option<String>>> {
        if !facts.revocable {
            return Ok(Ok(None));
        }
        let status = if facts.status.is_empty() {
            // Its entries could not be noted: what is wrong with them is found in the credential.
            self.graph.status(&self.graph.wallet.get(&facts.credential_id())?)?
        } else {
            self.lists.status(issuer, &facts.status)?
        };
        Ok(match status {
            Status::Revoked => Err("its issuer revoked it".into()),
            Status::Suspended => Err("its issuer suspended it".into()),
            Status::Unknown { why } => Ok(Some(why)),
            Status::NotRevocable | Status::Clear { .. } => Ok(None),
        })
    }

    fn admissible(&self, facts: &Facts, subject: &Did, circle: &[Did], issuer: &Did) -> Verdict<Word> {
        let kind = facts.kind.filter(|kind| kind.weight_in_thousandths() > 0).ok_or("its type has no weight")?;
        if issuer == subject {
            return Err("its subject issued it".into());
        }
        if circle.contains(issuer) {
            return Err("the peer, or whom it is linked to, issued it".into());
        }
        let word = match self.trusted.get(issuer) {
            Some(types) if types.contains(&kind) => Word::Named,
            _ if kind == CredentialType::PeerEndorsement => Word::Peer,
            _ => return Err(format!("this node does not trust its issuer for {kind}").into()),
        };
        let from = facts.valid_from.ok_or("it has no validFrom to count its age from")?;
        match facts.validity(self.now) {
            Validity::NotYet => return Err(format!("it holds only from {from} on").into()),
            Validity::Expired => return Err("it has expired".into()),
            Validity::InForce => {}
        }
        if let Some(until) = facts.proof_until.filter(|until| *until <= self.now) {
            return Err(format!("its proof does not hold: the proof expired at {until}").into());
        }
        // What the peer announces now is not stored, so that a rate is not compared with it here.
        self.thresholds.judge(kind, facts.reported.as_ref(), None)?;
        Ok(word)
    }

    /// What an endorsement by a peer that is no named issuer is worth: its score from credentials of named issuers and from
    /// own experience, times how it answers for what it endorsed.
    fn worth_of(&mut self, endorser: &Did, state: &State) -> Result<f64> {
        if let Some(known) = self.endorsers.get(endorser) {
            return Ok(*known);
        }
        let credentials = self.own_credentials(endorser)?;
        let keys = self.successions.held_by(endorser)?;
        let seen = seen(&keys, state);
        let (own, standing) = (seen.evidence(self.now), seen.standing(self.now));
        let score = blend(credentials, own, Evidence::default(), standing).lower_bound;
        let found = if score > 0.0 {
            let mut endorsed = 0;
            for key in &keys {
                endorsed += self.table.endorsed_by(key.public_key(), MAX_ENDORSED + 1)?.len();
            }
            worth(score, answer_for(self.endorsed(&keys, state)?), endorsed)
        } else {
            0.0
        };
        self.endorsers.insert(*endorser, found);
        Ok(found)
    }

    /// What a peer has from credentials of named issuers, endorsements left out.
    fn own_credentials(&mut self, peer: &Did) -> Result<f64> {
        if let Some(known) = self.own.get(peer) {
            return Ok(*known);
        }
        let mut best: BTreeMap<CredentialType, i64> = BTreeMap::new();
        let keys = self.successions.held_by(peer)?;
        let mut all = Vec::new();
        for key in &keys {
            all.extend(self.table.about(key.public_key())?);
        }
        for facts in all {
            let issuer = self.keys.did(&facts.issuer)?;
            if let (Some(kind), Some(from), Ok(Word::Named)) =
                (facts.kind, facts.valid_from, self.admissible(&facts, peer, &keys, &issuer))
                && kind != CredentialType::PeerEndorsement
                && let Ok(doubt) = self.withdrawn(&issuer, &facts)?
            {
                let share = if doubt.is_some() { UNKNOWN_STATUS_SHARE } else { 1.0 };
                let amount = best.entry(kind).or_default();
                *amount = part(units(kind, age_in_days(from, self.now)), share).max(*amount);
            }
        }
        let found = in_points(best.values().sum::<i64>().min(UNITS));
        self.own.insert(*peer, found);
        Ok(found)
    }

    /// Whether a recommender has neither credentials that make it known nor a history with this node.
    fn is_stranger(&mut self, recommender: &Did, state: &State) -> Result<bool> {
        Ok(state.experience(recommender).is_none() && Tier::of(self.own_credentials(recommender)?) == Tier::Unknown)
    }

    /// This node's experience with the peers that an endorser endorsed, under all its keys.
    fn endorsed(&mut self, endorser: &[Did], state: &State) -> Result<Vec<Evidence>> {
        let mut found = Vec::new();
        if state.has_experience() {
            for by in endorser {
                for key in self.table.endorsed_by(by.public_key(), MAX_ENDORSED)? {
                    found.extend(state.experience(&self.keys.did(&key)?).map(|seen| seen.evidence(self.now)));
                }
            }
        }
        Ok(found)
    }
}

/// This node's experience with a peer under all its keys.
fn seen<'state>(keys: &[Did], state: &'state State) -> Cow<'state, Experience> {
    let mut found = keys.iter().filter_map(|key| state.experience(key));
    let Some(first) = found.next() else { return Cow::Owned(Experience::default()) };
    found.fold(Cow::Borrowed(first), |mut all, older| {
        all.to_mut().merge(older);
        all
    })
}

/// Whose word a credential is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    /// An issuer's that this node named for the type.
    Named,
    /// An endorsement by somebody else.
    Peer,
}

impl Word {
    fn why(self) -> &'static str {
        match self {
            Word::Named => "its proof holds, and this node trusts its issuer for this type",
            Word::Peer => "its proof holds, and its issuer has a score of its own",
        }
    }
}

/// Lets of each type the best count, and fills what is left for endorsements with those of peers; orders them for people.
fn settle(weighed: &mut [Weighed<'_>]) -> Sum {
    let by_peer = |one: &Weighed| matches!(one.verdict, Ok(Word::Peer));
    weighed.sort_by(|a, b| {
        b.verdict
            .is_ok()
            .cmp(&a.verdict.is_ok())
            .then(by_peer(a).cmp(&by_peer(b)))
            .then(b.amount.cmp(&a.amount))
            .then(a.facts.id.cmp(&b.facts.id))
    });
    let mut best: Vec<CredentialType> = Vec::new();
    let mut endorsers: BTreeSet<Did> = BTreeSet::new();
    let mut sum = Sum { credentials: 0, endorsements: 0 };
    let full = units(CredentialType::PeerEndorsement, 0);
    for one in weighed.iter_mut().filter(|one| one.verdict.is_ok()) {
        let Some(kind) = one.facts.kind else { continue };
        if by_peer(one) {
            if !endorsers.insert(one.issuer) {
                one.verdict = Err("its issuer endorses this peer already".into());
            } else if sum.endorsements >= full {
                one.verdict = Err("endorsements add no more than 0.05 together".into());
            } else {
                one.amount = one.amount.min(full - sum.endorsements);
                sum.endorsements += one.amount;
            }
        } else if best.contains(&kind) {
            one.verdict = Err("a better credential of this type counts already".into());
        } else {
            best.push(kind);
            let part =
                if kind == CredentialType::PeerEndorsement { &mut sum.endorsements } else { &mut sum.credentials };
            *part += one.amount;
        }
    }
    sum.credentials = (sum.credentials + sum.endorsements).min(UNITS);
    weighed.sort_by(|a, b| b.verdict.is_ok().cmp(&a.verdict.is_ok()).then(b.amount.cmp(&a.amount)));
    sum
}

impl Weighed<'_> {
    fn into_reason(self) -> Reason {
        let counted = self.verdict.is_ok();
        Reason {
            credential_id: self.facts.credential_id(),
            kind: self.facts.kind,
            issuer: self.issuer,
            weight: self.facts.kind.map_or(0.0, CredentialType::weight),
            age_days: self.age_days,
            factor: self.factor,
            share: self.share,
            contribution: in_points(self.amount),
            counted,
            why: match (self.verdict, self.doubt) {
                (Ok(word), Some(doubt)) => format!("{}; it counts half, because {doubt}", word.why()).into(),
                (Ok(word), None) => word.why().into(),
                (Err(why), _) => why,
            },
        }
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
