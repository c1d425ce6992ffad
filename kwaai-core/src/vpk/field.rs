//! Arithmetic modulo a prime of at most 25 bits.
//!
//! Products of two numbers below it have 50 bits, so sums of up to 8,192 of them fit 64 bits before they are reduced.

use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    prime: u64,
}

impl Field {
    pub(super) const fn new(prime: u32) -> Field {
        assert!(prime < 1 << 25);
        Field { prime: prime as u64 }
    }

    pub(super) const fn prime(self) -> u32 {
        self.prime as u32
    }

    pub(super) fn add(self, a: u32, b: u32) -> u32 {
        ((u64::from(a) + u64::from(b)) % self.prime) as u32
    }

    pub(super) fn sub(self, a: u32, b: u32) -> u32 {
        ((u64::from(a) + self.prime - u64::from(b)) % self.prime) as u32
    }

    pub(super) fn mul(self, a: u32, b: u32) -> u32 {
        (u64::from(a) * u64::from(b) % self.prime) as u32
    }

    pub(super) fn of_signed(self, value: i64) -> u32 {
        value.rem_euclid(self.prime as i64) as u32
    }

    /// The number nearest to zero that this stands for.
    pub(super) fn to_signed(self, value: u32) -> i64 {
        let value = i64::from(value);
        if value > (self.prime as i64 - 1) / 2 { value - self.prime as i64 } else { value }
    }

    /// The dot product of a row of the field with whole numbers that are at most 13 bits long.
    pub(super) fn dot_signed(self, row: &[u32], vector: &[i32]) -> u32 {
        let sum: i64 = row.iter().zip(vector).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
        self.of_signed(sum)
    }

    pub(super) fn dot(self, a: &[u32], b: &[u32]) -> u32 {
        let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(*a) * u64::from(*b)).sum();
        (sum % self.prime) as u32
    }

    /// Fermat's little theorem; zero has none.
    pub(super) fn inverse(self, value: u32) -> Result<u32> {
        if value == 0 {
            return Err(Error::internal("zero has no inverse"));
        }
        let (mut result, mut square, mut exponent) = (1, value, self.prime - 2);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.mul(result, square);
            }
            square = self.mul(square, square);
            exponent >>= 1;
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverses_and_signs_come_back() {
        let field = Field::new(33_554_393);
        for value in [1, 2, 4711, 33_554_392] {
            assert_eq!(field.mul(value, field.inverse(value).unwrap()), 1);
        }
        assert!(field.inverse(0).is_err());
        for value in [-16_777_196i64, -1, 0, 1, 16_777_196] {
            assert_eq!(field.to_signed(field.of_signed(value)), value);
        }
        assert_eq!(field.add(33_554_392, 2), 1);
        assert_eq!(field.sub(1, 2), 33_554_392);
        assert_eq!(field.dot(&[1, 2], &[3, 4]), 11);
        assert_eq!(field.dot_signed(&[1, 2], &[3, -4]), 33_554_388);
    }
}
