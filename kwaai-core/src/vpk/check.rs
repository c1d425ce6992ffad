//! Rows that tell whether the scores of a segment are right.
//!
//! Beside the vectors v of a segment two more rows are stored, c = Σ ρⱼvⱼ with secret, uniform ρⱼ. Their scores must be the
//! same sums of the scores: ⟨c, q⟩ = Σ ρⱼ⟨vⱼ, q⟩. A host that does not know ρ changes scores without being noticed once in p² times,
//! whatever it changes: single scores, all of them alike, their order, another question's, another segment's.

use zeroize::Zeroizing;

use super::field::Field;
use super::random::Uniform;
use super::segment::{CHECKS, NONCE, SegmentStamp};
use crate::Result;

/// The ρ of one segment.
pub(super) struct Checks {
    field: Field,
    weights: Zeroizing<Vec<[u32; CHECKS]>>,
}

impl Checks {
    pub(super) fn new(field: Field, key: &[u8; 32], stamp: &SegmentStamp) -> Result<Checks> {
        let nonce: &[u8; NONCE] = &stamp.nonce;
        let mut numbers = Uniform::keyed(key, nonce, field.prime());
        let mut weights = Zeroizing::new(vec![[0; CHECKS]; stamp.vectors as usize]);
        for weight in weights.iter_mut().flatten() {
            *weight = numbers.next()?;
        }
        Ok(Checks { field, weights })
    }

    /// The rows to store beside the vectors.
    pub(super) fn rows(&self, vectors: &[Vec<i32>]) -> [Vec<u32>; CHECKS] {
        std::array::from_fn(|check| {
            let dimension = vectors.first().map_or(0, Vec::len);
            let mut sums = vec![0i64; dimension];
            // 25 bits times 13 bits, 65,536 times: 54 bits.
            for (weights, vector) in self.weights.iter().zip(vectors) {
                let weight = i64::from(weights[check]);
                sums.iter_mut().zip(vector).for_each(|(sum, value)| *sum += weight * i64::from(*value));
            }
            sums.into_iter().map(|sum| self.field.of_signed(sum)).collect()
        })
    }

    /// How far the sums of the scores are from what the check rows say; zero when they are right. `scores` are those of the
    /// vectors and then those of the check rows.
    pub(super) fn deviation(&self, scores: &[u32]) -> [u32; CHECKS] {
        let (vectors, checks) = scores.split_at(self.weights.len().min(scores.len()));
        std::array::from_fn(|check| {
            // 50 bits, reduced before 64 are reached.
            let sum = self.weights.chunks(8192).zip(vectors.chunks(8192)).fold(0u64, |sum, (weights, scores)| {
                let part: u64 = weights
                    .iter()
                    .zip(scores)
                    .map(|(weight, score)| u64::from(weight[check]) * u64::from(*score))
                    .sum();
                (sum + part) % u64::from(self.field.prime())
            });
            self.field.sub(sum as u32, checks.get(check).copied().unwrap_or_default())
        })
    }
}
