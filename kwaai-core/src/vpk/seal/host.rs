//! The host's side: it keeps bytes that look random, and computes on ciphertexts it cannot read.

use std::collections::VecDeque;
use std::sync::Arc;

use fhe::bfv::{Ciphertext, EvaluationKey};
use fhe_math::rq::Poly;

use super::query::{self, Query, SESSION};
use super::ring::{BABY, CHUNK, COLUMNS, DEGREE, GIANT, LAST, Ring, internal};
use super::{PRIME, WIDTH};
use crate::vpk::query::check_layout;
use crate::vpk::rows::Rows;
use crate::vpk::segment::SegmentStamp;
use crate::vpk::wire::{Kind, Writer, damaged};
use crate::vpk::{Host, Mode};
use crate::{Error, Result};

/// Sessions whose keys are kept; the one that was admitted first makes room.
pub(in crate::vpk) const MAX_SESSIONS: usize = 8;

/// What the keys of one session take in memory, about.
pub(in crate::vpk) const SESSION_BYTES: u64 = 1_600_000;

/// The bytes in memory of so many rows that are prepared for the arithmetic. The last block takes as much as a full one, and
/// the last coordinates as much as all of a ciphertext's.
pub(in crate::vpk) fn prepared_bytes(rows: u64, dimension: u64) -> u64 {
    rows.next_multiple_of(DEGREE as u64) * dimension.next_multiple_of(CHUNK as u64) * 16
}

/// What one host keeps of one collection.
///
/// Rows lie in blocks of 4,096, each prepared for the arithmetic when its last segment comes: 16 bytes in memory for each
/// number of a full block, beside the four of each that is stored.
pub struct SealHost {
    ring: Arc<Ring>,
    rows: Rows,
    blocks: Vec<Block>,
    sessions: VecDeque<([u8; SESSION], EvaluationKey)>,
}

/// For each giant step, the diagonals that belong to the baby steps of each chunk.
struct Block(Vec<Vec<Poly>>);

impl SealHost {
    /// A host of a collection without segments.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above [`MAX_DIMENSION`](crate::vpk::MAX_DIMENSION).
    pub fn new(dimension: usize) -> Result<SealHost> {
        let rows = Rows::new(Mode::Seal, dimension, WIDTH, PRIME)?;
        Ok(SealHost { ring: Ring::shared()?, rows, blocks: Vec::new(), sessions: VecDeque::new() })
    }

    /// Prepares the blocks from this one on.
    fn prepare(&mut self, first: usize) -> Result<()> {
        let rows: Vec<&[u32]> = self.rows.iter().skip(first * DEGREE).collect();
        self.blocks.truncate(first);
        for block in rows.chunks(DEGREE) {
            self.blocks.push(prepare(&self.ring, self.rows.dimension(), block)?);
        }
        Ok(())
    }
}

/// Column j of giant step g and baby step i holds the coordinate (j + 16g + i) mod 128 of row j, moved right by 16g because the
/// sum is rotated left by as much afterwards.
fn prepare(ring: &Ring, dimension: usize, rows: &[&[u32]]) -> Result<Block> {
    let chunks = dimension.div_ceil(CHUNK);
    let mut giants = Vec::with_capacity(GIANT);
    let mut slots = vec![0u64; DEGREE];
    for giant in 0..GIANT {
        let shift = giant * BABY;
        let mut diagonals = Vec::with_capacity(chunks * BABY);
        for chunk in 0..chunks {
            for baby in 0..BABY {
                for (at, slot) in slots.iter_mut().enumerate() {
                    let column = (at + COLUMNS - shift) % COLUMNS;
                    let coordinate = chunk * CHUNK + (column + shift + baby) % CHUNK;
                    let row = rows.get(at / COLUMNS * COLUMNS + column);
                    *slot = row.and_then(|row| row.get(coordinate)).map_or(0, |value| u64::from(*value));
                }
                diagonals.push(ring.encode(&slots)?);
            }
        }
        giants.push(diagonals);
    }
    Ok(Block(giants))
}

impl Block {
    /// The encrypted scores of the block's rows, by Horner's rule over the giant steps.
    fn scores(&self, ring: &Ring, steps: &[Ciphertext], keys: &EvaluationKey) -> Result<Ciphertext> {
        let mut sum: Option<Ciphertext> = None;
        for diagonals in self.0.iter().rev() {
            let mut halves = Vec::with_capacity(2);
            for half in 0..2 {
                let steps = steps.iter().filter_map(|step| step.get(half));
                halves.push(ring.dot(steps, diagonals)?);
            }
            let part = Ciphertext::new(halves, &ring.parameters).map_err(internal)?;
            sum = Some(match sum {
                None => part,
                Some(sum) => &keys.rotates_columns_by(&sum, BABY).map_err(internal)? + &part,
            });
        }
        let mut sum = sum.ok_or_else(|| Error::internal("a block has no steps"))?;
        sum.switch_to_level(LAST).map_err(internal)?;
        Ok(sum)
    }
}

impl Host for SealHost {
    fn store(&mut self, segment: &[u8]) -> Result<()> {
        let before = self.rows.len();
        self.rows.store(segment)?;
        self.prepare(before / DEGREE)
    }

    fn remove(&mut self, stamp: &SegmentStamp) -> Result<()> {
        let before = self.rows.remove(stamp)?;
        self.prepare(before / DEGREE)
    }

    fn fetch(&self, stamp: &SegmentStamp) -> Result<Vec<u8>> {
        self.rows.fetch(stamp)
    }

    fn admit(&mut self, session: &[u8]) -> Result<()> {
        let (name, keys) = query::read_keys(&self.ring, session)?;
        self.sessions.retain(|(kept, _)| *kept != name);
        if self.sessions.len() == MAX_SESSIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back((name, keys));
        Ok(())
    }

    fn answer(&self, question: &[u8]) -> Result<Vec<u8>> {
        let query: Query = query::read(&self.ring, question)?;
        if query.dimension != self.rows.dimension() {
            return Err(damaged("the question has another dimension than the collection"));
        }
        check_layout(&query.layout, &self.rows.stamps())?;
        let keys = self.sessions.iter().find(|(name, _)| *name == query.session).map(|(_, keys)| keys);
        let keys = keys.ok_or_else(|| {
            Error::not_found("this host does not know the session").with_remedy("send the session's keys first")
        })?;
        let mut steps = Vec::with_capacity(query.chunks.len() * BABY);
        for chunk in query.chunks {
            let mut step = chunk;
            for _ in 1..BABY {
                let next = keys.rotates_columns_by(&step, 1).map_err(internal)?;
                steps.push(std::mem::replace(&mut step, next));
            }
            steps.push(step);
        }
        let length = 2 * self.ring.length(LAST);
        let mut writer = Writer::new(Kind::Reply, Mode::Seal as u8, 4 + self.blocks.len() * length);
        writer.u32(self.rows.len() as u32);
        for block in &self.blocks {
            for polynomial in block.scores(&self.ring, &steps, keys)?.iter() {
                self.ring.write(&mut writer, polynomial, LAST)?;
            }
        }
        Ok(writer.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpk::{CollectionKey, Metric, Owner, seal::SealOwner};

    #[test]
    fn a_host_takes_as_much_memory_as_is_counted_for_it() {
        for (dimension, vectors) in [(1, 1), (130, 3), (128, 4094), (128, 4095)] {
            let owner = SealOwner::new(&CollectionKey::generate().unwrap(), dimension, Metric::Cosine).unwrap();
            let mut host = SealHost::new(dimension).unwrap();
            host.store(&owner.seal(&vec![vec![1; dimension]; vectors]).unwrap().parts[0]).unwrap();
            let polynomials = host.blocks.iter().flat_map(|block| block.0.iter().flatten());
            let bytes: usize = polynomials.map(|polynomial| polynomial.coefficients().len() * 8).sum();
            assert_eq!(
                bytes as u64,
                prepared_bytes(host.rows.len() as u64, dimension as u64),
                "{vectors} x {dimension}"
            );
        }
    }
}
