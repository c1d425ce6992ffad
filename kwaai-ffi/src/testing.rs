//! Failures on demand, for the tests of each language. Not part of what is shipped.

use std::collections::BTreeMap;

use kwaai_core::{Error, ErrorCode, event};

use crate::clock::seeded;
use crate::rt::process;
use crate::{CancelToken, Result, Stream, rt};

/// Fails with the code of this number, with a detail and a cause as a real error has them.
///
/// # Errors
/// Always: with that code, or `invalid_argument` when there is none of that number.
pub async fn raise(number: u16, cancel: CancelToken) -> Result<()> {
    rt::run(&cancel, async move {
        let code = ErrorCode::from_number(number)
            .ok_or_else(|| Error::invalid_argument(format!("there is no error code {number}")))?;
        let cause = std::io::Error::other("the cause beneath");
        Err(Error::new(code, format!("a {code} error on demand")).with("detail", "on demand").with_source(cause))
    })
    .await
}

/// Panics inside the runtime.
///
/// # Errors
/// Always `internal`.
pub async fn panic(cancel: CancelToken) -> Result<()> {
    rt::run(&cancel, async { panic!("a panic on demand") }).await
}

/// Never finishes. The live handle `hang` shows that it is under way.
///
/// # Errors
/// `cancelled`, once it is.
pub async fn hang(cancel: CancelToken) -> Result<()> {
    let held = crate::handle::Handle::new("hang", ());
    rt::run(&cancel, async move {
        let _held = held;
        std::future::pending().await
    })
    .await
}

/// A stream of the numbers from 0 up to `count`, kept in a buffer of `capacity`, that stays open when `open` is true.
pub fn numbers(count: u32, capacity: usize, open: bool) -> Stream<u32> {
    let (sender, stream) = event::channel(capacity);
    (0..count).for_each(|number| sender.send(number));
    if open {
        let held = sender.cancellation();
        if let Some(runtime) = process().context() {
            runtime.spawn(async move {
                held.cancelled().await;
                sender.finish(Ok(()));
            });
        }
    } else {
        sender.finish(Ok(()));
    }
    Stream::new(stream)
}

/// The length of each row of a matrix, read where it lies, for measuring what handing an array over costs.
///
/// # Errors
/// `invalid_argument` for numbers that do not fill the rows exactly, and for one that is not finite.
pub fn norms(values: &[f32], columns: usize) -> Result<Vec<f32>> {
    if columns == 0 || !values.len().is_multiple_of(columns) {
        let message = format!("{} numbers do not make rows of {columns}", values.len());
        return Err(Error::invalid_argument(message).into());
    }
    let norms: Vec<f32> = values.chunks_exact(columns).map(length).collect();
    match norms.iter().position(|norm| !norm.is_finite()) {
        None => Ok(norms),
        Some(row) => Err(Error::invalid_argument(format!("row {row} holds a number that is not finite")).into()),
    }
}

/// Summed in several lanes, so that the compiler may use them.
fn length(row: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value * value;
        }
    }
    (sums.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>()).sqrt()
}

/// The DID of the identity that a seed gives.
///
/// # Errors
/// None for any seed.
pub fn seed_did(seed: u64) -> Result<String> {
    Ok(seeded(seed).did()?.to_string())
}

/// The Ed25519 signature of these bytes by the identity that a seed gives, for signers written in tests.
///
/// # Errors
/// None for any seed.
pub async fn seed_sign(seed: u64, message: Vec<u8>, cancel: CancelToken) -> Result<Vec<u8>> {
    let signer = seeded(seed).signer()?;
    rt::run(&cancel, async move { Ok(signer.sign(&message).await?.to_vec()) }).await
}

/// The objects that are alive in this process, by kind. Empty when everything was let go.
pub fn live_handles() -> BTreeMap<&'static str, usize> {
    #[cfg_attr(not(feature = "capi"), expect(unused_mut, reason = "only C holds handles beside the objects"))]
    let mut live = process().live();
    #[cfg(feature = "capi")]
    if process().registry.len() > 0 {
        live.insert("c", process().registry.len());
    }
    live
}
