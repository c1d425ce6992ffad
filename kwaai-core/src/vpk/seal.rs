//! One host that learns nothing: masked vectors, encrypted questions.
//!
//! Each stored number is v + r modulo the plaintext modulus of BFV, with r from a keyed stream that is used once, so the host
//! keeps uniform noise. A question is encrypted under BFV (Fan and Vercauteren, ePrint 2012/144; Brakerski 2012), which allows to add
//! and to multiply by known numbers: partially homomorphic. The host computes the encrypted ⟨v + r, q⟩ of every row. The owner
//! decrypts, takes ⟨r, q⟩ away, and has exact scores.
//!
//! The host touches every row for every question, so nothing tells which ones mattered.

mod answer;
mod host;
mod mask;
mod query;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use fhe::bfv::SecretKey;

use super::check::Checks;
use super::field::Field;
use super::key::{CollectionKey, Purpose};
use super::random::fresh;
use super::segment::{self, SegmentStamp, Upload, check_vector, check_vectors};
use super::wire::damaged;
use super::{Metric, Mode, Owner, Quantizer, Question};
use crate::{Error, Result};
use answer::Answer;
use mask::Masks;
use ring::Ring;

pub use host::SealHost;
pub(super) use host::{MAX_SESSIONS, SESSION_BYTES, prepared_bytes};

/// The plaintext modulus: the greatest prime below 2²⁴ that is 1 modulo 8,192, so that a stored number has three bytes.
pub(super) const PRIME: u32 = 16_760_833;
const FIELD: Field = Field::new(PRIME);
/// Bytes of a stored number.
pub(super) const WIDTH: usize = 3;

/// The owner of a collection that one host keeps.
pub struct SealOwner {
    quantizer: Quantizer,
    secrets: Arc<Secrets>,
    /// Made with the first question: an owner that only seals needs none, and making its keys takes a while.
    session: OnceLock<Session>,
}

/// What belongs to the collection and not to a session.
struct Secrets {
    masks: Masks,
    check: zeroize::Zeroizing<[u8; 32]>,
}

/// A BFV key of its own, made anew for each process and never written down.
struct Session {
    ring: Arc<Ring>,
    secret: Arc<SecretKey>,
    id: [u8; query::SESSION],
    keys: Vec<u8>,
    /// A host of this session answered wrongly. What it learns from being asked again could tell it about the secret key, so
    /// it is not asked again under this key.
    burnt: Arc<AtomicBool>,
    /// `fork` copies the generator that `fhe` draws from, so the copy must not encrypt under the same key.
    process: u32,
}

impl SealOwner {
    /// Opens a collection with its key. The first question begins a session, under a secret key of its own.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above [`MAX_DIMENSION`](super::MAX_DIMENSION).
    pub fn new(key: &CollectionKey, dimension: usize, metric: Metric) -> Result<SealOwner> {
        let quantizer = Quantizer::new(dimension, PRIME, metric)?;
        let secrets = Secrets { masks: Masks::new(key.derive(Purpose::Mask)?), check: key.derive(Purpose::Check)? };
        Ok(SealOwner { quantizer, secrets: Arc::new(secrets), session: OnceLock::new() })
    }

    /// Ends the session. The next question begins another, with a new key. Needed after a wrong answer, for another host, and after
    /// `fork`.
    pub fn renew(&mut self) {
        self.session = OnceLock::new();
    }

    fn current(&self) -> Result<&Session> {
        match self.session.get() {
            Some(session) => Ok(session),
            // Who comes second uses that of the first.
            None => {
                let made = Session::new(Ring::shared()?)?;
                Ok(self.session.get_or_init(|| made))
            }
        }
    }
}

impl Session {
    fn new(ring: Arc<Ring>) -> Result<Session> {
        let (secret, id, keys) = query::keys(&ring)?;
        let burnt = Arc::new(AtomicBool::new(false));
        Ok(Session { ring, secret: Arc::new(secret), id, keys, burnt, process: std::process::id() })
    }
}

impl Owner for SealOwner {
    fn mode(&self) -> Mode {
        Mode::Seal
    }

    fn hosts(&self) -> usize {
        1
    }

    fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    fn seal(&self, vectors: &[Vec<i32>]) -> Result<Upload> {
        check_vectors(&self.quantizer, vectors)?;
        let stamp = SegmentStamp { nonce: fresh()?, vectors: vectors.len() as u32 };
        let checks = Checks::new(FIELD, &self.secrets.check, &stamp)?.rows(vectors);
        let mut masks = self.secrets.masks.of(&stamp);
        let mut values = Vec::with_capacity(stamp.rows(Mode::Seal) * self.quantizer.dimension());
        let numbers = vectors.iter().flatten().map(|value| FIELD.of_signed(i64::from(*value)));
        for value in numbers.chain(checks.into_iter().flatten()) {
            values.push(FIELD.add(value, masks.next()?));
        }
        let part = segment::write(Mode::Seal, &stamp, self.quantizer.dimension(), WIDTH, values);
        Ok(Upload { stamp, parts: vec![part] })
    }

    fn unseal(&self, stamp: &SegmentStamp, parts: &[Option<Vec<u8>>]) -> Result<Vec<Vec<i32>>> {
        let [Some(bytes)] = parts else { return Err(Error::unreachable("the host did not hand the segment out")) };
        let dimension = self.quantizer.dimension();
        let (found, masked) = segment::read(Mode::Seal, bytes, dimension, WIDTH, PRIME)?;
        if found != *stamp {
            return Err(damaged("it is another segment"));
        }
        let mut masks = self.secrets.masks.of(stamp);
        let mut values = Vec::with_capacity(masked.len());
        for value in masked {
            values.push(FIELD.sub(value, masks.next()?));
        }
        let (vectors, checks) = values.split_at(stamp.vectors as usize * dimension);
        let vectors: Vec<Vec<i32>> = vectors
            .chunks_exact(dimension)
            .map(|row| row.iter().map(|value| FIELD.to_signed(*value) as i32).collect())
            .collect();
        let right = vectors.iter().all(|vector| check_vector(&self.quantizer, vector).is_ok())
            && Checks::new(FIELD, &self.secrets.check, stamp)?.rows(&vectors).concat() == checks;
        if right { Ok(vectors) } else { Err(damaged("it is not what was sealed")) }
    }

    fn session(&self) -> Result<Vec<Vec<u8>>> {
        Ok(vec![self.current()?.keys.clone()])
    }

    fn ask(&self, vector: &[i32], segments: &[SegmentStamp]) -> Result<Question> {
        check_vector(&self.quantizer, vector)?;
        let session = self.current()?;
        if session.burnt.load(Ordering::Acquire) {
            return Err(Error::permission_denied("a host of this session answered wrongly")
                .with_remedy("choose another host, and renew the session"));
        }
        if session.process != std::process::id() {
            return Err(
                Error::conflict("the session belongs to the process before the fork").with_remedy("renew the session")
            );
        }
        let part = query::write(&session.ring, &session.secret, &session.id, vector, segments)?;
        let answer = Answer {
            ring: session.ring.clone(),
            secret: session.secret.clone(),
            secrets: self.secrets.clone(),
            burnt: session.burnt.clone(),
            vector: zeroize::Zeroizing::new(vector.to_vec()),
            segments: segments.to_vec(),
            done: None,
        };
        Ok(Question { parts: vec![part], opening: Box::new(answer) })
    }
}
