//! Questions in numbers, and replies in numbers: the form of every mode that encrypts nothing.

use sha2::{Digest, Sha256};

use super::Mode;
use super::segment::{SegmentStamp, rows};
use super::wire::{Kind, Reader, Writer, damaged};
use crate::{Error, Result};

/// Bytes of a number.
const WIDTH: usize = 4;

/// Names the segments and their order, so that a host that keeps others says so.
pub(super) fn layout(segments: &[SegmentStamp]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for stamp in segments {
        digest.update(stamp.nonce);
        digest.update(stamp.vectors.to_le_bytes());
    }
    digest.finalize().into()
}

/// Refuses a question about other segments than are kept.
pub(super) fn check_layout(asked: &[u8; 32], kept: &[SegmentStamp]) -> Result<()> {
    if *asked == layout(kept) {
        return Ok(());
    }
    Err(Error::conflict("the question is about other segments than this host keeps"))
}

pub(super) fn write(mode: Mode, vector: &[u32], segments: &[SegmentStamp]) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Query, mode as u8, 36 + vector.len() * WIDTH);
    writer.bytes(&layout(segments));
    writer.u32(vector.len() as u32);
    vector.iter().for_each(|value| writer.u32(*value));
    writer.finish()
}

/// The vector of a question to these segments.
pub(super) fn read(mode: Mode, bytes: &[u8], dimension: usize, prime: u32, kept: &[SegmentStamp]) -> Result<Vec<u32>> {
    let mut reader = Reader::new(Kind::Query, mode as u8, bytes)?;
    let asked = reader.array()?;
    if reader.u32()? as usize != dimension {
        return Err(damaged("the question has another dimension than the collection"));
    }
    let vector = numbers(&mut reader, dimension, prime)?;
    reader.finish()?;
    check_layout(&asked, kept)?;
    Ok(vector)
}

pub(super) fn write_reply(mode: Mode, scores: &[u32]) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Reply, mode as u8, 4 + scores.len() * WIDTH);
    writer.u32(scores.len() as u32);
    scores.iter().for_each(|value| writer.u32(*value));
    writer.finish()
}

/// The scores of all the rows of these segments.
pub(super) fn read_reply(mode: Mode, bytes: &[u8], segments: &[SegmentStamp], prime: u32) -> Result<Vec<u32>> {
    let mut reader = Reader::new(Kind::Reply, mode as u8, bytes)?;
    let expected = rows(mode, segments);
    if reader.u32()? as usize != expected {
        return Err(damaged("it answers about another number of rows"));
    }
    let scores = numbers(&mut reader, expected, prime)?;
    reader.finish()?;
    Ok(scores)
}

fn numbers(reader: &mut Reader, count: usize, prime: u32) -> Result<Vec<u32>> {
    let bytes = reader.take(count * WIDTH)?;
    let mut numbers = Vec::with_capacity(count);
    for word in bytes.as_chunks::<WIDTH>().0 {
        let number = u32::from_le_bytes(*word);
        if number >= prime {
            return Err(damaged("a number is out of range"));
        }
        numbers.push(number);
    }
    Ok(numbers)
}
