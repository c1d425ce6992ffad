//! The attacks themselves.

use nalgebra::DMatrix;

use super::evidence::Known;
use super::{Attack, Finding};
use crate::{Error, Result};

/// How many candidates there are for each guess.
const CANDIDATES: usize = 8;

/// The most guesses of one attack.
const TRIALS: usize = 512;

/// A needle this short is found by luck.
const SHORTEST: usize = 8;
/// Longer texts are looked for by their beginning.
const LONGEST: usize = 32;
/// Coordinates of a vector that are looked for beside each other.
const RUN: usize = 4;

/// Stored rows in numbers that can be added and compared, one row each.
pub(super) struct Rows {
    numbers: DMatrix<f64>,
    /// Differences are taken modulo this, where there is one.
    prime: Option<f64>,
}

impl Rows {
    pub(super) fn of(numbers: DMatrix<f64>) -> Rows {
        Rows { numbers, prime: None }
    }

    /// Numbers below a prime, those above its half as negative ones.
    pub(super) fn seen(rows: &[Vec<u32>], prime: u32) -> Rows {
        let width = rows.first().map_or(0, Vec::len);
        let prime = f64::from(prime);
        let numbers = DMatrix::from_fn(rows.len(), width, |row, column| centred(f64::from(rows[row][column]), prime));
        Rows { numbers, prime: Some(prime) }
    }

    fn difference(&self, one: usize, other: usize) -> Vec<f64> {
        let difference = |(a, b): (&f64, &f64)| match self.prime {
            Some(prime) => centred((a - b).rem_euclid(prime), prime),
            None => a - b,
        };
        self.numbers.row(one).iter().zip(self.numbers.row(other).iter()).map(difference).collect()
    }
}

fn centred(value: f64, prime: f64) -> f64 {
    if value > prime / 2.0 { value - prime } else { value }
}

/// A number from 0 to 1 that is the same on every run (SplitMix64, Steele and others 2014).
pub(super) fn draw(at: u64) -> f64 {
    let mut word = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((word ^ (word >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Eight places from 0 to `count`, of which the first is `right`.
fn candidates(right: usize, count: usize, trial: usize) -> Vec<usize> {
    let mut chosen = vec![right];
    let mut at = (trial as u64) << 20;
    while chosen.len() < CANDIDATES.min(count) {
        let other = (draw(at) * count as f64) as usize;
        at += 1;
        if !chosen.contains(&other) {
            chosen.push(other);
        }
    }
    chosen
}

/// Whether the right one, which is the first, is better than every other.
fn guessed(scores: impl IntoIterator<Item = f64>) -> bool {
    let mut scores = scores.into_iter();
    let right = scores.next().unwrap_or(f64::MIN);
    scores.all(|score| score < right)
}

fn cosine<'a>(one: impl IntoIterator<Item = &'a f64>, other: impl IntoIterator<Item = &'a f64>) -> f64 {
    let (mut dot, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in one.into_iter().zip(other) {
        dot += a * b;
        first += a * a;
        second += b * b;
    }
    if first == 0.0 || second == 0.0 { 0.0 } else { dot / (first * second).sqrt() }
}

fn finding(attack: Attack, results: impl IntoIterator<Item = bool>) -> Finding {
    let (mut trials, mut hits) = (0, 0);
    for hit in results {
        trials += 1;
        hits += usize::from(hit);
    }
    Finding { attack, trials, hits, chance: 1.0 / CANDIDATES as f64 }
}

/// Every attack that guesses. Who runs them knows which document the first half of the rows is; the third quarter is what it does
/// not know, and the documents of the last quarter pass for ones that are not stored. `reused` are the rows of which differences
/// are taken.
pub(super) fn guesses(rows: &Rows, known: &Known, reused: &Rows) -> Result<Vec<Finding>> {
    let (count, dimension) = (known.vectors.len(), known.vectors[0].len());
    let (half, end) = (count / 2, count / 2 + count / 4);
    let truth = DMatrix::from_fn(count, dimension, |row, column| f64::from(known.vectors[row][column]));
    let rotation = procrustes(&rows.numbers.rows(0, half).into(), &truth.rows(0, half).into())?;
    let guess = rows.numbers.rows(half, end - half) * rotation;
    let likeness = |unknown: usize, document: usize| cosine(guess.row(unknown), truth.row(document));
    let unknown = end - half;

    let pairs = (0..unknown.min(TRIALS)).map(|trial| {
        let chosen = candidates(trial, unknown, trial);
        guessed(chosen.into_iter().map(|other| likeness(trial, half + other)))
    });
    let membership = (0..unknown.min(TRIALS)).map(|trial| {
        // The first is stored, the others are not.
        let strangers = candidates(0, count - end, trial).into_iter().skip(1).map(|other| end + other);
        let nearest = |document| (0..unknown).map(|row| likeness(row, document)).fold(f64::MIN, f64::max);
        guessed([half + trial].into_iter().chain(strangers).map(nearest))
    });
    Ok(vec![
        finding(Attack::KnownPairs, pairs),
        scale(rows, known),
        reuse(reused, &truth),
        finding(Attack::Membership, membership),
    ])
}

/// The map from what is seen to what is known that turns and mirrors only, and fits best (Schönemann 1966): of the singular value
/// decomposition of SᵀK, both sides without the values between them. Directions of which nothing is known are left out.
fn procrustes(seen: &DMatrix<f64>, known: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    let svd = (seen.transpose() * known).svd(true, true);
    let (Some(mut left), Some(right)) = (svd.u, svd.v_t) else {
        return Err(Error::internal("the known pairs could not be fitted"));
    };
    let least = svd.singular_values.max() * 1e-9;
    for (at, _) in svd.singular_values.iter().enumerate().filter(|(_, value)| **value <= least) {
        left.column_mut(at).fill(0.0);
    }
    Ok(left * right)
}

fn scale(rows: &Rows, known: &Known) -> Finding {
    let count = known.lengths.len();
    let longer = |a: &usize, b: &usize| known.lengths[*b].total_cmp(&known.lengths[*a]);
    let games = (0..count.min(TRIALS)).filter_map(|trial| {
        let mut chosen = candidates(trial, count, trial);
        chosen.sort_by(longer);
        // Where two are about equally long there is nothing to find out.
        let distinct = known.lengths[chosen[0]] > known.lengths[chosen[1]] * 1.01;
        distinct.then(|| guessed(chosen.into_iter().map(|row| rows.numbers.row(row).norm())))
    });
    finding(Attack::Scale, games)
}

/// Rows beside each other, and rows far from each other.
fn reuse(rows: &Rows, truth: &DMatrix<f64>) -> Finding {
    let count = truth.nrows();
    let pairs: Vec<(usize, usize)> =
        (1..count).map(|at| (at - 1, at)).chain((0..count / 2).map(|at| (at, at + count / 2))).collect();
    let step = pairs.len().div_ceil(TRIALS);
    let games = (0..pairs.len()).step_by(step).map(|trial| {
        let (one, other) = pairs[trial];
        let seen = rows.difference(one, other);
        guessed(candidates(trial, pairs.len(), trial).into_iter().map(|pair| {
            let (one, other) = pairs[pair];
            let known: Vec<f64> = truth.row(one).iter().zip(truth.row(other).iter()).map(|(a, b)| a - b).collect();
            cosine(&seen, &known)
        }))
    });
    finding(Attack::Reuse, games)
}

/// Looks for each known vector and each text in everything that is kept.
pub(super) fn dictionary(bytes: &[Vec<u8>], known: &Known) -> Finding {
    let vectors = known.vectors.iter().take(TRIALS / 8).map(|vector| needles(vector));
    let texts = known.texts.iter().filter(|text| text.len() >= SHORTEST);
    let texts = texts.map(|text| vec![text[..text.len().min(LONGEST)].to_vec()]);
    let (mut trials, mut hits) = (0, 0);
    for needles in vectors.chain(texts) {
        trials += 1;
        hits += usize::from(needles.iter().any(|needle| bytes.iter().any(|held| holds(held, needle))));
    }
    Finding { attack: Attack::Dictionary, trials, hits, chance: 0.0 }
}

/// The run of a vector's coordinates that varies most, in the forms in which whole numbers are stored.
fn needles(vector: &[i32]) -> Vec<Vec<u8>> {
    let spread = |run: &&[i32]| run.iter().map(|value| i64::from(value.unsigned_abs())).sum::<i64>();
    let Some(run) = vector.windows(RUN.min(vector.len())).max_by_key(spread) else { return Vec::new() };
    let prime = i64::from(crate::vpk::plain::PRIME);
    let field = |value: &i32| (i64::from(*value).rem_euclid(prime) as u32).to_le_bytes();
    vec![
        run.iter().flat_map(|value| value.to_le_bytes()).collect(),
        run.iter().flat_map(|value| (*value as i16).to_le_bytes()).collect(),
        run.iter().flat_map(|value| field(value).into_iter().take(crate::vpk::plain::WIDTH)).collect(),
        run.iter().flat_map(field).collect(),
    ]
}

fn holds(held: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return false };
    let mut from = 0;
    while let Some(at) = held[from..].iter().position(|byte| byte == first) {
        let start = from + at + 1;
        if held.get(start..start + rest.len()) == Some(rest) {
            return true;
        }
        from = start;
    }
    false
}
