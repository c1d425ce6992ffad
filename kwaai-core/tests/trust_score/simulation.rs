//! A network of peers that ask each other questions, after the query-cycle model of EigenTrust (Kamvar et al. 2003, §7).
//!
//! 105 peers, three of them pre-trusted, ask in cycles; each question is answered by some of the others, and the asker
//! takes one answer and learns whether it was right. After each cycle everybody tells everybody what it claims to have
//! seen. Every choice comes from one seed.

use std::collections::BTreeMap;

use jiff::{Span, Timestamp};
use kwaai_core::trust::propagation::{self, EigenTrust};
use kwaai_core::trust::{Blend, Evidence, Experience, Observation, Outcome, Tier, blend};

pub const PEERS: usize = 105;
pub const PRETRUSTED: usize = 3;
pub const MALICIOUS: usize = 42;
pub const CYCLES: usize = 30;
pub const QUERIES: usize = 50;

/// An honest peer is wrong so often.
const HONEST_ERROR: f64 = 0.05;

/// An honest peer and a malicious one can answer so many of the questions.
const HONEST_REACH: f64 = 0.15;
const MALICIOUS_REACH: f64 = 0.8;

/// What the credentials of everybody give who was there from the start, a pledge alone: the malicious have theirs too. Who comes
/// back under a new name has none.
const CREDENTIALS: f64 = 0.3;

/// Deterministic random numbers: SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without 1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.share() * bound as f64) as usize
    }
}

/// How the malicious behave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threat {
    /// A: wrong answers, and praise for one's own kind only as far as one dealt with it.
    Individuals { malicious: usize },
    /// B: wrong answers, and praise for the next of the collective.
    Collective { malicious: usize },
    /// C: a collective that answers rightly so often, to be trusted.
    Camouflage { honest_share: f64 },
    /// D: so many of the collective answer rightly all the time, and praise the others.
    Spies { spies: usize },
    /// Wrong answers under a new name each time after one was given.
    Whitewash,
    /// Right answers, and bad words about all that is honest.
    Slander,
    /// Right answers for so many cycles, then wrong ones, with praise for each other throughout.
    Turncoats { cycles: usize },
    /// Wrong answers to half of the askers and right ones to the others, whose word then misleads.
    TwoFaced,
    /// Wrong answers from peers who copy what everybody says together, except about each other, whom they praise.
    Mimics,
    /// As mimics, but with bad words about half of the honest.
    Accusers,
    /// Right answers and wrong ones for so many cycles in turn, with praise for each other throughout.
    Oscillators { cycles: usize },
    /// The first answer to each asker right and all later ones wrong, with praise for each other.
    Bait,
    /// The first answer under each name right and the second wrong, then a new name, with praise for each other.
    PatientWhitewash,
}

/// How an asker weighs those who can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Nothing,
    EigenTrust {
        alpha_percent: u32,
    },
    Ours,
    /// Ours, where nobody has any credentials.
    OursBare,
}

/// How an asker chooses by those weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// In proportion to them, and in one of ten questions among those without weight, as in the paper.
    Proportional,
    /// In proportion to their 24th power, and in one of fifty questions among all.
    Greedy,
}

/// What came of a run, counted in its second half.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outcomes {
    pub answers: u32,
    pub bad: u32,
    /// Answers taken from malicious peers.
    pub malicious: u32,
    /// Bad answers of the turncoats after their turn, and how many of them gave one.
    pub betrayals: u32,
}

impl Outcomes {
    pub fn bad_share(&self) -> f64 {
        f64::from(self.bad) / f64::from(self.answers.max(1))
    }

    pub fn malicious_share(&self) -> f64 {
        f64::from(self.malicious) / f64::from(self.answers.max(1))
    }
}

/// One peer's word about others.
type Claims = BTreeMap<u32, Evidence>;

pub struct Network {
    threat: Threat,
    random: Random,
    now: Timestamp,
    malicious: usize,
    spies: usize,
    /// The name under which each peer is known now; only whitewashers change theirs.
    names: Vec<u32>,
    next_name: u32,
    experience: Vec<BTreeMap<u32, Experience>>,
    word: BTreeMap<u32, Claims>,
}

impl Network {
    pub fn new(threat: Threat, seed: u64) -> Network {
        let (malicious, spies) = match threat {
            Threat::Individuals { malicious } | Threat::Collective { malicious } => (malicious, 0),
            Threat::Spies { spies } => (MALICIOUS, spies),
            _ => (MALICIOUS, 0),
        };
        Network {
            threat,
            random: Random(seed),
            now: "2026-06-01T00:00:00Z".parse().unwrap(),
            malicious,
            spies,
            names: (0..PEERS as u32).collect(),
            next_name: PEERS as u32,
            experience: vec![BTreeMap::new(); PEERS],
            word: BTreeMap::new(),
        }
    }

    /// The malicious are the last of the peers, the spies among them the very last.
    pub fn is_malicious(&self, peer: usize) -> bool {
        peer >= PEERS - self.malicious
    }

    fn is_spy(&self, peer: usize) -> bool {
        peer >= PEERS - self.spies
    }

    pub fn run(threat: Threat, metric: Metric, choice: Choice, seed: u64) -> Outcomes {
        Network::after(threat, metric, choice, seed).1
    }

    /// The network when all cycles have passed, and what came of them.
    pub fn after(threat: Threat, metric: Metric, choice: Choice, seed: u64) -> (Network, Outcomes) {
        let mut network = Network::new(threat, seed);
        let mut outcomes = Outcomes::default();
        for cycle in 0..CYCLES {
            let trust = network.global_trust(metric);
            for _ in 0..QUERIES {
                network.ask(cycle, metric, choice, &trust, &mut outcomes);
            }
            network.gossip();
            network.now += Span::new().hours(1);
        }
        (network, outcomes)
    }

    /// The share of pairs of honest peers of whom one gives the other a lower tier than it would if the malicious said nothing, where
    /// credentials put them just above each threshold and well above it in turn.
    pub fn moved_tiers(&self) -> f64 {
        let honest: Vec<usize> = (0..PEERS).filter(|peer| !self.is_malicious(*peer)).collect();
        let names: Vec<u32> = honest.iter().map(|peer| self.names[*peer]).collect();
        let truth: BTreeMap<u32, Claims> = names.iter().map(|name| (*name, self.word[name].clone())).collect();
        let credentials = |peer: u32| [0.12, 0.3, 0.42, 0.55, 0.72, 0.9][peer as usize % 6];
        let (mut pairs, mut moved) = (0u32, 0u32);
        for asker in &honest {
            let (told, spared) = (self.judge(*asker, &self.word, credentials), self.judge(*asker, &truth, credentials));
            for name in names.iter().filter(|name| **name != self.names[*asker]) {
                pairs += 1;
                moved += u32::from(Tier::of(told(*name).lower_bound) < Tier::of(spared(*name).lower_bound));
            }
        }
        f64::from(moved) / f64::from(pairs)
    }

    fn ask(&mut self, cycle: usize, metric: Metric, choice: Choice, trust: &[f64], outcomes: &mut Outcomes) {
        let asker = loop {
            let peer = self.random.below(PEERS);
            // What the malicious get for an answer is nobody's concern.
            if !self.is_malicious(peer) {
                break peer;
            }
        };
        let mut able: Vec<usize> = Vec::new();
        while able.is_empty() {
            for peer in 0..PEERS {
                let reach = if self.is_malicious(peer) { MALICIOUS_REACH } else { HONEST_REACH };
                if self.random.share() < reach && peer != asker {
                    able.push(peer);
                }
            }
        }
        let weights = self.weights(asker, &able, metric, trust);
        let chosen = able[self.choose(&weights, choice)];
        let good = self.answers_rightly(chosen, asker, cycle);
        let outcome = if good { Outcome::Good } else { Outcome::Bad };
        let (name, now) = (self.names[chosen], self.now);
        self.experience[asker].entry(name).or_default().add(&Observation::new(outcome, now), now);
        self.now += Span::new().seconds(1);
        if 2 * cycle >= CYCLES {
            outcomes.answers += 1;
            outcomes.bad += u32::from(!good);
            outcomes.malicious += u32::from(self.is_malicious(chosen));
        }
        if let Threat::Turncoats { cycles } = self.threat
            && self.is_malicious(chosen)
            && cycle >= cycles
        {
            outcomes.betrayals += 1;
        }
        let caught = match self.threat {
            Threat::Whitewash => true,
            Threat::PatientWhitewash => !good,
            _ => false,
        };
        if caught && self.is_malicious(chosen) {
            self.names[chosen] = self.next_name;
            self.next_name += 1;
        }
    }

    fn answers_rightly(&mut self, peer: usize, asker: usize, cycle: usize) -> bool {
        let roll = self.random.share();
        if !self.is_malicious(peer) || self.is_spy(peer) {
            return roll >= HONEST_ERROR;
        }
        match self.threat {
            Threat::Camouflage { honest_share } => roll < honest_share,
            Threat::Slander => roll >= HONEST_ERROR,
            Threat::Turncoats { cycles } => cycle < cycles && roll >= HONEST_ERROR,
            Threat::Oscillators { cycles } => (cycle / cycles).is_multiple_of(2) && roll >= HONEST_ERROR,
            Threat::Bait => !self.experience[asker].contains_key(&self.names[peer]),
            Threat::PatientWhitewash => !self.experience.iter().any(|seen| seen.contains_key(&self.names[peer])),
            Threat::TwoFaced => asker.is_multiple_of(2) && roll >= HONEST_ERROR,
            _ => false,
        }
    }

    fn weights(&self, asker: usize, able: &[usize], metric: Metric, trust: &[f64]) -> Vec<f64> {
        match metric {
            Metric::Nothing => vec![1.0; able.len()],
            Metric::EigenTrust { .. } => able.iter().map(|peer| trust[*peer]).collect(),
            Metric::Ours | Metric::OursBare => {
                let judged = self.judge(asker, &self.word, |peer| match metric {
                    Metric::Ours if peer < PEERS as u32 => CREDENTIALS,
                    _ => 0.0,
                });
                able.iter().map(|peer| judged(self.names[*peer]).expectation).collect()
            }
        }
    }

    /// How one honest peer scores others, given what is said and what their credentials give them.
    fn judge<'a>(
        &'a self,
        asker: usize,
        word: &'a BTreeMap<u32, Claims>,
        credentials: impl Fn(u32) -> f64 + 'a,
    ) -> impl Fn(u32) -> Blend + 'a {
        let seen = &self.experience[asker];
        let own: BTreeMap<u32, Evidence> = seen.iter().map(|(peer, seen)| (*peer, seen.evidence(self.now))).collect();
        let weights = propagation::recommender_weights(&own, word, |recommender| recommender < PRETRUSTED as u32);
        move |peer| {
            let nothing = Experience::default();
            let seen = seen.get(&peer).unwrap_or(&nothing);
            let heard = propagation::recommended(&weights, word, peer, |recommender| {
                recommender >= PEERS as u32 && !own.contains_key(&recommender)
            });
            blend(credentials(peer), seen.evidence(self.now), heard, seen.standing(self.now))
        }
    }

    fn choose(&mut self, weights: &[f64], choice: Choice) -> usize {
        let total: f64 = weights.iter().sum();
        let explore = self.random.share();
        let powered: Vec<f64> = match choice {
            Choice::Proportional if explore < 0.1 => weights.iter().map(|w| f64::from(u8::from(*w <= 0.0))).collect(),
            Choice::Greedy if explore < 0.02 => vec![1.0; weights.len()],
            Choice::Proportional => weights.to_vec(),
            Choice::Greedy => {
                let best = weights.iter().copied().fold(0.0, f64::max);
                weights.iter().map(|w| if best > 0.0 { (w / best).powi(24) } else { 1.0 }).collect()
            }
        };
        let sum: f64 = powered.iter().sum();
        if sum <= 0.0 || total <= 0.0 {
            return self.random.below(weights.len());
        }
        let mut place = self.random.share() * sum;
        for (index, weight) in powered.iter().enumerate() {
            place -= weight;
            if place < 0.0 {
                return index;
            }
        }
        weights.len() - 1
    }

    fn claims_seen(&self, peer: usize) -> Claims {
        self.experience[peer].iter().map(|(other, seen)| (*other, seen.evidence(self.now))).collect()
    }

    /// What everybody says after a cycle.
    fn gossip(&mut self) {
        let praise = Evidence { good: 100.0, bad: 0.0 };
        let slur = Evidence { good: 0.0, bad: 100.0 };
        let honest: Vec<usize> = (0..PEERS).filter(|peer| !self.is_malicious(*peer)).collect();
        let malicious: Vec<usize> = (0..PEERS).filter(|peer| self.is_malicious(*peer)).collect();
        let mut word: BTreeMap<u32, Claims> = BTreeMap::new();
        let mut common: Claims = BTreeMap::new();
        for peer in &honest {
            let said = self.claims_seen(*peer);
            for (other, evidence) in &said {
                let sum = common.entry(*other).or_default();
                *sum = sum.and(*evidence);
            }
            word.insert(self.names[*peer], said);
        }
        for (place, peer) in malicious.iter().enumerate() {
            let name = |peer: usize| self.names[peer];
            let kin = malicious.iter().filter(|other| *other != peer);
            let next = malicious[(place + 1) % malicious.len()];
            let said: Claims = match self.threat {
                Threat::Individuals { .. } => honest.iter().map(|other| (name(*other), slur)).collect(),
                Threat::Collective { .. } | Threat::Camouflage { .. } | Threat::Whitewash => {
                    BTreeMap::from([(name(next), praise)])
                }
                Threat::Spies { .. } if self.is_spy(*peer) => {
                    kin.filter(|other| !self.is_spy(**other)).map(|other| (name(*other), praise)).collect()
                }
                Threat::Spies { .. } => BTreeMap::new(),
                Threat::Slander => honest.iter().map(|other| (name(*other), slur)).collect(),
                Threat::Turncoats { .. }
                | Threat::TwoFaced
                | Threat::Oscillators { .. }
                | Threat::Bait
                | Threat::PatientWhitewash => kin.map(|other| (name(*other), praise)).collect(),
                Threat::Mimics | Threat::Accusers => {
                    let mut said = common.clone();
                    if self.threat == Threat::Accusers {
                        said.extend(honest.iter().step_by(2).map(|other| (name(*other), slur)));
                    }
                    said.extend(kin.map(|other| (name(*other), praise)));
                    said
                }
            };
            if !said.is_empty() {
                word.insert(self.names[*peer], said);
            }
        }
        self.word = word;
    }

    /// EigenTrust over what everybody says: satisfactory minus unsatisfactory answers.
    fn global_trust(&self, metric: Metric) -> Vec<f64> {
        let Metric::EigenTrust { alpha_percent } = metric else { return Vec::new() };
        let numbers: BTreeMap<u32, usize> = self.names.iter().enumerate().map(|(peer, name)| (*name, peer)).collect();
        let ratings: Vec<_> = self
            .word
            .iter()
            .flat_map(|(from, said)| said.iter().map(move |(to, evidence)| (from, to, evidence.good - evidence.bad)))
            .filter_map(|(from, to, rating)| Some((*numbers.get(from)?, *numbers.get(to)?, rating)))
            .collect();
        let pretrusted: Vec<f64> = (0..PEERS).map(|peer| f64::from(u8::from(peer < PRETRUSTED))).collect();
        let graph = EigenTrust::new(&ratings, &pretrusted, f64::from(alpha_percent) / 100.0, 1e-9).unwrap();
        graph.trust().to_vec()
    }
}
