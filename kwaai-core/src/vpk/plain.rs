//! Nothing hidden: for a machine of one's own, or by explicit choice. The host reads the vectors and every question.

use super::field::Field;
use super::random::fresh;
use super::segment::{self, SegmentStamp, Upload, check_vector, check_vectors};
use super::wire::damaged;
use super::{Metric, Mode, Opening, Owner, Quantizer, Question, Scores, Step, query};
use crate::{Error, Result};

/// That of `Seal`, so that both give the same scores.
pub(super) const PRIME: u32 = super::seal::PRIME;
pub(super) const FIELD: Field = Field::new(PRIME);
pub(super) const WIDTH: usize = 3;

/// The owner of a collection that a host may read.
pub struct PlainOwner(Quantizer);

impl PlainOwner {
    /// An owner without secrets.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above [`MAX_DIMENSION`](super::MAX_DIMENSION).
    pub fn new(dimension: usize, metric: Metric) -> Result<PlainOwner> {
        Quantizer::new(dimension, PRIME, metric).map(PlainOwner)
    }
}

impl Owner for PlainOwner {
    fn mode(&self) -> Mode {
        Mode::Plain
    }

    fn hosts(&self) -> usize {
        1
    }

    fn quantizer(&self) -> &Quantizer {
        &self.0
    }

    fn seal(&self, vectors: &[Vec<i32>]) -> Result<Upload> {
        check_vectors(&self.0, vectors)?;
        let stamp = SegmentStamp { nonce: fresh()?, vectors: vectors.len() as u32 };
        let values = vectors.iter().flatten().map(|value| FIELD.of_signed(i64::from(*value)));
        let part = segment::write(Mode::Plain, &stamp, self.0.dimension(), WIDTH, values);
        Ok(Upload { stamp, parts: vec![part] })
    }

    fn unseal(&self, stamp: &SegmentStamp, parts: &[Option<Vec<u8>>]) -> Result<Vec<Vec<i32>>> {
        let [Some(bytes)] = parts else { return Err(Error::unreachable("the host did not hand the segment out")) };
        let (found, values) = segment::read(Mode::Plain, bytes, self.0.dimension(), WIDTH, PRIME)?;
        if found != *stamp {
            return Err(damaged("it is another segment"));
        }
        let signed = |row: &[u32]| -> Vec<i32> { row.iter().map(|value| FIELD.to_signed(*value) as i32).collect() };
        let vectors: Vec<Vec<i32>> = values.chunks_exact(self.0.dimension()).map(signed).collect();
        vectors
            .iter()
            .try_for_each(|vector| check_vector(&self.0, vector))
            .map_err(|_| damaged("it is not what was stored"))?;
        Ok(vectors)
    }

    fn session(&self) -> Result<Vec<Vec<u8>>> {
        Ok(vec![Vec::new()])
    }

    fn ask(&self, vector: &[i32], segments: &[SegmentStamp]) -> Result<Question> {
        check_vector(&self.0, vector)?;
        let vector: Vec<u32> = vector.iter().map(|value| FIELD.of_signed(i64::from(*value))).collect();
        let parts = vec![query::write(Mode::Plain, &vector, segments)];
        Ok(Question { parts, opening: Box::new(Answer { segments: segments.to_vec(), done: None }) })
    }
}

struct Answer {
    segments: Vec<SegmentStamp>,
    done: Option<Result<Step>>,
}

impl Opening for Answer {
    fn offer(&mut self, host: usize, reply: &[u8]) -> Result<Step> {
        if host != 0 {
            return Err(Error::invalid_argument("there is one host, number 0"));
        }
        let open = || {
            let scores = query::read_reply(Mode::Plain, reply, &self.segments, PRIME)?;
            let mut scores = scores.into_iter().map(|score| FIELD.to_signed(score));
            let exact =
                self.segments.iter().map(|stamp| scores.by_ref().take(stamp.vectors as usize).collect()).collect();
            Ok(Step::Done(Scores { exact, liars: Vec::new() }))
        };
        let done = self.done.take().unwrap_or_else(open);
        self.done.insert(done).clone()
    }
}
