//! A batch of vectors that were sealed together.

use super::Mode;
use super::quantize::Quantizer;
use super::wire::{Kind, Reader, Writer, damaged};
use crate::{Error, Result};

/// The most vectors that are sealed at once.
pub const MAX_SEGMENT: usize = 65_536;

pub(super) const NONCE: usize = 24;

/// Two check rows let a wrong answer pass once in the square of the modulus: 2⁻⁴⁸ or less.
pub(super) const CHECKS: usize = 2;

/// What the owner remembers of a segment. Without it nothing in the segment is found, and a host that swaps segments is
/// found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentStamp {
    /// Random; names the segment, and makes its masks and checks its own.
    pub nonce: [u8; NONCE],
    /// How many vectors it holds.
    pub vectors: u32,
}

impl SegmentStamp {
    /// How many rows a host keeps: the vectors, and those that check their scores.
    pub(super) fn rows(&self, mode: Mode) -> usize {
        self.vectors as usize + if mode == Mode::Plain { 0 } else { CHECKS }
    }
}

/// A sealed segment on its way to the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What the owner keeps.
    pub stamp: SegmentStamp,
    /// What each host gets.
    pub parts: Vec<Vec<u8>>,
}

pub(super) fn rows(mode: Mode, segments: &[SegmentStamp]) -> usize {
    segments.iter().map(|stamp| stamp.rows(mode)).sum()
}

/// Refuses what a quantizer would not have made.
pub(super) fn check_vectors(quantizer: &Quantizer, vectors: &[Vec<i32>]) -> Result<()> {
    if vectors.is_empty() || vectors.len() > MAX_SEGMENT {
        return Err(Error::invalid_argument(format!(
            "a segment holds 1 to {MAX_SEGMENT} vectors, not {}",
            vectors.len()
        )));
    }
    vectors.iter().try_for_each(|vector| check_vector(quantizer, vector))
}

pub(super) fn check_vector(quantizer: &Quantizer, vector: &[i32]) -> Result<()> {
    if vector.len() != quantizer.dimension() {
        return Err(Error::invalid_argument(format!(
            "the vector has {} dimensions, the collection {}",
            vector.len(),
            quantizer.dimension()
        )));
    }
    let square: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    let longest = f64::from(quantizer.scale()) + (quantizer.dimension() as f64).sqrt() / 2.0 + 0.01;
    if square.sqrt() > longest {
        return Err(Error::invalid_argument("the vector is longer than its quantizer makes it"));
    }
    Ok(())
}

/// The rows of a segment, `width` bytes for each number.
pub(super) fn write(
    mode: Mode,
    stamp: &SegmentStamp,
    dimension: usize,
    width: usize,
    values: impl IntoIterator<Item = u32>,
) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Segment, mode as u8, NONCE + 8 + stamp.rows(mode) * dimension * width);
    writer.bytes(&stamp.nonce);
    writer.u32(stamp.vectors);
    writer.u32(dimension as u32);
    values.into_iter().for_each(|value| writer.bytes(&value.to_le_bytes()[..width]));
    writer.finish()
}

/// The stamp and the numbers of a segment, row by row, each below `prime`.
pub(super) fn read(
    mode: Mode,
    bytes: &[u8],
    dimension: usize,
    width: usize,
    prime: u32,
) -> Result<(SegmentStamp, Vec<u32>)> {
    let mut reader = Reader::new(Kind::Segment, mode as u8, bytes)?;
    let stamp = SegmentStamp { nonce: reader.array()?, vectors: reader.u32()? };
    if stamp.vectors == 0 || stamp.vectors as usize > MAX_SEGMENT {
        return Err(damaged("a segment cannot hold so many vectors"));
    }
    let found = reader.u32()?;
    if found as usize != dimension {
        return Err(Error::invalid_argument(format!(
            "the segment's vectors have {found} dimensions, the collection's {dimension}"
        )));
    }
    let packed = reader.take(stamp.rows(mode) * dimension * width)?;
    reader.finish()?;
    let mut word = [0; 4];
    let mut values = Vec::with_capacity(stamp.rows(mode) * dimension);
    for bytes in packed.chunks_exact(width) {
        word[..width].copy_from_slice(bytes);
        values.push(u32::from_le_bytes(word));
    }
    if values.iter().any(|value| *value >= prime) {
        return Err(damaged("a number is out of range"));
    }
    Ok((stamp, values))
}
