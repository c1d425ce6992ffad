//! Scoring one peer after the other, from one view of the database and at one instant.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{Span, Timestamp};

use super::super::TrustGraph;
use super::super::binding::Links;
use super::super::credential::{CredentialType, Validity};
use super::super::endorsement::{ENDORSEMENT_BUDGET, MAX_ENDORSED, answer_for, worth};
use super::super::experience::{Evidence, Experience};
use super::super::policy::Tier;
use super::super::propagation::{Heard, recommended};
use super::super::reputation::State;
use super::super::status_list::{Status, StatusLists, UNKNOWN_STATUS_SHARE};
use super::super::succession::{Place, Successions};
use super::super::threshold::Thresholds;
use super::blend::{self, Blend, blend};
use super::facts::{Facts, FactsTable, Keys};
use super::weighed::{Verdict, Weighed, Word, settle};
use super::{Score, ScoreParts, UNITS, age_in_days, factor, in_points, part, units, units_at};
use crate::identity::Did;
use crate::{ErrorCode, Result};

/// Of so many peers whom one endorses it is looked up whether the endorsement holds.
const MAX_LOOKED_AT: usize = 16 * MAX_ENDORSED;

/// What one view of the database and one instant say.
pub(super) struct Judge<'graph> {
    pub(super) graph: &'graph TrustGraph,
    pub(super) table: &'graph FactsTable,
    pub(super) lists: StatusLists,
    pub(super) successions: Successions,
    pub(super) trusted: &'graph BTreeMap<Did, Vec<CredentialType>>,
    pub(super) thresholds: &'graph Thresholds,
    pub(super) now: Timestamp,
    pub(super) keys: Keys,
    /// The recommenders that may speak, where that is not all who have a weight.
    pub(super) voices: Option<&'graph BTreeMap<Did, f64>>,
    /// What peers have from credentials of named issuers, endorsements left out, found once.
    pub(super) own: BTreeMap<Did, f64>,
    /// The worth of endorsers, found once.
    pub(super) endorsers: BTreeMap<Did, f64>,
}

impl Judge<'_> {
    pub(super) fn score(&mut self, peer: &Did, state: &State) -> Result<Score> {
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
        for at in 0..keys {
            if all[at].iter().any(|facts| facts.link.is_some()) {
                for identity in self.links().followed(&circle[at])? {
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
                weighed.push(self.weigh(facts, subject, circle.split_at(keys), state)?);
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
        let seen = seen(keys, state, self.now);
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
                recommended: kept(heard.evidence),
                standing,
            },
            reasons: weighed.into_iter().map(Weighed::into_reason).collect(),
        })
    }

    fn links(&mut self) -> Links<'_> {
        Links { table: self.table, lists: &mut self.lists, keys: &mut self.keys, now: self.now }
    }

    /// What recommenders say about the newest of a peer's keys that any of them speaks of.
    fn heard(&mut self, keys: &[Did], state: &State) -> Result<Heard> {
        let Some((weights, word)) = state.weighed() else { return Ok(Heard::default()) };
        // Nobody is heard about itself, under whatever key: of a peer's keys only the newest may speak at all.
        let voices = self.voices.unwrap_or(weights);
        let own = keys.first().filter(|newest| keys.len() > 1 && voices.contains_key(newest));
        let mut others = Cow::Borrowed(voices);
        if let Some(newest) = own {
            others.to_mut().remove(newest);
        }
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
            if heard.evidence.total() > 0.0 {
                return Ok(heard);
            }
        }
        Ok(Heard::default())
    }

    /// Walks back through the instants at which the lower bound turned, to the one at which the oldest credential that is sound
    /// came into force, and shows the bound at each until `done`. A credential that a better one of its type replaced counted
    /// until then.
    fn replay(&self, weighed: &[Weighed<'_>], seen: &Experience, heard: Heard, done: &mut dyn FnMut(f64) -> bool) {
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
        circle: (&[Did], &[Did]),
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
            match self.graph.wallet.get(&facts.credential_id()) {
                Ok(credential) => self.graph.status(&credential)?,
                Err(error) if error.code() == ErrorCode::NotFound => {
                    Status::Unknown { why: "it was removed just now".into() }
                }
                Err(error) => return Err(error),
            }
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

    /// `own` are the keys of the peer itself, `linked` those of whom it is linked to.
    fn admissible(&self, facts: &Facts, subject: &Did, (own, linked): (&[Did], &[Did]), issuer: &Did) -> Verdict<Word> {
        let kind = facts.kind.filter(|kind| kind.weight_in_thousandths() > 0).ok_or("its type has no weight")?;
        if issuer == subject {
            return Err("its subject issued it".into());
        }
        if own.contains(issuer) {
            return Err("the peer issued it".into());
        }
        let word = match self.trusted.get(issuer) {
            // Named for it, also where it is linked to the peer: a link, or a pledge more, lowers no score.
            Some(types) if types.contains(&kind) => Word::Named,
            _ if linked.contains(issuer) => return Err("whom the peer is linked to issued it".into()),
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
        if facts.malformed {
            return Err("what it claims cannot be meant".into());
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
        let score = self.without_others(endorser, state)?;
        let found = if score > 0.0 {
            let keys = self.successions.held_by(endorser)?;
            let mut endorsed = 0;
            for key in &keys {
                endorsed += self.endorses(key)?;
            }
            worth(score, answer_for(self.endorsed(&keys, state)?), endorsed)
        } else {
            0.0
        };
        self.endorsers.insert(*endorser, found);
        Ok(found)
    }

    /// How many peers an endorser endorses now. Those of which it says so no more do not divide what its word is worth.
    fn endorses(&self, endorser: &Did) -> Result<usize> {
        let all = self.table.endorsed_by(endorser.public_key(), MAX_LOOKED_AT)?;
        if all.len() <= ENDORSEMENT_BUDGET {
            return Ok(all.len());
        }
        let mut count = 0;
        for peer in &all {
            let holds = |facts: &Facts| {
                facts.kind == Some(CredentialType::PeerEndorsement)
                    && facts.issuer == *endorser.public_key()
                    && facts.validity(self.now) == Validity::InForce
            };
            count += usize::from(self.table.about(peer)?.iter().any(holds));
            if count > MAX_ENDORSED {
                break;
            }
        }
        Ok(count)
    }

    /// The lower bound of what a peer has from credentials of named issuers and from own experience: without endorsements, links
    /// and what others say.
    pub(super) fn without_others(&mut self, peer: &Did, state: &State) -> Result<f64> {
        let credentials = self.own_credentials(peer)?;
        let seen = seen(&self.successions.held_by(peer)?, state, self.now);
        Ok(blend(credentials, seen.evidence(self.now), Heard::default(), seen.standing(self.now)).lower_bound)
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
                (facts.kind, facts.valid_from, self.admissible(&facts, peer, (&keys, &[]), &issuer))
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
fn seen<'state>(keys: &[Did], state: &'state State, now: Timestamp) -> Cow<'state, Experience> {
    let mut found = keys.iter().filter_map(|key| state.experience(key));
    let Some(first) = found.next() else { return Cow::Owned(Experience::default()) };
    found.fold(Cow::Borrowed(first), |mut all, older| {
        all.to_mut().merge(older, now);
        all
    })
}
