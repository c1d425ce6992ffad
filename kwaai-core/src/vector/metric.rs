//! How vectors are compared, and which vectors can be.

use super::dot::{dot, squared_distance};
use crate::{Error, Result};

/// The most coordinates of a vector.
pub const MAX_DIMENSION: usize = 65_536;
/// The length of the longest vectors: their products fit 32-bit numbers.
const LONGEST: f64 = 1e18;
/// Vectors whose length is this near to 1 are kept bit for bit, others are scaled.
const UNIT_TOLERANCE: f64 = 1e-4;

/// How vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// By the cosine of the angle between them, -1 to 1. They are kept at length 1; one without a direction is refused.
    #[default]
    Cosine,
    /// By their inner product.
    Dot,
    /// By their Euclidean distance. The score is its negative, so that more is nearer.
    Euclidean,
}

impl Metric {
    /// As it is written down.
    pub(super) fn code(self) -> u8 {
        match self {
            Metric::Cosine => 0,
            Metric::Dot => 1,
            Metric::Euclidean => 2,
        }
    }

    pub(super) fn read(code: u8) -> Result<Metric> {
        [Metric::Cosine, Metric::Dot, Metric::Euclidean]
            .into_iter()
            .find(|metric| metric.code() == code)
            .ok_or_else(|| Error::corrupt_data("a vector collection has a metric that is not known"))
    }

    /// The score of two vectors that were [prepared](Metric::prepare).
    pub(crate) fn score(self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Metric::Cosine | Metric::Dot => dot(a, b),
            Metric::Euclidean => -squared_distance(a, b).sqrt(),
        }
    }

    /// A vector as it is kept and compared.
    ///
    /// # Errors
    /// `invalid_argument` for one of another length, with a value that is not finite, longer than 10¹⁸, or, for cosines,
    /// without a direction.
    pub(crate) fn prepare(self, mut vector: Vec<f32>, dimension: usize) -> Result<Vec<f32>> {
        if vector.len() != dimension {
            return Err(Error::invalid_argument(format!(
                "a vector has {} dimensions, this index {dimension}",
                vector.len()
            )));
        }
        if let Some(at) = vector.iter().position(|value| !value.is_finite()) {
            return Err(
                Error::invalid_argument("a vector has a value that is not a finite number").with("position", at)
            );
        }
        let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if self == Metric::Cosine {
            if norm < f64::from(f32::MIN_POSITIVE) {
                return Err(Error::invalid_argument("a vector of zeros has no direction to compare"));
            }
            if (norm - 1.0).abs() > UNIT_TOLERANCE {
                vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
            }
        } else if norm > LONGEST {
            return Err(
                Error::invalid_argument("a vector is too long for its products to be numbers").with("limit", LONGEST)
            );
        }
        Ok(vector)
    }
}
