//! The segments that a host keeps of one collection, as numbers.

use super::field::Field;
use super::quantize::MAX_DIMENSION;
use super::segment::{self, SegmentStamp};
use super::{Mode, query};
use crate::{Error, Result};

/// Rows beyond this are not kept for one collection by one host.
const MAX_ROWS: usize = 1 << 22;

pub(super) struct Rows {
    mode: Mode,
    dimension: usize,
    width: usize,
    prime: u32,
    segments: Vec<(SegmentStamp, Vec<u32>)>,
}

impl Rows {
    pub(super) fn new(mode: Mode, dimension: usize, width: usize, prime: u32) -> Result<Rows> {
        if dimension == 0 || dimension > MAX_DIMENSION {
            return Err(Error::invalid_argument(format!(
                "private vectors have 1 to {MAX_DIMENSION} dimensions, not {dimension}"
            )));
        }
        Ok(Rows { mode, dimension, width, prime, segments: Vec::new() })
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(super) fn stamps(&self) -> Vec<SegmentStamp> {
        self.segments.iter().map(|(stamp, _)| *stamp).collect()
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.segments.iter().map(|(stamp, _)| stamp.rows(self.mode)).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.segments.iter().flat_map(|(_, values)| values.chunks_exact(self.dimension))
    }

    pub(super) fn store(&mut self, segment: &[u8]) -> Result<()> {
        let (stamp, values) = segment::read(self.mode, segment, self.dimension, self.width, self.prime)?;
        if self.segments.iter().any(|(kept, _)| kept.nonce == stamp.nonce) {
            return Err(Error::already_exists("this host keeps the segment already"));
        }
        if self.len() + stamp.rows(self.mode) > MAX_ROWS {
            return Err(Error::resource_exhausted(format!("a collection has at most {MAX_ROWS} rows on one host")));
        }
        self.segments.push((stamp, values));
        Ok(())
    }

    /// Forgets a segment, and says how many rows there are before its place.
    pub(super) fn remove(&mut self, stamp: &SegmentStamp) -> Result<usize> {
        let place = self.place(stamp)?;
        self.segments.remove(place);
        Ok(self.segments[..place].iter().map(|(stamp, _)| stamp.rows(self.mode)).sum())
    }

    pub(super) fn fetch(&self, stamp: &SegmentStamp) -> Result<Vec<u8>> {
        let (stamp, values) = &self.segments[self.place(stamp)?];
        Ok(segment::write(self.mode, stamp, self.dimension, self.width, values.iter().copied()))
    }

    /// For modes whose questions need no keys.
    pub(super) fn admit_nothing(&self, session: &[u8]) -> Result<()> {
        if session.is_empty() {
            return Ok(());
        }
        Err(Error::corrupt_data(format!("questions to a collection under {} need no keys", self.mode)))
    }

    /// The dot products of a question in numbers.
    pub(super) fn answer(&self, field: Field, question: &[u8]) -> Result<Vec<u8>> {
        let vector = query::read(self.mode, question, self.dimension, self.prime, &self.stamps())?;
        let scores: Vec<u32> = self.iter().map(|row| field.dot(row, &vector)).collect();
        Ok(query::write_reply(self.mode, &scores))
    }

    fn place(&self, stamp: &SegmentStamp) -> Result<usize> {
        let found = self.segments.iter().position(|(kept, _)| kept == stamp);
        found.ok_or_else(|| Error::not_found("this host keeps no such segment"))
    }
}
