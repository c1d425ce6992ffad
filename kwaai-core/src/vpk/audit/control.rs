//! Copies of the same vectors that must fall to the attacks.

use nalgebra::DMatrix;

use super::attack::{Rows, draw};
use super::evidence::Known;

/// Turned by a secret rotation, each as long as it was: what is often called encryption.
pub(super) fn rotated(known: &Known) -> Rows {
    let dimension = known.vectors[0].len();
    let entry = |row: usize, column: usize| {
        // Nearly normal, so that the rotation is nearly uniform.
        (0..6u64).map(|at| draw(((row * dimension + column) as u64) << 3 | at)).sum::<f64>() - 3.0
    };
    let rotation = DMatrix::from_fn(dimension, dimension, entry).qr().q();
    let rows = DMatrix::from_fn(known.vectors.len(), dimension, |row, column| {
        let length: f64 = known.vectors[row].iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        f64::from(known.vectors[row][column]) / length.max(1.0) * f64::from(known.lengths[row])
    });
    Rows::of(rows * rotation)
}

/// Hidden under one mask that is the same for all.
pub(super) fn masked_alike(known: &Known, prime: u32) -> Rows {
    let mask = |at: usize| (draw(at as u64) * f64::from(prime)) as i64;
    let masked = known.vectors.iter().map(|vector| {
        let values = vector.iter().enumerate();
        values.map(|(at, value)| (i64::from(*value) + mask(at)).rem_euclid(i64::from(prime)) as u32).collect()
    });
    Rows::seen(&masked.collect::<Vec<Vec<u32>>>(), prime)
}

/// As they are, with their texts.
pub(super) fn clear(known: &Known) -> Vec<Vec<u8>> {
    let bytes = |vector: &Vec<i32>| vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    known.vectors.iter().map(bytes).chain(known.texts.iter().cloned()).collect()
}
