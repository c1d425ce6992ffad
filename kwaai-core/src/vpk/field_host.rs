//! The host of the modes whose questions are numbers of a field: it multiplies.

use super::field::Field;
use super::rows::Rows;
use super::segment::SegmentStamp;
use super::{Host, Mode, plain, split};
use crate::Result;

/// What one host keeps of one collection under `Plain` or `Split`: four bytes in memory for each stored number. Under `Plain`
/// it reads what it keeps; under `Split` it multiplies shares, which tell it nothing, with shares, which tell it nothing.
pub struct FieldHost {
    rows: Rows,
    field: Field,
}

impl FieldHost {
    /// A host of a collection under `Plain`, without segments.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above [`MAX_DIMENSION`](super::MAX_DIMENSION).
    pub fn plain(dimension: usize) -> Result<FieldHost> {
        let rows = Rows::new(Mode::Plain, dimension, plain::WIDTH, plain::PRIME)?;
        Ok(FieldHost { rows, field: plain::FIELD })
    }

    /// One of the hosts of a collection under `Split`, without segments.
    ///
    /// # Errors
    /// As [`FieldHost::plain`].
    pub fn split(dimension: usize) -> Result<FieldHost> {
        let rows = Rows::new(Mode::Split, dimension, split::WIDTH, split::PRIME)?;
        Ok(FieldHost { rows, field: split::FIELD })
    }
}

impl Host for FieldHost {
    fn store(&mut self, segment: &[u8]) -> Result<()> {
        self.rows.store(segment)
    }

    fn remove(&mut self, stamp: &SegmentStamp) -> Result<()> {
        self.rows.remove(stamp).map(|_| ())
    }

    fn fetch(&self, stamp: &SegmentStamp) -> Result<Vec<u8>> {
        self.rows.fetch(stamp)
    }

    fn admit(&mut self, session: &[u8]) -> Result<()> {
        self.rows.admit_nothing(session)
    }

    fn answer(&self, question: &[u8]) -> Result<Vec<u8>> {
        self.rows.answer(self.field, question)
    }
}
