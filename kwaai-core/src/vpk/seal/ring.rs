//! The parameters of BFV, and how its polynomials are written.
//!
//! Degree 4,096 and 109 bits of ciphertext modulus: what the table of HomomorphicEncryption.org (2018) allows for 128 bits of
//! security with a small secret. Questions and sums live below the first two primes, 72 bits; replies are switched down to
//! the first, 36 bits.

use std::sync::{Arc, OnceLock};

use fhe::bfv::{BfvParameters, BfvParametersBuilder, Ciphertext, Encoding, Plaintext};
use fhe::proto::bfv::Ciphertext as Fields;
use fhe_math::rq::traits::TryConvertFrom as _;
use fhe_math::rq::{Context, Poly, Representation};
use fhe_math::zq::Modulus;
use fhe_traits::{FheEncoder as _, Serialize as _};

use super::{FIELD, PRIME};
use crate::vpk::wire::{Reader, Writer, damaged};
use crate::{Error, Result};

pub(super) const DEGREE: usize = 4096;
/// BFV packs a ciphertext's numbers in two rows, which rotate side by side.
pub(super) const COLUMNS: usize = DEGREE / 2;
/// Coordinates that one ciphertext of a question holds, over and over.
pub(super) const CHUNK: usize = 128;
/// A rotation by k is one by k mod 16 of the question and one by the rest of the sum (baby steps, giant steps: Halevi and
/// Shoup, 2014).
pub(super) const BABY: usize = 16;
pub(super) const GIANT: usize = CHUNK / BABY;

/// The primes of the crate's own parameters for this degree.
const MODULI: [u64; 3] = [0xf_fffe_e001, 0xf_fffc_4001, 0x1f_fffe_0001];

pub(super) const LEVEL: usize = 1;
pub(super) const LAST: usize = 2;

/// Keys, plaintexts and ciphertexts only work together within one of these.
pub(super) struct Ring {
    pub(super) parameters: Arc<BfvParameters>,
    moduli: Vec<Modulus>,
}

impl Ring {
    /// The one of this process. Its tables take about as much memory as the keys of a session, and a host may have
    /// thousands of small collections.
    pub(super) fn shared() -> Result<Arc<Ring>> {
        static SHARED: OnceLock<Arc<Ring>> = OnceLock::new();
        match SHARED.get() {
            Some(ring) => Ok(ring.clone()),
            None => {
                let made = Arc::new(Ring::new()?);
                Ok(SHARED.get_or_init(|| made).clone())
            }
        }
    }

    fn new() -> Result<Ring> {
        let parameters = BfvParametersBuilder::new()
            .set_degree(DEGREE)
            .set_plaintext_modulus(u64::from(PRIME))
            .set_moduli(&MODULI)
            .build_arc()
            .map_err(internal)?;
        let moduli = MODULI.iter().map(|prime| Modulus::new(*prime).map_err(internal)).collect::<Result<_>>()?;
        Ok(Ring { parameters, moduli })
    }

    pub(super) fn context(&self, level: usize) -> Result<&Arc<Context>> {
        self.parameters.context_at_level(level).map_err(internal)
    }

    /// Bytes of a polynomial at a level: its coefficients modulo each prime in turn, packed without gaps, lowest bit first.
    pub(super) fn length(&self, level: usize) -> usize {
        self.limbs(level).iter().map(|prime| prime.serialization_length(DEGREE)).sum()
    }

    fn limbs(&self, level: usize) -> &[Modulus] {
        &self.moduli[..self.moduli.len().saturating_sub(level)]
    }

    pub(super) fn write(&self, writer: &mut Writer, polynomial: &Poly, level: usize) -> Result<()> {
        let mut polynomial = polynomial.clone();
        polynomial.change_representation(Representation::PowerBasis);
        for (prime, limb) in self.limbs(level).iter().zip(polynomial.coefficients().outer_iter()) {
            let limb = limb.as_slice().ok_or_else(|| Error::internal("a polynomial is not laid out in order"))?;
            writer.bytes(&prime.serialize_vec(limb));
        }
        Ok(())
    }

    /// Coefficients are compared with their prime here, because the crate takes it for granted.
    pub(super) fn read(&self, reader: &mut Reader, level: usize, representation: Representation) -> Result<Poly> {
        let limbs = self.limbs(level);
        let mut coefficients = Vec::with_capacity(limbs.len() * DEGREE);
        for prime in limbs {
            let limb = prime.deserialize_vec(reader.take(prime.serialization_length(DEGREE))?);
            if limb.iter().any(|coefficient| *coefficient >= **prime) {
                return Err(damaged("a coefficient is out of range"));
            }
            coefficients.extend(limb);
        }
        let mut polynomial =
            Poly::try_convert_from(coefficients, self.context(level)?, true, Representation::PowerBasis)
                .map_err(internal)?;
        polynomial.change_representation(representation);
        Ok(polynomial)
    }

    /// Known numbers, one for each slot, as the polynomial that ciphertexts are multiplied by.
    ///
    /// Its coefficients are taken nearest to zero. The crate's own plaintexts have them from 0 up, so that half the modulus is
    /// in all of them alike; over many products the noise of the rotations adds up along it, sixteen times in a vector of 2,048
    /// dimensions instead of four.
    pub(super) fn encode(&self, slots: &[u64]) -> Result<Poly> {
        let context = self.context(LEVEL)?;
        let plaintext =
            Plaintext::try_encode(slots, Encoding::simd_at_level(LEVEL), &self.parameters).map_err(internal)?;
        let raw = Poly::try_convert_from(&plaintext, context, true, Representation::PowerBasis).map_err(internal)?;
        // Below the first prime, which is greater than the plaintext modulus, the numbers are what they are.
        let numbers: Vec<i64> =
            raw.coefficients().iter().take(DEGREE).map(|number| FIELD.to_signed(*number as u32)).collect();
        let mut polynomial =
            Poly::try_convert_from(numbers.as_slice(), context, true, Representation::PowerBasis).map_err(internal)?;
        polynomial.change_representation(Representation::Ntt);
        Ok(polynomial)
    }

    /// The sum of the products of halves of ciphertexts with known polynomials, in tiles that stay in the fastest cache.
    ///
    /// Products of 36-bit numbers have 72 bits, so no sum of up to 2³² of them needs more than 128.
    pub(super) fn dot<'a>(&self, halves: impl Iterator<Item = &'a Poly>, known: &[Poly]) -> Result<Poly> {
        const TILE: usize = 256;
        let pairs: Vec<_> =
            halves.zip(known).map(|(half, known)| (half.coefficients(), known.coefficients())).collect();
        let limbs = self.limbs(LEVEL);
        let mut sums = Vec::with_capacity(limbs.len() * DEGREE);
        for (limb, prime) in limbs.iter().enumerate() {
            let mut rows = Vec::with_capacity(pairs.len());
            for (half, known) in &pairs {
                let (Some(half), Some(known)) = (half.as_slice(), known.as_slice()) else {
                    return Err(Error::internal("a polynomial is not laid out in order"));
                };
                let range = limb * DEGREE..(limb + 1) * DEGREE;
                match (half.get(range.clone()), known.get(range)) {
                    (Some(half), Some(known)) => rows.push((half, known)),
                    _ => return Err(Error::internal("a polynomial has too few primes")),
                }
            }
            for tile in 0..DEGREE / TILE {
                let mut sum = [0u128; TILE];
                for (half, known) in &rows {
                    let range = tile * TILE..(tile + 1) * TILE;
                    for ((sum, half), known) in sum.iter_mut().zip(&half[range.clone()]).zip(&known[range]) {
                        *sum += u128::from(*half) * u128::from(*known);
                    }
                }
                sums.extend(sum.iter().map(|sum| prime.reduce_u128(*sum)));
            }
        }
        Poly::try_convert_from(sums, self.context(LEVEL)?, true, Representation::Ntt).map_err(internal)
    }

    /// A fresh ciphertext: its second half is made from a seed, which is written in its place.
    pub(super) fn write_fresh(&self, writer: &mut Writer, ciphertext: &Ciphertext) -> Result<()> {
        let fields = Fields::from(ciphertext);
        let (Ok(seed), Some(first)) = (<[u8; 32]>::try_from(fields.seed), ciphertext.first()) else {
            return Err(Error::internal("a fresh ciphertext has no seed"));
        };
        writer.bytes(&seed);
        self.write(writer, first, LEVEL)
    }

    pub(super) fn read_fresh(&self, reader: &mut Reader) -> Result<Ciphertext> {
        use fhe::bfv::traits::TryConvertFrom as _;
        let seed: [u8; 32] = reader.array()?;
        let first = self.read(reader, LEVEL, Representation::Ntt)?;
        let fields = Fields { c: vec![first.to_bytes()], seed: seed.to_vec(), level: LEVEL as u32 };
        Ciphertext::try_convert_from(&fields, &self.parameters).map_err(internal)
    }
}

/// What the crate refuses although it was checked before.
pub(super) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a computation on ciphertexts failed").with_source(error)
}
