//! The owner's side of a reply: decrypt, take the masks away, check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fhe::bfv::{Ciphertext, Encoding, SecretKey};
use fhe_math::rq::Representation;
use fhe_traits::{FheDecoder as _, FheDecrypter as _};
use zeroize::Zeroizing;

use super::ring::{DEGREE, LAST, Ring, internal};
use super::{FIELD, Secrets};
use crate::vpk::check::Checks;
use crate::vpk::segment::{self, SegmentStamp};
use crate::vpk::wire::{Kind, Reader, damaged};
use crate::vpk::{Mode, Opening, Scores, Step};
use crate::{Error, Result};

pub(super) struct Answer {
    pub(super) ring: Arc<Ring>,
    pub(super) secret: Arc<SecretKey>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) burnt: Arc<AtomicBool>,
    pub(super) vector: Zeroizing<Vec<i32>>,
    pub(super) segments: Vec<SegmentStamp>,
    pub(super) done: Option<Result<Step>>,
}

impl Opening for Answer {
    fn offer(&mut self, host: usize, reply: &[u8]) -> Result<Step> {
        if host != 0 {
            return Err(Error::invalid_argument("there is one host, number 0"));
        }
        if self.done.is_none() {
            let opened = self.open(reply);
            if opened.is_err() {
                self.burnt.store(true, Ordering::Release);
            }
            self.done = Some(opened.map(|exact| Step::Done(Scores { exact, liars: Vec::new() })));
        }
        self.done.clone().unwrap_or(Ok(Step::Wait))
    }
}

impl Answer {
    pub(super) fn open(&self, reply: &[u8]) -> Result<Vec<Vec<i64>>> {
        let rows = segment::rows(Mode::Seal, &self.segments);
        let masked = self.decrypt(reply, rows)?;
        let mut exact = Vec::with_capacity(self.segments.len());
        let mut right = true;
        let mut from = 0;
        for stamp in &self.segments {
            let mut masks = self.secrets.masks.of(stamp);
            let mut mask = Zeroizing::new(vec![0u32; self.vector.len()]);
            let mut scores = Vec::with_capacity(stamp.rows(Mode::Seal));
            for masked in &masked[from..from + stamp.rows(Mode::Seal)] {
                for value in mask.iter_mut() {
                    *value = masks.next()?;
                }
                scores.push(FIELD.sub(*masked, FIELD.dot_signed(&mask, &self.vector)));
            }
            from += stamp.rows(Mode::Seal);
            // Every segment is looked at, whatever the ones before it said.
            right &= Checks::new(FIELD, &self.secrets.check, stamp)?.deviation(&scores) == [0; segment::CHECKS];
            scores.truncate(stamp.vectors as usize);
            exact.push(scores.into_iter().map(|score| FIELD.to_signed(score)).collect());
        }
        if right { Ok(exact) } else { Err(wrong()) }
    }

    fn decrypt(&self, reply: &[u8], rows: usize) -> Result<Vec<u32>> {
        let mut reader = Reader::new(Kind::Reply, Mode::Seal as u8, reply)?;
        if reader.u32()? as usize != rows {
            return Err(damaged("it answers about another number of rows"));
        }
        let mut masked = Vec::with_capacity(rows.next_multiple_of(DEGREE));
        for _ in 0..rows.div_ceil(DEGREE) {
            let first = self.ring.read(&mut reader, LAST, Representation::Ntt)?;
            let second = self.ring.read(&mut reader, LAST, Representation::Ntt)?;
            let ciphertext = Ciphertext::new(vec![first, second], &self.ring.parameters).map_err(internal)?;
            let plaintext = self.secret.try_decrypt(&ciphertext).map_err(internal)?;
            let slots = Vec::<u64>::try_decode(&plaintext, Encoding::simd_at_level(LAST)).map_err(internal)?;
            masked.extend(slots.into_iter().map(|slot| slot as u32));
        }
        reader.finish()?;
        Ok(masked)
    }
}

fn wrong() -> Error {
    Error::corrupt_data("the host answered wrongly").with_remedy("choose another host, and renew the session")
}
