//! Vectors as whole numbers.
//!
//! A vector is scaled to length 1, multiplied by a whole number and rounded. The dot product of two such vectors, divided by
//! the square of that number, is their cosine up to a stated error, and the arithmetic of ciphertexts and shares reproduces
//! it exactly.

use crate::{Error, Result};

/// The longest vectors. Beyond this the noise in a ciphertext and the sums of 64-bit numbers have no room left.
pub const MAX_DIMENSION: usize = 2048;

/// How two vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// The cosine of the angle between them. A vector without a direction is refused.
    Cosine,
    /// Their dot product. The lengths stay with the owner, so hosts treat both alike.
    Dot,
}

/// A vector as whole numbers, and how long it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// The direction, each coordinate times [`Quantizer::scale`], rounded.
    pub values: Vec<i32>,
    /// The Euclidean length of the vector as it was given.
    pub length: f32,
}

/// Turns vectors of one dimension into whole numbers for arithmetic modulo one prime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantizer {
    dimension: usize,
    scale: u32,
    metric: Metric,
}

impl Quantizer {
    /// For vectors of `dimension` whose dot products must lie within half of `prime` on either side of zero.
    ///
    /// Rounding can make a vector longer by half the square root of its dimension, which the scale leaves room for, so that
    /// no dot product can wrap around.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above [`MAX_DIMENSION`].
    pub fn new(dimension: usize, prime: u32, metric: Metric) -> Result<Quantizer> {
        if dimension == 0 || dimension > MAX_DIMENSION {
            return Err(Error::invalid_argument(format!(
                "private vectors have 1 to {MAX_DIMENSION} dimensions, not {dimension}"
            )));
        }
        let longest = (f64::from(prime - 1) / 2.0).sqrt();
        // A hundredth less, for what the square root and the scaling to length 1 round themselves.
        let scale = (longest - (dimension as f64).sqrt() / 2.0 - 0.01).floor() as u32;
        Ok(Quantizer { dimension, scale, metric })
    }

    /// How many coordinates a vector has.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// What a coordinate of 1 becomes.
    pub fn scale(&self) -> u32 {
        self.scale
    }

    /// How vectors are compared.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The most by which a cosine can be off: √d/s + d/4s², by the inequality of Cauchy and Schwarz. Over the errors of
    /// rounding that occur it is about s⁻¹/√6 in the middle.
    pub fn worst_error(&self) -> f64 {
        let (dimension, scale) = (self.dimension as f64, f64::from(self.scale));
        dimension.sqrt() / scale + dimension / (4.0 * scale * scale)
    }

    /// The cosine that belongs to a dot product of two quantized vectors.
    pub fn cosine(&self, dot: i64) -> f64 {
        dot as f64 / (f64::from(self.scale) * f64::from(self.scale))
    }

    /// A vector as whole numbers.
    ///
    /// # Errors
    /// `invalid_argument` for a vector of another length, with a value that is not finite, or, where cosines are compared,
    /// without a direction.
    pub fn quantize(&self, vector: &[f32]) -> Result<Quantized> {
        if vector.len() != self.dimension {
            return Err(Error::invalid_argument(format!(
                "the vector has {} dimensions, the collection {}",
                vector.len(),
                self.dimension
            )));
        }
        if let Some(at) = vector.iter().position(|value| !value.is_finite()) {
            return Err(Error::invalid_argument("the vector has a value that is not finite").with("position", at));
        }
        let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if !(length as f32).is_finite() {
            return Err(Error::invalid_argument("the vector is too long for a 32-bit number"));
        }
        if length == 0.0 {
            return match self.metric {
                Metric::Cosine => Err(Error::invalid_argument("a vector of zeros has no direction")),
                Metric::Dot => Ok(Quantized { values: vec![0; self.dimension], length: 0.0 }),
            };
        }
        let factor = f64::from(self.scale) / length;
        let values = vector.iter().map(|value| (f64::from(*value) * factor).round() as i32).collect();
        Ok(Quantized { values, length: length as f32 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorCode;

    const PRIME: u32 = 16_760_833;

    proptest! {
        #[test]
        fn the_cosine_is_within_the_stated_error_and_never_wraps(
            (a, b) in (1usize..600).prop_flat_map(|dimension| {
                let vector = proptest::collection::vec(-1e3f32..1e3, dimension);
                (vector.clone(), vector)
            })
        ) {
            let quantizer = Quantizer::new(a.len(), PRIME, Metric::Cosine).unwrap();
            let (Ok(qa), Ok(qb)) = (quantizer.quantize(&a), quantizer.quantize(&b)) else { return Ok(()) };
            let dot: i64 = qa.values.iter().zip(&qb.values).map(|(x, y)| i64::from(x * y)).sum();
            let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let exact = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>() / norm(&a) / norm(&b);
            prop_assert!((quantizer.cosine(dot) - exact).abs() <= quantizer.worst_error() + 1e-9);
            let own: i64 = qa.values.iter().map(|x| i64::from(x * x)).sum();
            prop_assert!(own <= i64::from(PRIME - 1) / 2);
        }
    }

    #[test]
    fn the_longest_rounding_does_not_wrap() {
        for dimension in [1, 2, 256, 384, 768, 1024, MAX_DIMENSION] {
            let quantizer = Quantizer::new(dimension, PRIME, Metric::Cosine).unwrap();
            let longest = f64::from(quantizer.scale()) + (dimension as f64).sqrt() / 2.0;
            assert!(longest * longest < f64::from(PRIME - 1) / 2.0, "{dimension}");
        }
    }

    #[test]
    fn what_has_no_direction_or_no_number_is_refused_before_anything_happens() {
        let quantizer = Quantizer::new(3, PRIME, Metric::Cosine).unwrap();
        for vector in [
            &[0.0, 0.0, 0.0][..],
            &[1.0, f32::NAN, 0.0],
            &[1.0, f32::INFINITY, 0.0],
            &[f32::MAX, f32::MAX, f32::MAX],
            &[1.0, 2.0],
            &[1.0, 2.0, 3.0, 4.0],
            &[],
        ] {
            assert_eq!(quantizer.quantize(vector).unwrap_err().code(), ErrorCode::InvalidArgument, "{vector:?}");
        }
        let dot = Quantizer::new(3, PRIME, Metric::Dot).unwrap();
        assert_eq!(dot.quantize(&[0.0; 3]).unwrap(), Quantized { values: vec![0; 3], length: 0.0 });
        for dimension in [0, MAX_DIMENSION + 1] {
            assert_eq!(Quantizer::new(dimension, PRIME, Metric::Dot).unwrap_err().code(), ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn length_does_not_change_the_direction() {
        let quantizer = Quantizer::new(4, PRIME, Metric::Cosine).unwrap();
        let short = quantizer.quantize(&[0.003, -0.001, 0.0, 0.002]).unwrap();
        let long = quantizer.quantize(&[3e30, -1e30, 0.0, 2e30]).unwrap();
        assert_eq!(short.values, long.values);
        assert!(quantizer.quantize(&[f32::MIN_POSITIVE / 8.0, 0.0, 0.0, 0.0]).is_ok());
    }
}
