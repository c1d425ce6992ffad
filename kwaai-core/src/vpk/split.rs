//! Several hosts, none of which learns anything as long as no more than `t` of them work together.
//!
//! Every stored number and every number of a question is shared after Shamir (1979): the value at 0 of a random polynomial
//! of degree t, host i getting its value at i + 1. Products of shares, summed up, are shares of the dot product on a polynomial
//! of degree 2t (Ben-Or, Goldwasser and Wigderson, 1988), so any 2t + 1 replies give the scores: the fastest ones. Shares are made
//! from the operating system's random numbers and no key, so t hosts learn nothing however much they can compute.

mod decode;
mod share;

use super::check::Checks;
use super::field::Field;
use super::key::{CollectionKey, Purpose};
use super::query;
use super::random::fresh;
use super::segment::{self, SegmentStamp, Upload, check_vector, check_vectors};
use super::wire::damaged;
use super::{Metric, Mode, Owner, Quantizer, Question};
use crate::{Error, Result};
use decode::Decoder;
use share::{Dealer, combinations, lagrange, point};

pub(super) use share::combinations as choices;

/// The greatest prime below 2²⁵.
pub(super) const PRIME: u32 = 33_554_393;
pub(super) const FIELD: Field = Field::new(PRIME);
/// Bytes of a share.
pub(super) const WIDTH: usize = 4;

/// The most hosts of one collection. All ways to choose 2t + 1 replies of so many are tried in no time.
pub const MAX_HOSTS: usize = 16;

/// The owner of a collection that several hosts keep.
pub struct SplitOwner {
    quantizer: Quantizer,
    check: zeroize::Zeroizing<[u8; 32]>,
    hosts: usize,
    colluding: usize,
}

impl SplitOwner {
    /// Opens a collection on `hosts` hosts, of which `colluding` may work together. That many may be late or missing that are
    /// more than 2 × `colluding` + 1; with one reply more than these, a wrong one is corrected.
    ///
    /// # Errors
    /// `invalid_argument` when nobody or more than half of the hosts could work together, for more than [`MAX_HOSTS`], or for
    /// a dimension of 0 or above [`MAX_DIMENSION`](super::MAX_DIMENSION).
    pub fn new(
        key: &CollectionKey,
        dimension: usize,
        metric: Metric,
        hosts: usize,
        colluding: usize,
    ) -> Result<SplitOwner> {
        if colluding == 0 || hosts > MAX_HOSTS || hosts < 2 * colluding + 1 {
            return Err(Error::invalid_argument(format!(
                "{hosts} hosts cannot keep shares of which {colluding} tell nothing"
            ))
            .with_remedy(format!("take 2 × t + 1 to {MAX_HOSTS} hosts for t of at least 1")));
        }
        let quantizer = Quantizer::new(dimension, PRIME, metric)?;
        Ok(SplitOwner { quantizer, check: key.derive(Purpose::Check)?, hosts, colluding })
    }

    /// How many replies give an answer when none is wrong.
    pub fn needed(&self) -> usize {
        2 * self.colluding + 1
    }

    fn shares(&self, values: impl IntoIterator<Item = u32>, length: usize) -> Result<Vec<Vec<u32>>> {
        let mut dealer = Dealer::new(self.hosts, self.colluding);
        let mut shares = vec![Vec::with_capacity(length); self.hosts];
        for value in values {
            for (shares, share) in shares.iter_mut().zip(dealer.deal(value)?) {
                shares.push(*share);
            }
        }
        Ok(shares)
    }
}

impl Owner for SplitOwner {
    fn mode(&self) -> Mode {
        Mode::Split
    }

    fn hosts(&self) -> usize {
        self.hosts
    }

    fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    fn seal(&self, vectors: &[Vec<i32>]) -> Result<Upload> {
        check_vectors(&self.quantizer, vectors)?;
        let stamp = SegmentStamp { nonce: fresh()?, vectors: vectors.len() as u32 };
        let checks = Checks::new(FIELD, &self.check, &stamp)?.rows(vectors);
        let numbers = vectors.iter().flatten().map(|value| FIELD.of_signed(i64::from(*value)));
        let dimension = self.quantizer.dimension();
        let shares = self.shares(numbers.chain(checks.into_iter().flatten()), stamp.rows(Mode::Split) * dimension)?;
        let parts =
            shares.into_iter().map(|share| segment::write(Mode::Split, &stamp, dimension, WIDTH, share)).collect();
        Ok(Upload { stamp, parts })
    }

    fn unseal(&self, stamp: &SegmentStamp, parts: &[Option<Vec<u8>>]) -> Result<Vec<Vec<i32>>> {
        let dimension = self.quantizer.dimension();
        let mut shares = Vec::new();
        for (host, part) in parts.iter().enumerate().take(self.hosts) {
            let Some(part) = part else { continue };
            // A host that hands out something else is as good as one that does not answer.
            if let Ok((found, values)) = segment::read(Mode::Split, part, dimension, WIDTH, PRIME)
                && found == *stamp
            {
                shares.push((point(host), values));
            }
        }
        let needed = self.colluding + 1;
        if shares.len() < needed {
            return Err(Error::unreachable(format!("{needed} hosts must hand the segment out, {} did", shares.len())));
        }
        let checks = Checks::new(FIELD, &self.check, stamp)?;
        for chosen in combinations(shares.len(), needed) {
            let points: Vec<u32> = chosen.iter().map(|at| shares[*at].0).collect();
            let factors = lagrange(&points, 0)?;
            let value = |place: usize| {
                chosen
                    .iter()
                    .zip(&factors)
                    .fold(0, |sum, (at, factor)| FIELD.add(sum, FIELD.mul(*factor, shares[*at].1[place])))
            };
            let values: Vec<u32> = (0..stamp.rows(Mode::Split) * dimension).map(value).collect();
            let (vectors, rows) = values.split_at(stamp.vectors as usize * dimension);
            let vectors: Vec<Vec<i32>> = vectors
                .chunks_exact(dimension)
                .map(|row| row.iter().map(|value| FIELD.to_signed(*value) as i32).collect())
                .collect();
            if vectors.iter().all(|vector| check_vector(&self.quantizer, vector).is_ok())
                && checks.rows(&vectors).concat() == rows
            {
                return Ok(vectors);
            }
        }
        Err(damaged("it is not what was shared"))
    }

    fn session(&self) -> Result<Vec<Vec<u8>>> {
        Ok(vec![Vec::new(); self.hosts])
    }

    fn ask(&self, vector: &[i32], segments: &[SegmentStamp]) -> Result<Question> {
        check_vector(&self.quantizer, vector)?;
        let numbers = vector.iter().map(|value| FIELD.of_signed(i64::from(*value)));
        let shares = self.shares(numbers, vector.len())?;
        let parts = shares.into_iter().map(|share| query::write(Mode::Split, &share, segments)).collect();
        let mut checks = Vec::with_capacity(segments.len());
        for stamp in segments {
            checks.push(Checks::new(FIELD, &self.check, stamp)?);
        }
        let opening = Decoder::new(self.hosts, self.colluding, segments.to_vec(), checks)?;
        Ok(Question { parts, opening: Box::new(opening) })
    }
}
