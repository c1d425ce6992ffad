//! The owner's questions, and the keys that a host needs to compute on them.

use fhe::bfv::traits::TryConvertFrom as _;
use fhe::bfv::{Ciphertext, Encoding, EvaluationKey, EvaluationKeyBuilder, Plaintext, SecretKey};
use fhe::proto::bfv::{EvaluationKey as KeyFields, GaloisKey, KeySwitchingKey};
use fhe_math::rq::{Poly, Representation};
use fhe_traits::{DeserializeWithContext as _, FheEncoder as _, FheEncrypter as _, Serialize as _};
use rand_fhe::TryRngCore as _;
use rand_fhe::rngs::OsRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::FIELD;
use super::ring::{BABY, CHUNK, COLUMNS, DEGREE, LEVEL, Ring, internal};
use crate::vpk::Mode;
use crate::vpk::quantize::MAX_DIMENSION;
use crate::vpk::query::layout;
use crate::vpk::segment::SegmentStamp;
use crate::vpk::wire::{Kind, Reader, Writer, damaged};
use crate::{Error, Result};

/// Bytes of a session's name, the beginning of the SHA-256 of its keys.
pub(super) const SESSION: usize = 16;

/// The exponents of the automorphisms that rotate by one column and by sixteen: 3¹ and 3¹⁶ modulo 8,192.
const EXPONENTS: [u32; 2] = [3, power_of_three(BABY as u32)];

const fn power_of_three(exponent: u32) -> u32 {
    let (mut power, mut left) = (1, exponent);
    while left > 0 {
        power = power * 3 % (2 * DEGREE as u32);
        left -= 1;
    }
    power
}

/// A new secret key, the name of its session, and the keys for the host: one for each rotation.
pub(super) fn keys(ring: &Ring) -> Result<(SecretKey, [u8; SESSION], Vec<u8>)> {
    let mut random = OsRng.unwrap_err();
    let secret = SecretKey::random(&ring.parameters, &mut random);
    let mut builder = EvaluationKeyBuilder::new_leveled(&secret, LEVEL, 0).map_err(internal)?;
    builder.enable_column_rotation(1).map_err(internal)?;
    builder.enable_column_rotation(BABY).map_err(internal)?;
    let fields = KeyFields::from(&builder.build(&mut random).map_err(internal)?);
    let mut writer = Writer::new(Kind::Session, Mode::Seal as u8, 4 * (ring.length(0) + 32));
    for exponent in EXPONENTS {
        let missing = || Error::internal("a rotation key is missing");
        let key = fields.gk.iter().find(|key| key.exponent == exponent).ok_or_else(missing)?;
        let key = key.ksk.as_ref().ok_or_else(missing)?;
        writer.bytes(&<[u8; 32]>::try_from(key.seed.as_slice()).map_err(internal)?);
        for part in &key.c0 {
            ring.write(&mut writer, &Poly::from_bytes(part, ring.context(0)?).map_err(internal)?, 0)?;
        }
    }
    let bytes = writer.finish();
    Ok((secret, name(&bytes), bytes))
}

fn name(keys: &[u8]) -> [u8; SESSION] {
    let digest: [u8; 32] = Sha256::digest(keys).into();
    std::array::from_fn(|at| digest[at])
}

/// The host's side of [`keys`].
pub(super) fn read_keys(ring: &Ring, bytes: &[u8]) -> Result<([u8; SESSION], EvaluationKey)> {
    let mut reader = Reader::new(Kind::Session, Mode::Seal as u8, bytes)?;
    let mut keys = Vec::with_capacity(EXPONENTS.len());
    for exponent in EXPONENTS {
        let seed: [u8; 32] = reader.array()?;
        let mut c0 = Vec::with_capacity(2);
        for _ in 0..2 {
            c0.push(ring.read(&mut reader, 0, Representation::NttShoup)?.to_bytes());
        }
        let key = KeySwitchingKey {
            c0,
            c1: Vec::new(),
            seed: seed.to_vec(),
            ciphertext_level: LEVEL as u32,
            ksk_level: 0,
            log_base: 0,
        };
        keys.push(GaloisKey { ksk: Some(key), exponent });
    }
    reader.finish()?;
    let fields = KeyFields { gk: keys, ciphertext_level: LEVEL as u32, evaluation_key_level: 0 };
    Ok((name(bytes), EvaluationKey::try_convert_from(&fields, &ring.parameters).map_err(internal)?))
}

/// A question: the session, which segments it expects, and ciphertexts of 128 coordinates each.
pub(super) fn write(
    ring: &Ring,
    secret: &SecretKey,
    session: &[u8; SESSION],
    vector: &[i32],
    segments: &[SegmentStamp],
) -> Result<Vec<u8>> {
    let chunks = vector.len().div_ceil(CHUNK);
    let mut writer = Writer::new(Kind::Query, Mode::Seal as u8, SESSION + 36 + chunks * (32 + ring.length(LEVEL)));
    writer.bytes(session);
    writer.bytes(&layout(segments));
    writer.u32(vector.len() as u32);
    for chunk in vector.chunks(CHUNK) {
        let coordinate = |at: usize| chunk.get(at % CHUNK).copied().unwrap_or_default();
        let slots: Vec<u64> =
            (0..DEGREE).map(|at| u64::from(FIELD.of_signed(i64::from(coordinate(at % COLUMNS))))).collect();
        let slots = Zeroizing::new(slots);
        let plaintext = Plaintext::try_encode(slots.as_slice(), Encoding::simd_at_level(LEVEL), &ring.parameters)
            .map_err(internal)?;
        let ciphertext = secret.try_encrypt(&plaintext, &mut OsRng.unwrap_err()).map_err(internal)?;
        ring.write_fresh(&mut writer, &ciphertext)?;
    }
    Ok(writer.finish())
}

/// A question as a host reads it.
pub(super) struct Query {
    pub(super) session: [u8; SESSION],
    pub(super) layout: [u8; 32],
    pub(super) dimension: usize,
    pub(super) chunks: Vec<Ciphertext>,
}

pub(super) fn read(ring: &Ring, bytes: &[u8]) -> Result<Query> {
    let mut reader = Reader::new(Kind::Query, Mode::Seal as u8, bytes)?;
    let session = reader.array()?;
    let layout = reader.array()?;
    let dimension = reader.u32()? as usize;
    if dimension == 0 || dimension > MAX_DIMENSION {
        return Err(damaged("vectors cannot have so many dimensions"));
    }
    let mut chunks = Vec::with_capacity(dimension.div_ceil(CHUNK));
    for _ in 0..dimension.div_ceil(CHUNK) {
        chunks.push(ring.read_fresh(&mut reader)?);
    }
    reader.finish()?;
    Ok(Query { session, layout, dimension, chunks })
}
