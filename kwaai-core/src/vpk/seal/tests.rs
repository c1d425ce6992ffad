//! What needs the secret key, or a host that computes something else.

use fhe::bfv::{Ciphertext, Encoding, Plaintext};
use fhe_math::rq::{Poly, Representation};
use fhe_traits::FheEncoder as _;

use super::ring::{DEGREE, LAST, Ring};
use super::*;
use crate::vpk::tally::{KINDS, Tally, trials};
use crate::vpk::wire::{Kind, Reader, Writer};
use crate::vpk::{Host, Step};

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % bound
    }

    fn vector(&mut self, quantizer: &Quantizer) -> Vec<i32> {
        let vector: Vec<f32> = (0..quantizer.dimension()).map(|_| self.below(2000) as f32 - 999.5).collect();
        quantizer.quantize(&vector).unwrap().values
    }
}

fn collection(dimension: usize, count: usize) -> (SealOwner, SealHost, Vec<Vec<i32>>, SegmentStamp) {
    let owner = SealOwner::new(&CollectionKey::generate().unwrap(), dimension, Metric::Cosine).unwrap();
    let mut host = SealHost::new(dimension).unwrap();
    host.admit(&owner.session().unwrap()[0]).unwrap();
    let mut numbers = Numbers(9 + dimension as u64);
    let vectors: Vec<Vec<i32>> = (0..count).map(|_| numbers.vector(&owner.quantizer)).collect();
    let upload = owner.seal(&vectors).unwrap();
    host.store(&upload.parts[0]).unwrap();
    (owner, host, vectors, upload.stamp)
}

fn answer(owner: &SealOwner, vector: &[i32], segments: &[SegmentStamp]) -> Answer {
    Answer {
        ring: owner.current().unwrap().ring.clone(),
        secret: owner.current().unwrap().secret.clone(),
        secrets: owner.secrets.clone(),
        burnt: Arc::default(),
        vector: zeroize::Zeroizing::new(vector.to_vec()),
        segments: segments.to_vec(),
        done: None,
    }
}

fn ciphertexts(ring: &Ring, reply: &[u8]) -> (u32, Vec<Ciphertext>) {
    let mut reader = Reader::new(Kind::Reply, Mode::Seal as u8, reply).unwrap();
    let rows = reader.u32().unwrap();
    let mut all = Vec::new();
    while reader.remaining() > 0 {
        let pair = [(); 2].map(|()| ring.read(&mut reader, LAST, Representation::Ntt).unwrap());
        all.push(Ciphertext::new(pair.to_vec(), &ring.parameters).unwrap());
    }
    (rows, all)
}

fn reply(ring: &Ring, rows: u32, ciphertexts: &[Ciphertext]) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Reply, Mode::Seal as u8, 0);
    writer.u32(rows);
    for polynomial in ciphertexts.iter().flat_map(|ciphertext| ciphertext.iter()) {
        ring.write(&mut writer, polynomial, LAST).unwrap();
    }
    writer.finish()
}

/// Decryption is right while the noise is below q / 2t, 11 bits here. The largest of 4,096 coefficients is about four standard
/// deviations, so 9 bits are sixteen of them below the limit. At 2,048 dimensions 9 bits were measured.
#[test]
fn the_noise_stays_far_below_its_limit() {
    let (owner, host, _, stamp) = collection(384, 4094);
    let vector = Numbers(3).vector(&owner.quantizer);
    let question = owner.ask(&vector, &[stamp]).unwrap();
    let (_, all) = ciphertexts(&owner.current().unwrap().ring, &host.answer(&question.parts[0]).unwrap());
    // SAFETY: its time depends on the noise, which is no secret in a test.
    let noise = unsafe { owner.current().unwrap().secret.measure_noise(&all[0]) }.unwrap();
    assert!(noise <= 9, "{noise} bits");
}

/// Everything that a host can make of what it has: it adds to a score or changes any bits, multiplies all scores, swaps rows, answers
/// another question, forgets rows, leaves bytes out, or answers from a segment that was before this one.
#[test]
fn whatever_a_host_changes_is_noticed() {
    let (owner, host, _, stamp) = collection(6, 20);
    let session = owner.session().unwrap();
    let ring = &owner.current().unwrap().ring;
    let mut numbers = Numbers(77);
    let vector = numbers.vector(&owner.quantizer);
    let honest = host.answer(&owner.ask(&vector, &[stamp]).unwrap().parts[0]).unwrap();
    let truth = answer(&owner, &vector, &[stamp]).open(&honest).unwrap();
    let (rows, sums) = ciphertexts(ring, &honest);

    let kept = host.fetch(&stamp).unwrap();
    let from = |segment: &[u8]| {
        let mut liar = SealHost::new(6).unwrap();
        liar.admit(&session[0]).unwrap();
        liar.store(segment).unwrap();
        liar.answer(&owner.ask(&vector, &[stamp]).unwrap().parts[0]).unwrap()
    };
    let row = |at: usize| 38 + at * 18..38 + (at + 1) * 18;
    let (mut replayed, mut swapped, mut dropped, mut rolled_back) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for at in 0..4 {
        let other = numbers.vector(&owner.quantizer);
        replayed.push(host.answer(&owner.ask(&other, &[stamp]).unwrap().parts[0]).unwrap());
        let mut changed = kept.clone();
        (0..18).for_each(|byte| changed.swap(row(at).start + byte, row(at + 1).start + byte));
        swapped.push(from(&changed));
        let mut changed = kept.clone();
        // Rows of vectors, and those that check them.
        changed[row(if at < 2 { at } else { 18 + at })].fill(0);
        dropped.push(from(&changed));
        let before: Vec<Vec<i32>> = (0..20).map(|_| numbers.vector(&owner.quantizer)).collect();
        let mut before = owner.seal(&before).unwrap().parts.swap_remove(0);
        before[6..30].copy_from_slice(&stamp.nonce);
        rolled_back.push(from(&before));
    }
    let encoding = Encoding::simd_at_level(LAST);
    let mut slots = vec![0u64; DEGREE];
    let (mut tally, trials, mut trial) = (Tally::default(), trials(1_000), 0);
    while tally.changes() < trials {
        trial += 1;
        let kind = KINDS[trial % KINDS.len()];
        let forged = match (kind, numbers.below(3)) {
            ("flip", 0) => {
                let mut bytes = honest.clone();
                let at = numbers.below(bytes.len());
                bytes[at] ^= 1 << numbers.below(8);
                bytes
            }
            ("flip", _) => {
                let at = numbers.below(22);
                slots[at] = 1 + numbers.below(PRIME as usize - 1) as u64;
                let error = Plaintext::try_encode(slots.as_slice(), encoding.clone(), &ring.parameters).unwrap();
                slots[at] = 0;
                reply(ring, rows, &[&sums[0] + &error])
            }
            ("scale", 0) => reply(ring, rows, &[-&sums[0]]),
            ("scale", _) => reply(ring, rows, &[&sums[0] + &sums[0]]),
            ("swap", _) => swapped[numbers.below(4)].clone(),
            ("replay", _) => replayed[numbers.below(4)].clone(),
            ("drop", 0) => honest[..numbers.below(honest.len())].to_vec(),
            ("drop", 1) => dropped[numbers.below(4)].clone(),
            ("drop", _) => {
                let zero = Poly::zero(ring.context(LAST).unwrap(), Representation::Ntt);
                let parts = if numbers.below(2) == 0 { [sums[0][0].clone(), zero] } else { [zero, sums[0][1].clone()] };
                reply(ring, rows, &[Ciphertext::new(parts.to_vec(), &ring.parameters).unwrap()])
            }
            _ => rolled_back[numbers.below(4)].clone(),
        };
        match answer(&owner, &vector, &[stamp]).open(&forged) {
            Err(error) => {
                assert!(matches!(error.code(), crate::ErrorCode::CorruptData | crate::ErrorCode::Unsupported));
                tally.count(kind, true);
            }
            // A low bit of a coefficient is noise: nothing was changed.
            Ok(scores) if kind == "flip" && scores == truth => {}
            Ok(_) => tally.count(kind, false),
        }
    }
    tally.close(Mode::Seal);
}

#[test]
fn the_first_reply_counts_and_a_wrong_one_ends_the_session() {
    let (owner, host, _, stamp) = collection(6, 20);
    let vector = Numbers(5).vector(&owner.quantizer);
    let mut question = owner.ask(&vector, &[stamp]).unwrap();
    let honest = host.answer(&question.parts[0]).unwrap();
    assert!(question.opening.offer(1, &honest).is_err(), "there is one host");
    let first = question.opening.offer(0, &honest).unwrap();
    assert!(matches!(first, Step::Done(_)));
    assert_eq!(question.opening.offer(0, b"something else").unwrap(), first);
    let mut question = owner.ask(&vector, &[stamp]).unwrap();
    assert!(question.opening.offer(0, &honest).is_ok(), "equal questions have equal answers");
    let mut question = owner.ask(&vector, &[stamp]).unwrap();
    assert!(question.opening.offer(0, &honest[1..]).is_err());
    assert!(question.opening.offer(0, &honest).is_err(), "a second try is not given");
    assert!(owner.ask(&vector, &[stamp]).is_err());
    let mut owner = owner;
    owner.renew();
    let question = owner.ask(&vector, &[stamp]).unwrap();
    assert!(host.answer(&question.parts[0]).is_err(), "the host has to be given the new keys");
}

/// The packing of coefficients, on which hosts and owners of different versions must agree.
#[test]
fn a_polynomial_is_packed_lowest_bit_first_prime_by_prime() {
    let ring = Ring::shared().unwrap();
    let mut coefficients = vec![0i64; DEGREE];
    coefficients[..3].copy_from_slice(&[1, -1, 0x1_2345_6789]);
    use fhe_math::rq::traits::TryConvertFrom as _;
    let context = ring.context(LAST).unwrap();
    let polynomial =
        Poly::try_convert_from(coefficients.as_slice(), context, true, Representation::PowerBasis).unwrap();
    let mut writer = Writer::new(Kind::Reply, Mode::Seal as u8, 0);
    ring.write(&mut writer, &polynomial, LAST).unwrap();
    let bytes = writer.finish();
    assert_eq!(bytes.len(), 6 + 18_432);
    // 36 bits each: 0x000000001, 0xffffee000, 0x123456789.
    assert_eq!(bytes[..20], *b"KVP\x04\x01\x02\x01\0\0\0\0\0\xee\xff\xff\x89\x67\x45\x23\x01");
    let mut reader = Reader::new(Kind::Reply, Mode::Seal as u8, &bytes).unwrap();
    assert_eq!(
        ring.read(&mut reader, LAST, Representation::PowerBasis).unwrap().coefficients(),
        polynomial.coefficients()
    );
    let mut beyond = bytes.clone();
    beyond[6..11].fill(0xff);
    let mut reader = Reader::new(Kind::Reply, Mode::Seal as u8, &beyond).unwrap();
    assert!(
        ring.read(&mut reader, LAST, Representation::Ntt).is_err(),
        "a coefficient at or above its prime is refused"
    );
}
