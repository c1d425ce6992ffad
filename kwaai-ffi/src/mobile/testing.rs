//! Failures on demand, for the tests of Kotlin and Swift.

use std::collections::HashMap;
use std::sync::Arc;

use super::number::whole;
use super::{Cancel, NativeNumbers, Result, token};
use crate::testing;

/// Fails with the code of this number.
#[uniffi::export]
pub async fn provoke_error(number: i64, cancel: Cancel) -> Result<()> {
    Ok(testing::raise(whole("number", number)?, token(cancel)).await?)
}

/// Panics inside the runtime.
#[uniffi::export]
pub async fn provoke_panic(cancel: Cancel) -> Result<()> {
    Ok(testing::panic(token(cancel)).await?)
}

/// Never finishes.
#[uniffi::export]
pub async fn wait_forever(cancel: Cancel) -> Result<()> {
    Ok(testing::hang(token(cancel)).await?)
}

/// A stream of numbers.
#[uniffi::export]
pub fn numbers(count: i64, capacity: i64, open: bool) -> Result<Arc<NativeNumbers>> {
    Ok(NativeNumbers::over(testing::numbers(whole("count", count)?, whole("capacity", capacity)?, open)))
}

/// The DID of the identity that a seed gives.
#[uniffi::export]
pub fn seed_did(seed: i64) -> Result<String> {
    Ok(testing::seed_did(whole("seed", seed)?)?)
}

/// The signature of these bytes by the identity that a seed gives.
#[uniffi::export]
pub async fn seed_sign(seed: i64, message: Vec<u8>, cancel: Cancel) -> Result<Vec<u8>> {
    Ok(testing::seed_sign(whole("seed", seed)?, message, token(cancel)).await?)
}

/// The objects that are alive, by kind.
#[uniffi::export]
pub fn live_handles() -> HashMap<String, i64> {
    let live = testing::live_handles().into_iter();
    live.map(|(kind, count)| (kind.to_string(), i64::try_from(count).unwrap_or(i64::MAX))).collect()
}
