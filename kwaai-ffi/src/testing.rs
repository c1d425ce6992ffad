//! Failures on demand, for the tests of each language. Not part of what is shipped.

use std::collections::BTreeMap;

use kwaai_core::{Error, ErrorCode, event};

use crate::clock::seeded;
use crate::rt::process;
use crate::{CancelToken, Matrix, Result, Stream, rt};

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

/// The length of each row, for measuring what handing an array over costs.
///
/// # Errors
/// `invalid_argument` for a number that is not finite.
pub fn norms(matrix: &Matrix) -> Result<Vec<f32>> {
    matrix.check_finite()?;
    let norm = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt();
    Ok(matrix.values.chunks(matrix.columns.max(1)).map(norm).collect())
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
