//! Failures on demand, for tests. Not in the npm package.

use std::collections::HashMap;

use kwaai_ffi::testing;
use napi::bindgen_prelude::{Float32Array, Uint8Array};
use napi_derive::napi;

use crate::error::{Result, thrown, whole};
use crate::operation::Operation;
use crate::stream::Stream;

/// Fails with the error of this number.
#[napi]
pub fn raise_error(number: u16) -> Operation {
    Operation::new(move |cancel| testing::raise(number, cancel))
}

/// Panics.
#[napi]
pub fn panic() -> Operation {
    Operation::new(testing::panic)
}

/// Never finishes.
#[napi]
pub fn hang() -> Operation {
    Operation::new(testing::hang)
}

/// A stream of numbers.
#[napi]
pub fn numbers(count: u32, capacity: u32, open: bool) -> Stream {
    Stream::new(testing::numbers(count, capacity as usize, open))
}

/// The length of each row. The numbers are read where they lie, and the lengths are handed over without a copy.
#[napi]
pub fn norms(values: Float32Array, columns: u32) -> Result<Float32Array> {
    testing::norms(&values, columns as usize).map(Float32Array::new).map_err(thrown)
}

/// The DID of the identity that a seed gives.
#[napi]
pub fn seed_did(seed: f64) -> Result<String> {
    testing::seed_did(whole(seed)).map_err(thrown)
}

/// The signature of these bytes by the identity that a seed gives.
#[napi]
pub fn seed_sign(seed: f64, message: Uint8Array) -> Operation {
    let message = message.to_vec();
    Operation::new(
        move |cancel| async move { testing::seed_sign(whole(seed), message, cancel).await.map(Uint8Array::new) },
    )
}

/// The objects that are alive, by kind.
#[napi]
pub fn live_handles() -> HashMap<String, u32> {
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    testing::live_handles().into_iter().map(|(kind, alive)| (kind.to_owned(), count(alive))).collect()
}
