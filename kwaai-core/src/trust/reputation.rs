//! What this node measures of its peers, and what they say about each other, kept in its database.
//!
//! Both are gathered in memory and written in batches: after [`FLUSH_COUNT`] changes, after [`FLUSH_AFTER`] on the node's
//! clock, on [`TrustGraph::flush`], and when the last graph on a database is dropped. All graphs on one database share one buffer, so that
//! what one of them noted counts for the others at once.

mod global;
mod table;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::TrustGraph;
use super::experience::{Evidence, Experience, Observation, day_of, decay};
use super::propagation::recommender_weights;
use crate::identity::Did;
use crate::store::Store;
use crate::{Error, Result};

pub use global::{DEFAULT_ALPHA, GlobalTrust, MIN_ALPHA};

/// So many changes are written together at the latest.
pub const FLUSH_COUNT: usize = 256;

/// Changes are written when a further one comes so long after the last batch.
pub const FLUSH_AFTER: Duration = Duration::from_secs(30);

/// Experience is kept with so many peers; after that those of whom it says least are forgotten first.
pub const MAX_EXPERIENCED: usize = 16_384;

/// So many recommendations are kept; after that those of strangers go first, the oldest of them before others.
pub const MAX_RECOMMENDATIONS: usize = 65_536;

/// So many recommendations are kept of one recommender.
pub const MAX_PER_RECOMMENDER: usize = 1_024;

/// No weight of a recommendation is greater.
pub(super) const MAX_WEIGHT: f64 = 1e9;

/// A recommendation may be dated so far ahead of the node's clock.
const MAX_AHEAD_SECONDS: i64 = 300;

/// Whether an instant lies further ahead than that. What is kept with such a date was taken by a clock that was put right since.
fn lies_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) > SignedDuration::from_secs(MAX_AHEAD_SECONDS)
}

/// What this node measured of a peer, weighed by age with a half-life of 30 days.
#[derive(Debug, Clone, PartialEq)]
pub struct Reputation {
    /// The peer.
    pub peer: Did,
    /// Good and bad answers.
    pub evidence: Evidence,
    /// The share of good answers, one good and one bad one being supposed beforehand.
    pub success: f64,
    /// Its lower bound at about 90 %; 0 without answers.
    pub success_lower_bound: f64,
    /// The weight of dealings that failed in transport.
    pub transport_faults: f64,
    /// The share of dealings that did not fail in transport; `None` without dealings.
    pub reliability: Option<f64>,
    /// The share of the days on which this node dealt with it that it answered on; `None` without dealings.
    pub uptime: Option<f64>,
    /// The mean time to an answer, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Delivered throughput over promised throughput, where both were measured.
    pub throughput: Option<f64>,
    /// 1, or less after many bad answers among the newest; see [`Experience::standing`].
    pub standing: f64,
    /// When the newest dealing ended.
    pub last: Timestamp,
}

/// What one peer says about another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recommendation {
    /// Whose word it is. The caller has checked that it is.
    pub recommender: Did,
    /// Whom it is about.
    pub about: Did,
    /// What it says it saw, as weights at `at`.
    pub evidence: Evidence,
    /// When it was said; it decays from here.
    pub at: Timestamp,
}

/// The word of one recommender about one peer, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Said {
    evidence: Evidence,
    at: Timestamp,
}

/// The word of every recommender.
pub(super) type Word = BTreeMap<Did, BTreeMap<Did, Evidence>>;

/// The experience and the recommendations of one graph and its clones.
pub(super) struct Ledger {
    store: Store,
    state: Mutex<State>,
    /// Held while a batch is written, so that batches reach the database in their order.
    writing: Mutex<()>,
}

pub(super) struct State {
    experience: BTreeMap<Did, Experience>,
    said: BTreeMap<Did, BTreeMap<Did, Said>>,
    recommendations: usize,
    pending: Pending,
    flushed: Option<Timestamp>,
    revision: u64,
    weighed: Option<Weighed>,
}

/// What has not been written yet: what was added to each peer's experience, and which words are new.
#[derive(Default)]
struct Pending {
    experience: BTreeMap<Did, Experience>,
    forgotten: BTreeSet<Did>,
    said: BTreeMap<(Did, Did), Option<Said>>,
    changes: usize,
}

/// The recommenders' weights, and for what state of things they hold.
struct Weighed {
    revision: u64,
    day: i64,
    anchors: BTreeSet<Did>,
    weights: BTreeMap<Did, f64>,
    word: Word,
}

impl Ledger {
    pub(super) fn open(store: Store) -> Result<Ledger> {
        let (experience, said) = table::load(&store)?;
        let recommendations = said.values().map(BTreeMap::len).sum();
        let state = State {
            experience,
            said,
            recommendations,
            pending: Pending::default(),
            flushed: None,
            revision: 0,
            weighed: None,
        };
        Ok(Ledger { store, state: Mutex::new(state), writing: Mutex::new(()) })
    }

    /// What is known now. A panic elsewhere leaves every entry whole, so a poisoned lock is taken all the same.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, now: Timestamp, work: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        let due = {
            let mut state = self.state();
            work(&mut state)?;
            state.revision += 1;
            state.pending.changes += 1;
            let since = *state.flushed.get_or_insert(now);
            state.pending.changes >= FLUSH_COUNT || now.duration_since(since).unsigned_abs() >= FLUSH_AFTER
        };
        if due { self.flush(now) } else { Ok(()) }
    }

    fn flush(&self, now: Timestamp) -> Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = {
            let mut state = self.state();
            state.flushed = Some(now);
            std::mem::take(&mut state.pending)
        };
        if pending.changes == 0 {
            return Ok(());
        }
        match table::write(&self.store, &pending, now) {
            Ok(merged) => {
                let mut state = self.state();
                for (peer, mut experience) in merged {
                    // What came in while the batch was written is in memory alone.
                    if let Some(later) = state.pending.experience.get(&peer) {
                        experience.merge(later, now);
                    }
                    if !state.pending.forgotten.contains(&peer) {
                        state.experience.insert(peer, experience);
                        state.revision += 1;
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.state().pending.restore(pending, now);
                Err(error)
            }
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // No clock is at hand, but what waits was noted by one: nothing of it may look as if it lay ahead.
        let now = {
            let state = self.state();
            let newest = state.pending.experience.values().filter_map(Experience::last).max();
            newest.max(state.flushed).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        if let Err(error) = self.flush(now) {
            tracing::warn!(%error, "the last observations of peers could not be written");
        }
    }
}

impl Pending {
    /// Takes back a batch that could not be written, under what has come since.
    fn restore(&mut self, earlier: Pending, now: Timestamp) {
        for (peer, experience) in earlier.experience {
            if !self.forgotten.contains(&peer) {
                self.experience.entry(peer).or_default().merge(&experience, now);
            }
        }
        self.forgotten.extend(earlier.forgotten);
        for (pair, said) in earlier.said {
            self.said.entry(pair).or_insert(said);
        }
        self.changes += earlier.changes;
    }
}

impl State {
    pub(super) fn experience(&self, peer: &Did) -> Option<&Experience> {
        self.experience.get(peer)
    }

    pub(super) fn has_experience(&self) -> bool {
        !self.experience.is_empty()
    }

    /// How much each recommender counts, and what each says, as found by [`weigh`](State::weigh).
    pub(super) fn weighed(&self) -> Option<(&BTreeMap<Did, f64>, &Word)> {
        self.weighed.as_ref().map(|kept| (&kept.weights, &kept.word))
    }

    /// Finds how much each recommender counts now; that is kept until something changes.
    pub(super) fn weigh(&mut self, anchors: &BTreeSet<Did>, now: Timestamp) {
        let day = day_of(now);
        let holds = |kept: &Weighed| kept.revision == self.revision && kept.day == day && kept.anchors == *anchors;
        if self.said.is_empty() {
            self.weighed = None;
            return;
        }
        if self.weighed.as_ref().is_some_and(holds) {
            return;
        }
        let own = self.experience.iter().map(|(peer, seen)| (*peer, seen.evidence(now))).collect();
        let word: Word = self
            .said
            .iter()
            .map(|(recommender, about)| {
                let now = about.iter().map(|(peer, said)| (*peer, said.evidence.times(decay(day - day_of(said.at)))));
                (*recommender, now.collect())
            })
            .collect();
        let weights = recommender_weights(&own, &word, |recommender| anchors.contains(&recommender));
        self.weighed = Some(Weighed { revision: self.revision, day, anchors: anchors.clone(), weights, word });
    }

    /// Makes room by forgetting a sixteenth of the peers: those of whom the experience weighs least, the longest unseen first.
    fn make_room(&mut self, now: Timestamp) {
        let mut order: Vec<(u64, Option<Timestamp>, Did)> = self
            .experience
            .iter()
            .map(|(peer, seen)| ((seen.evidence(now).total() * 1e6) as u64, seen.last().min(Some(now)), *peer))
            .collect();
        order.sort_unstable();
        for (_, _, peer) in order.into_iter().take(MAX_EXPERIENCED / 16) {
            self.forget(&peer);
        }
    }

    fn forget(&mut self, peer: &Did) -> bool {
        self.pending.experience.remove(peer);
        self.pending.forgotten.insert(*peer);
        self.experience.remove(peer).is_some()
    }

    fn make_room_for_words(&mut self, now: Timestamp) {
        let mut order: Vec<(bool, Timestamp, Did, Did)> = self
            .said
            .iter()
            .flat_map(|(recommender, about)| {
                let met = self.experience.contains_key(recommender);
                about.iter().map(move |(peer, said)| (met, said.at.min(now), *recommender, *peer))
            })
            .collect();
        order.sort_unstable();
        for (_, _, recommender, about) in order.into_iter().take(MAX_RECOMMENDATIONS / 16) {
            self.unsay(recommender, about);
        }
    }

    fn unsay(&mut self, recommender: Did, about: Did) {
        if let Some(words) = self.said.get_mut(&recommender) {
            if words.remove(&about).is_some() {
                self.recommendations -= 1;
                self.pending.said.insert((recommender, about), None);
            }
            if words.is_empty() {
                self.said.remove(&recommender);
            }
        }
    }

    fn reputation(&self, peer: &Did, now: Timestamp) -> Option<Reputation> {
        let seen = self.experience.get(peer)?;
        let evidence = seen.evidence(now);
        let measured = seen.measured(now);
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        Some(Reputation {
            peer: *peer,
            evidence,
            success: evidence.mean(),
            success_lower_bound: evidence.lower_bound(),
            transport_faults: measured.faults,
            reliability: share(evidence.total(), evidence.total() + measured.faults),
            uptime: share(measured.days_up, measured.days_seen),
            latency_ms: measured.latency_ms,
            throughput: share(measured.delivered, measured.promised),
            standing: seen.standing(now),
            last: seen.last()?.min(now),
        })
    }
}

impl TrustGraph {
    /// Notes how a dealing with a peer ended. It is in memory at once and in the database with the next batch; losing the process
    /// before that loses the batch.
    ///
    /// # Errors
    /// `invalid_argument` when a measurement is negative, above 10^9 or no number, or when the peer is this node itself;
    /// failures of the disk when a batch is due.
    pub fn record(&self, peer: &Did, observation: Observation) -> Result<()> {
        observation.check()?;
        if *peer == self.did() {
            return Err(Error::invalid_argument("a node has no experience with itself").with("argument", "peer"));
        }
        let now = self.clock.now();
        self.ledger.change(now, |state| {
            if !state.experience.contains_key(peer) && state.experience.len() >= MAX_EXPERIENCED {
                state.make_room(now);
            }
            state.experience.entry(*peer).or_default().add(&observation, now);
            state.pending.experience.entry(*peer).or_default().add(&observation, now);
            Ok(())
        })
    }

    /// What this node measured of a peer; `None` when it never dealt with it.
    pub fn reputation(&self, peer: &Did) -> Result<Option<Reputation>> {
        Ok(self.ledger.state().reputation(peer, self.clock.now()))
    }

    /// What this node measured of each peer that it dealt with, in the order of their keys.
    pub fn reputations(&self) -> Result<Vec<Reputation>> {
        let (state, now) = (self.ledger.state(), self.clock.now());
        Ok(state.experience.keys().filter_map(|peer| state.reputation(peer, now)).collect())
    }

    /// Forgets what this node measured of a peer, durably.
    ///
    /// # Errors
    /// `not_found` when it never dealt with it.
    pub fn reset_reputation(&self, peer: &Did) -> Result<()> {
        let now = self.clock.now();
        self.ledger.change(now, |state| match state.forget(peer) {
            true => Ok(()),
            false => Err(Error::not_found(format!("this node has no experience with {peer}"))),
        })?;
        self.ledger.flush(now)
    }

    /// Notes what one peer says about another, in place of what it said before. What a peer says about itself, and what anybody
    /// says about this node, changes nothing and is refused.
    ///
    /// # Errors
    /// `invalid_argument` when both are one peer, when it is about or from this node, when a weight is negative, above 10^9 or no number, or when
    /// it is dated more than five minutes ahead; `resource_exhausted` when [`MAX_PER_RECOMMENDER`] of this recommender are kept.
    pub fn add_recommendation(&self, recommendation: Recommendation) -> Result<()> {
        let Recommendation { recommender, about, evidence, at } = recommendation;
        let now = self.clock.now();
        if recommender == about || recommender == self.did() || about == self.did() {
            return Err(Error::invalid_argument("a recommendation is one peer's word about another peer"));
        }
        if [evidence.good, evidence.bad].iter().any(|weight| !(0.0..=MAX_WEIGHT).contains(weight)) {
            return Err(Error::invalid_argument("the weights of a recommendation lie from 0 to 10^9"));
        }
        if lies_ahead(at, now) {
            return Err(Error::invalid_argument(format!("the recommendation is dated {at}, which lies ahead")));
        }
        // What is kept in memory is what the database gives back, to the millisecond.
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(now);
        self.ledger.change(now, |state| {
            let words = state.said.get(&recommender);
            let known = words.is_some_and(|words| words.contains_key(&about));
            if !known && words.is_some_and(|words| words.len() >= MAX_PER_RECOMMENDER) {
                return Err(Error::resource_exhausted(format!(
                    "this node keeps {MAX_PER_RECOMMENDER} recommendations of {recommender} already"
                ))
                .with("limit", MAX_PER_RECOMMENDER));
            }
            if !known && state.recommendations >= MAX_RECOMMENDATIONS {
                state.make_room_for_words(now);
            }
            // Of two words of one peer the later one holds, whichever came first.
            let said = Said { evidence, at };
            let words = state.said.entry(recommender).or_default();
            match words.get(&about) {
                Some(kept) if kept.at > at && !lies_ahead(kept.at, now) => return Ok(()),
                Some(_) => {}
                None => state.recommendations += 1,
            }
            words.insert(about, said);
            state.pending.said.insert((recommender, about), Some(said));
            Ok(())
        })
    }

    /// The recommendations that this node keeps, in the order of the recommenders' keys.
    pub fn recommendations(&self) -> Result<Vec<Recommendation>> {
        let state = self.ledger.state();
        let all = state.said.iter().flat_map(|(recommender, words)| {
            words.iter().map(|(about, said)| Recommendation {
                recommender: *recommender,
                about: *about,
                evidence: said.evidence,
                at: said.at,
            })
        });
        Ok(all.collect())
    }

    /// Writes what was recorded and not written yet. Blocks the thread.
    ///
    /// # Errors
    /// Failures of the disk; nothing is lost then, and the next batch tries again.
    pub fn flush(&self) -> Result<()> {
        self.ledger.flush(self.clock.now())
    }
}
