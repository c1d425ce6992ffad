//! Where randomness comes from: the operating system, or a key and a number used once.
//!
//! Nothing here uses a generator that lives in the process's memory. After a `fork` both processes would draw the same
//! numbers from one, and a mask used twice is a mask undone.

use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Bytes from the operating system.
pub(super) fn fresh<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    from_system(&mut bytes)?;
    Ok(bytes)
}

fn from_system(bytes: &mut [u8]) -> Result<()> {
    SysRng
        .try_fill_bytes(bytes)
        .map_err(|error| Error::internal(format!("the operating system gives no random numbers: {error}")))
}

enum Source {
    System,
    Keyed(Box<XChaCha20>),
}

const BUFFER: usize = 4096;

/// Numbers that are uniform below a bound.
pub(super) struct Uniform {
    source: Source,
    buffer: Zeroizing<[u8; BUFFER]>,
    used: usize,
    bound: u32,
    bits: u32,
}

impl Uniform {
    /// Numbers below `bound` from the operating system.
    pub(super) fn from_system(bound: u32) -> Uniform {
        Uniform::new(Source::System, bound)
    }

    /// The one sequence of numbers below `bound` that belongs to this key and nonce: XChaCha20's stream.
    pub(super) fn keyed(key: &[u8; 32], nonce: &[u8; 24], bound: u32) -> Uniform {
        Uniform::new(Source::Keyed(Box::new(XChaCha20::new(key.into(), nonce.into()))), bound)
    }

    fn new(source: Source, bound: u32) -> Uniform {
        let bits = u32::BITS - bound.leading_zeros();
        Uniform { source, buffer: Zeroizing::new([0; BUFFER]), used: BUFFER, bound, bits }
    }

    /// The next number. Words of as many bits as the bound has are drawn until one lies below it, so none is likelier
    /// than another.
    pub(super) fn next(&mut self) -> Result<u32> {
        loop {
            let word = match self.buffer[self.used..].first_chunk::<4>() {
                Some(word) => u32::from_le_bytes(*word) & (u32::MAX >> (u32::BITS - self.bits)),
                None => {
                    self.refill()?;
                    continue;
                }
            };
            self.used += 4;
            if word < self.bound {
                return Ok(word);
            }
        }
    }

    fn refill(&mut self) -> Result<()> {
        match &mut self.source {
            Source::System => from_system(self.buffer.as_mut_slice())?,
            Source::Keyed(cipher) => {
                self.buffer.fill(0);
                let ended = |_| Error::resource_exhausted("one mask is too long");
                cipher.try_apply_keystream(self.buffer.as_mut_slice()).map_err(ended)?;
            }
        }
        self.used = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_a_bound_are_uniform_and_belong_to_their_key_and_nonce() {
        let draw = |key: u8, nonce: u8| -> Vec<u32> {
            let mut numbers = Uniform::keyed(&[key; 32], &[nonce; 24], 10);
            (0..100_000).map(|_| numbers.next().unwrap()).collect()
        };
        let numbers = draw(1, 1);
        assert_eq!(numbers, draw(1, 1));
        assert_ne!(numbers, draw(2, 1));
        assert_ne!(numbers, draw(1, 2));
        let mut counts = [0i64; 10];
        numbers.iter().for_each(|number| counts[*number as usize] += 1);
        let chi: f64 = counts.iter().map(|count| (count - 10_000).pow(2) as f64 / 10_000.0).sum();
        assert!(chi < 33.7, "chi-square with 9 degrees of freedom: {chi}");
        let mut system = Uniform::from_system(7);
        assert!((0..10_000).all(|_| system.next().unwrap() < 7));
    }
}
