//! Failures on demand, for C. Not part of what is shipped; `tests/c/kwaainet_testing.h` declares them.

use std::ffi::c_char;

use super::call::{Out, boundary, slice};
use super::reply::{Text, stream};
use super::status::{kwaai_error_t, kwaai_status_t};
use super::stream::kwaai_stream_t;
use crate::testing;

waiting! {
    /// Fails with the status of this number.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: not applicable.
    fn kwaai_testing_raise / kwaai_testing_raise_async(number: u16) -> () {
        move |cancel| testing::raise(number, cancel)
    }

    /// Panics inside the library, which answers `KWAAI_INTERNAL`.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: not applicable.
    fn kwaai_testing_panic / kwaai_testing_panic_async() -> () {
        testing::panic
    }

    /// Never ends. The live handle `hang` shows that it is under way.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: not applicable.
    fn kwaai_testing_hang / kwaai_testing_hang_async() -> () {
        testing::hang
    }

    /// The signature of these bytes by the identity of a seed, in hexadecimal.
    ///
    /// Ownership: the caller frees `*out_hex` with `kwaai_string_free`. Threads: any, also in a callback by its operation.
    /// NULL: `error` may be NULL. Lifetime: not applicable.
    fn kwaai_testing_seed_sign / kwaai_testing_seed_sign_async(seed: u64, message: *const u8, length: usize)
        -> (out_hex: *mut c_char) {
        let message = slice("message", message, length)?.to_vec();
        move |cancel| async move {
            let signature = testing::seed_sign(seed, message, cancel).await?;
            Ok(Text(signature.iter().map(|byte| format!("{byte:02x}")).collect()))
        }
    }
}

/// A stream of the numbers from 0 up to `count`, kept in a buffer of `capacity`, that stays open when `open` is true.
///
/// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
/// applicable.
///
/// # Safety
/// Outputs may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_testing_numbers(
    count: u32,
    capacity: usize,
    open: bool,
    out_stream: *mut *mut kwaai_stream_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_stream", out_stream) }?;
        out.set_handle(stream(testing::numbers(count, capacity, open)))
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The DID of the identity of a seed.
///
/// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
/// applicable.
///
/// # Safety
/// Outputs may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_testing_seed_did(
    seed: u64,
    out_did: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_did", out_did) }?;
        out.set_text(testing::seed_did(seed)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The objects that are alive, as a JSON object from kinds to numbers; `c` counts what C holds.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
/// applicable.
///
/// # Safety
/// Outputs may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_testing_live_handles(
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_json", out_json) }?;
        out.set_json(&testing::live_handles())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}
