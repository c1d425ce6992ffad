//! What this node saw of one peer, in a form that forgets at a known rate and does not depend on the order of arrival.
//!
//! Outcomes are counted in whole days since 1970, and a day's counts weigh 0.5^(days since / 30). Counts are whole
//! numbers, so the same observations give the same bits in whatever order they came. Of the newest outcomes the instants
//! are kept too: they tell a peer that has just turned bad from one that errs now and then.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{Error, Result};

/// The evidence of a day halves in this many days.
pub const EXPERIENCE_HALF_LIFE_DAYS: f64 = 30.0;

/// Days further back than this are forgotten; what they would weigh is under six percent.
pub(super) const HORIZON_DAYS: i64 = 128;

/// So many days are kept. More than the horizon has, because days ahead of the clock are kept as well: the clock may be the
/// one that is wrong.
pub(super) const MAX_DAYS: usize = 192;

/// So many of the newest outcomes keep their instant.
const RECENT: usize = 16;

/// What an outcome weighs against the one after it when the newest are judged by themselves.
const RECENT_FACTOR: f64 = 0.8;

/// From this share of bad answers among the newest on, a peer's standing is cut, by half for each further twentieth.
const TOLERATED: f64 = 0.4;
const HALVING: f64 = 0.05;

/// z of the one-sided bound that 90 % of a normal distribution lie above.
const Z: f64 = 1.2816;

const MILLIS_PER_DAY: i64 = 86_400_000;
const VERSION: u8 = 1;

/// How one dealing with a peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The answer was right.
    Good,
    /// The peer answered, and the answer was wrong or not what it had agreed to.
    Bad,
    /// No whole answer came: it could not be reached, the connection broke, time ran out. This says nothing about its
    /// honesty and lowers [`Reputation::reliability`](super::Reputation::reliability) alone. An answer that a broken connection cut short is
    /// one of these, and not a bad answer.
    TransportFault,
}

/// One dealing with a peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// How it ended.
    pub outcome: Outcome,
    /// How long the answer took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The throughput that the peer had promised, in units of its choice a second, such as tokens.
    pub promised: Option<f64>,
    /// The throughput that it delivered, in the same units.
    pub delivered: Option<f64>,
    /// When it ended. Instants ahead of the node's clock are taken for now.
    pub at: Timestamp,
}

impl Observation {
    /// An outcome without measurements.
    pub fn new(outcome: Outcome, at: Timestamp) -> Observation {
        Observation { outcome, latency_ms: None, promised: None, delivered: None, at }
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, value) in
            [("latency_ms", self.latency_ms), ("promised", self.promised), ("delivered", self.delivered)]
        {
            if value.is_some_and(|value| !(0.0..=1e9).contains(&value)) {
                return Err(Error::invalid_argument(format!("{name} lies from 0 to 10^9")).with("argument", name));
            }
        }
        Ok(())
    }
}

/// Good and bad answers, weighed by their age or by the trust in whoever reports them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    /// The weight of the good answers.
    pub good: f64,
    /// The weight of the bad answers.
    pub bad: f64,
}

impl Evidence {
    /// The weight of all answers.
    pub fn total(self) -> f64 {
        self.good + self.bad
    }

    /// The expected share of good answers, one good and one bad one being supposed beforehand: (good + 1) / (total + 2).
    pub fn mean(self) -> f64 {
        (self.good + 1.0) / (self.total() + 2.0)
    }

    /// Both weights times a factor.
    pub fn times(self, factor: f64) -> Evidence {
        Evidence { good: self.good * factor, bad: self.bad * factor }
    }

    /// The evidence of both.
    pub fn and(self, other: Evidence) -> Evidence {
        Evidence { good: self.good + other.good, bad: self.bad + other.bad }
    }

    /// The same evidence read with caution: each count replaced by its own bound at about 90 %, Wilson's for the good
    /// answers, s² / (s + z²), and that of a Poisson count for the bad ones, f + z √f, with z = 1.2816. Without evidence
    /// nothing changes; more good answers never make it worse, and more bad ones never better.
    pub fn cautious(self) -> Evidence {
        let good = if self.good > 0.0 { self.good * self.good / (self.good + Z * Z) } else { 0.0 };
        Evidence { good, bad: self.bad + Z * self.bad.sqrt() }
    }

    /// The lower bound, at about 90 %, of the share of good answers; 0 without evidence.
    pub fn lower_bound(self) -> f64 {
        let cautious = self.cautious();
        if cautious.total() > 0.0 { cautious.good / cautious.total() } else { 0.0 }
    }
}

/// The counts of one day. Sums of measurements are in whole thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Day {
    good: u32,
    bad: u32,
    faults: u32,
    latencies: u32,
    latency: u64,
    promised: u64,
    delivered: u64,
}

impl Day {
    fn add(&mut self, other: &Day) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
        self.faults = self.faults.saturating_add(other.faults);
        self.latencies = self.latencies.saturating_add(other.latencies);
        self.latency = self.latency.saturating_add(other.latency);
        self.promised = self.promised.saturating_add(other.promised);
        self.delivered = self.delivered.saturating_add(other.delivered);
    }
}

/// Everything that is kept of the dealings with one peer: at most 192 days of counts and 16 instants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Experience {
    days: BTreeMap<i64, Day>,
    /// Milliseconds since 1970 and whether the answer was good, oldest first.
    recent: Vec<(i64, bool)>,
    first: Option<i64>,
    last: Option<i64>,
}

/// Means over the days, weighed by age; `None` where nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Measured {
    pub(super) faults: f64,
    pub(super) latency_ms: Option<f64>,
    pub(super) promised: f64,
    pub(super) delivered: f64,
    pub(super) days_seen: f64,
    pub(super) days_up: f64,
}

impl Experience {
    /// Adds one dealing. `now` is the node's clock: an instant ahead of it is taken for now.
    pub fn add(&mut self, observation: &Observation, now: Timestamp) {
        let at = millis(observation.at.min(now));
        let mut day = Day::default();
        match observation.outcome {
            Outcome::Good => day.good = 1,
            Outcome::Bad => day.bad = 1,
            Outcome::TransportFault => day.faults = 1,
        }
        if let Some(latency) = observation.latency_ms {
            day.latencies = 1;
            day.latency = thousandths(latency);
        }
        // Delivery is measured against a promise, so one without the other says nothing.
        if let (Some(promised), Some(delivered)) = (observation.promised, observation.delivered) {
            (day.promised, day.delivered) = (thousandths(promised), thousandths(delivered));
        }
        let recent = match observation.outcome {
            Outcome::TransportFault => Vec::new(),
            outcome => vec![(at, outcome == Outcome::Good)],
        };
        let days = BTreeMap::from([(at.div_euclid(MILLIS_PER_DAY), day)]);
        self.merge(&Experience { days, recent, first: Some(at), last: Some(at) }, now);
    }

    /// Adds what was seen elsewhere, or under another key. `now` is the node's clock.
    ///
    /// A clock can be years ahead for an hour, and years behind on a device that has just started. So nothing is forgotten for
    /// lying behind the clock as long as there is room, and what lies ahead of it waits and does not count; without room, the
    /// days go first that are farthest from now, and of the newest outcomes those ahead of now.
    pub(super) fn merge(&mut self, other: &Experience, now: Timestamp) {
        let until = millis(now);
        let today = until.div_euclid(MILLIS_PER_DAY);
        for (day, counts) in &other.days {
            self.days.entry(*day).or_default().add(counts);
        }
        while self.days.len() > MAX_DAYS {
            let ends = [self.days.first_key_value(), self.days.last_key_value()];
            let farthest = ends.into_iter().flatten().map(|(day, _)| *day).max_by_key(|day| day.abs_diff(today));
            if let Some(day) = farthest {
                self.days.remove(&day);
            }
        }
        self.recent.extend(&other.recent);
        self.recent.sort_unstable_by_key(|(at, good)| (*at <= until, *at, *good));
        self.recent.drain(..self.recent.len().saturating_sub(RECENT));
        self.recent.sort_unstable();
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
    }

    /// Whether nothing was ever seen.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// When the newest dealing ended.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last.and_then(|at| Timestamp::from_millisecond(at).ok())
    }

    /// The good and bad answers up to `instant`, as they weigh then.
    pub fn evidence(&self, instant: Timestamp) -> Evidence {
        let until = millis(instant);
        let today = until.div_euclid(MILLIS_PER_DAY);
        let mut evidence = Evidence::default();
        for (day, counts) in self.days.range(today - HORIZON_DAYS..=today) {
            let (mut good, mut bad) = (counts.good, counts.bad);
            if *day == today {
                // Of a day that has not ended at the instant, what is known to have come later is left out.
                for (_, right) in
                    self.recent.iter().filter(|(at, _)| *at > until && at.div_euclid(MILLIS_PER_DAY) == today)
                {
                    let count = if *right { &mut good } else { &mut bad };
                    *count = count.saturating_sub(1);
                }
            }
            let factor = decay(today - day);
            evidence.good += f64::from(good) * factor;
            evidence.bad += f64::from(bad) * factor;
        }
        evidence
    }

    /// What the newest answers up to `instant` leave of a peer's standing: 1 while less than two fifths of them are bad, then half for
    /// each further twentieth. The share of an answer is 0.2 × 0.8^(answers after it), and each is forgiven with a half-life
    /// of 30 days. Five bad answers in a row leave under a fortieth, whatever came before.
    pub fn standing(&self, instant: Timestamp) -> f64 {
        let until = millis(instant);
        let mut share = 1.0 - RECENT_FACTOR;
        let mut bad = 0.0;
        for (at, good) in self.recent.iter().rev().filter(|(at, _)| *at <= until) {
            if !good {
                bad += share * decay((until - at) / MILLIS_PER_DAY);
            }
            share *= RECENT_FACTOR;
        }
        0.5f64.powf(((bad - TOLERATED) / HALVING).max(0.0))
    }

    /// The instants between `from` and `until` at which the evidence changed, newest first, as far as they are known:
    /// those of the newest answers, and the ends of days.
    pub(super) fn turns(&self, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let (from, until) = (millis(from), millis(until));
        let today = until.div_euclid(MILLIS_PER_DAY);
        let mut turns: Vec<i64> = self.recent.iter().map(|(at, _)| *at).collect();
        turns.extend((today - HORIZON_DAYS..today).map(|day| (day + 1) * MILLIS_PER_DAY - 1));
        turns.retain(|at| (from..=until).contains(at));
        turns.sort_unstable_by(|a, b| b.cmp(a));
        turns.dedup();
        turns.into_iter().filter_map(|at| Timestamp::from_millisecond(at).ok()).collect()
    }

    pub(super) fn measured(&self, now: Timestamp) -> Measured {
        let today = millis(now).div_euclid(MILLIS_PER_DAY);
        let mut measured = Measured::default();
        let (mut latencies, mut latency) = (0.0, 0.0);
        for (day, counts) in self.days.range(today - HORIZON_DAYS..=today) {
            let factor = decay(today - day);
            measured.faults += f64::from(counts.faults) * factor;
            measured.promised += counts.promised as f64 / 1000.0 * factor;
            measured.delivered += counts.delivered as f64 / 1000.0 * factor;
            measured.days_seen += factor;
            measured.days_up += if counts.good + counts.bad > 0 { factor } else { 0.0 };
            latencies += f64::from(counts.latencies) * factor;
            latency += counts.latency as f64 / 1000.0 * factor;
        }
        measured.latency_ms = (latencies > 0.0).then(|| latency / latencies);
        measured
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for instant in [self.first, self.last] {
            bytes.extend(instant.unwrap_or(i64::MIN).to_le_bytes());
        }
        bytes.push(self.recent.len() as u8);
        for (at, good) in &self.recent {
            bytes.extend(at.to_le_bytes());
            bytes.push(u8::from(*good));
        }
        bytes.push(self.days.len() as u8);
        for (day, counts) in &self.days {
            bytes.extend(day.to_le_bytes());
            for count in [counts.good, counts.bad, counts.faults, counts.latencies] {
                bytes.extend(count.to_le_bytes());
            }
            for sum in [counts.latency, counts.promised, counts.delivered] {
                bytes.extend(sum.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads what [`encode`](Experience::encode) wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Experience> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let (first, last) = (reader.i64()?, reader.i64()?);
        let present = |instant: i64| (instant != i64::MIN).then_some(instant);
        let mut experience = Experience { first: present(first), last: present(last), ..Experience::default() };
        for _ in 0..reader.u8()? {
            let at = reader.i64()?;
            experience.recent.push((at, reader.flag()?));
        }
        for _ in 0..reader.u8()? {
            let day = reader.i64()?;
            let counts = Day {
                good: reader.u32()?,
                bad: reader.u32()?,
                faults: reader.u32()?,
                latencies: reader.u32()?,
                latency: reader.u64()?,
                promised: reader.u64()?,
                delivered: reader.u64()?,
            };
            if experience.days.last_key_value().is_some_and(|(before, _)| *before >= day) {
                return None;
            }
            experience.days.insert(day, counts);
        }
        let fits = experience.recent.len() <= RECENT && experience.days.len() <= MAX_DAYS;
        let sound = fits && experience.recent.is_sorted() && reader.0.is_empty();
        sound.then_some(experience)
    }
}

/// Takes little-endian numbers off the front of bytes, and answers `None` where they end too early.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }
}

/// What is left of evidence after so many whole days.
pub(super) fn decay(days: i64) -> f64 {
    0.5f64.powf(days.max(0) as f64 / EXPERIENCE_HALF_LIFE_DAYS)
}

/// Whole days since 1970.
pub(super) fn day_of(instant: Timestamp) -> i64 {
    millis(instant).div_euclid(MILLIS_PER_DAY)
}

fn millis(instant: Timestamp) -> i64 {
    instant.as_millisecond()
}

fn thousandths(value: f64) -> u64 {
    (value * 1000.0).round() as u64
}
