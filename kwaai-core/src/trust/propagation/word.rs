//! What others say about a peer, and how much of it this node believes.
//!
//! A recommender is believed as far as it agrees with what this node saw itself: with d, the mean distance between its word
//! and this node's over the peers that both judged, it weighs max(0, 1 - slope × d)². The distance over those peers that
//! disappointed this node is reckoned by itself too, one agreement being supposed beforehand, and the greater of the two
//! counts: most peers are honest, so that who repeats what everybody says agrees about most of them, and misleads about the
//! few that matter. One with whom this node shares
//! fewer than two peers is compared with the 16 heaviest of the recommenders that have a weight already, and weighs half the mean of
//! what that gives; there it ends. So a liar needs to be right about
//! what this node can check, and gains no more than one honest voice by it.

use std::collections::BTreeMap;

use crate::trust::experience::Evidence;

/// With fewer peers that both judged, two voices cannot be compared.
pub const MIN_COMMON: usize = 2;

/// The evidence of one recommender about one peer counts as at most so many answers: who claims a hundred is heard no louder
/// than who saw one.
pub const RECOMMENDER_CAP: f64 = 1.0;

/// All recommendations of a peer together count as at most so many answers in its score.
pub const RECOMMENDED_CAP: f64 = 5.0;

/// All good answers that recommenders report of a peer together count as at most so many when peers are chosen.
pub const PRAISE_CAP: f64 = 10.0;

/// All bad answers that recommenders report of a peer together count as at most so many when peers are chosen.
pub const WARNINGS_CAP: f64 = 2.0;

/// What strangers recommend counts as at most so many answers, all of them together.
pub const STRANGERS_CAP: f64 = 1.0;

/// The least weight of a recommender whose endorsements this node trusts by decree.
const ANCHOR_WEIGHT: f64 = 0.8;

/// A voice that this node cannot compare is compared with so many others, the heaviest that it can be compared with.
const MAX_COMPARED: usize = 16;

/// What a voice loses at each hop.
const HOP: f64 = 0.5;

/// What a distance between two opinions costs: none is left at a quarter.
const SLOPE: f64 = 4.0;

/// What the recommenders say about a peer, all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Heard {
    /// What moves the score: at most [`RECOMMENDED_CAP`] answers, good and bad ones in the proportion in which they were reported.
    pub evidence: Evidence,
    /// What moves the choice among peers: at most [`PRAISE_CAP`] good answers and [`WARNINGS_CAP`] bad ones, each kind by itself.
    /// A crowd that praises its own does not drown the warnings of those whom these deceived.
    pub choice: Evidence,
}

impl From<Evidence> for Heard {
    fn from(said: Evidence) -> Heard {
        let choice = Evidence { good: said.good.min(PRAISE_CAP), bad: said.bad.min(WARNINGS_CAP) };
        Heard { evidence: capped(said, RECOMMENDED_CAP), choice }
    }
}

/// How much each recommender's word counts, from 0 to 1, those without weight left out.
///
/// `own` is this node's evidence of the peers that it dealt with; `word` is what each recommender says; `anchor` tells
/// whether this node named a recommender as one whose word counts, whose weight is then at least 0.8. Without own evidence
/// of two peers nobody is believed, because nobody can be compared. The result depends on nothing else and not on order.
pub fn recommender_weights<K: Ord + Copy>(
    own: &BTreeMap<K, Evidence>,
    word: &BTreeMap<K, BTreeMap<K, Evidence>>,
    anchor: impl Fn(K) -> bool,
) -> BTreeMap<K, f64> {
    if own.values().filter(|evidence| evidence.total() > 0.0).count() < MIN_COMMON {
        return BTreeMap::new();
    }
    let mut direct: BTreeMap<K, f64> = BTreeMap::new();
    let mut unmet: Vec<K> = Vec::new();
    for (recommender, said) in word {
        let floor = if anchor(*recommender) { ANCHOR_WEIGHT } else { 0.0 };
        match agreement(own, said, *recommender) {
            Some(weight) => drop(direct.insert(*recommender, weight.max(floor))),
            None if floor > 0.0 => drop(direct.insert(*recommender, floor)),
            None => unmet.push(*recommender),
        }
    }
    direct.retain(|_, weight| *weight > 0.0);
    let mut weights = direct.clone();
    let mut heaviest: Vec<(f64, K)> = direct.into_iter().map(|(recommender, weight)| (weight, recommender)).collect();
    heaviest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for recommender in unmet {
        let said = &word[&recommender];
        // The mean, because among many there is one that was unlucky with the few that both judged.
        let compared: Vec<f64> = heaviest
            .iter()
            .filter_map(|(weight, other)| Some(weight * agreement(&word[other], said, recommender)?))
            .take(MAX_COMPARED)
            .collect();
        let mean = compared.iter().sum::<f64>() / compared.len().max(1) as f64;
        if mean > 0.0 {
            weights.insert(recommender, HOP * mean);
        }
    }
    weights
}

/// What the recommenders say about a peer: their evidence, each cut to [`RECOMMENDER_CAP`] answers and weighed. What those say whom `stranger` names, who have neither credentials nor a
/// history with this node, comes to [`STRANGERS_CAP`] answers at most, so that a million of them gain what one does.
pub fn recommended<K: Ord + Copy>(
    weights: &BTreeMap<K, f64>,
    word: &BTreeMap<K, BTreeMap<K, Evidence>>,
    about: K,
    mut stranger: impl FnMut(K) -> bool,
) -> Heard {
    let (mut known, mut strange) = (Evidence::default(), Evidence::default());
    // Nobody is heard about itself.
    for (recommender, weight) in weights.iter().filter(|(recommender, _)| **recommender != about) {
        let said = word.get(recommender).and_then(|said| said.get(&about)).filter(|said| said.total() > 0.0);
        if let Some(said) = said {
            let heard = capped(*said, RECOMMENDER_CAP).times(*weight);
            let sum = if stranger(*recommender) { &mut strange } else { &mut known };
            *sum = sum.and(heard);
        }
    }
    known.and(capped(strange, STRANGERS_CAP)).into()
}

fn capped(evidence: Evidence, cap: f64) -> Evidence {
    if evidence.total() > cap { evidence.times(cap / evidence.total()) } else { evidence }
}

/// How well a voice agrees with a judge over the peers that both judged, from 0 to 1; `None` when those are fewer than
/// [`MIN_COMMON`]. What the voice says about `except` does not count: that is the voice itself.
fn agreement<K: Ord + Copy>(judge: &BTreeMap<K, Evidence>, said: &BTreeMap<K, Evidence>, except: K) -> Option<f64> {
    let fewer = if judge.len() <= said.len() { judge } else { said };
    let (mut all, mut bad) = (Distances::default(), Distances::default());
    for peer in fewer.keys().filter(|peer| **peer != except) {
        let (Some(seen), Some(told)) = (judge.get(peer), said.get(peer)) else { continue };
        if seen.total() > 0.0 && told.total() > 0.0 {
            let distance = apart(*seen, *told);
            all.add(distance);
            if seen.bad > seen.good {
                bad.add(distance);
            }
        }
    }
    let distance = all.mean(0.0).max(bad.mean(1.0));
    (all.count >= MIN_COMMON).then(|| (1.0 - SLOPE * distance).max(0.0).powi(2))
}

#[derive(Default)]
struct Distances {
    count: usize,
    sum: f64,
}

impl Distances {
    fn add(&mut self, distance: f64) {
        self.count += 1;
        self.sum += distance;
    }

    /// The mean, with so many distances of 0 supposed beforehand.
    fn mean(&self, supposed: f64) -> f64 {
        self.sum / (self.count as f64 + supposed).max(1.0)
    }
}

/// How far two opinions of one peer lie apart beyond what chance explains, from 0 to 1: the distance of their means less one
/// standard deviation of it, the variance of a mean being mean × (1 - mean) / (total + 3). Two honest voices that saw a few answers
/// each are not held against each other.
fn apart(one: Evidence, other: Evidence) -> f64 {
    let variance = |evidence: Evidence| evidence.mean() * (1.0 - evidence.mean()) / (evidence.total() + 3.0);
    ((one.mean() - other.mean()).abs() - (variance(one) + variance(other)).sqrt()).max(0.0)
}
