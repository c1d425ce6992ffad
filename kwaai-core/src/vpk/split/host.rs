//! The host's side: it multiplies shares, which tell it nothing, with shares, which tell it nothing.

use super::{FIELD, PRIME, WIDTH};
use crate::Result;
use crate::vpk::rows::Rows;
use crate::vpk::segment::SegmentStamp;
use crate::vpk::{Host, Mode};

/// What one host keeps of one collection: four bytes in memory for each stored number.
pub struct SplitHost(Rows);

impl SplitHost {
    /// A host of a collection without segments.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above [`MAX_DIMENSION`](crate::vpk::MAX_DIMENSION).
    pub fn new(dimension: usize) -> Result<SplitHost> {
        Rows::new(Mode::Split, dimension, WIDTH, PRIME).map(SplitHost)
    }
}

impl Host for SplitHost {
    fn store(&mut self, segment: &[u8]) -> Result<()> {
        self.0.store(segment)
    }

    fn remove(&mut self, stamp: &SegmentStamp) -> Result<()> {
        self.0.remove(stamp).map(|_| ())
    }

    fn fetch(&self, stamp: &SegmentStamp) -> Result<Vec<u8>> {
        self.0.fetch(stamp)
    }

    fn admit(&mut self, session: &[u8]) -> Result<()> {
        self.0.admit_nothing(session)
    }

    fn answer(&self, question: &[u8]) -> Result<Vec<u8>> {
        self.0.answer(FIELD, question)
    }
}
