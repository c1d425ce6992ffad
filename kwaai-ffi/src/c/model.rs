//! Loaded models, for C.

use std::ffi::c_char;

use super::call::{Out, boundary, free, resolve};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::Model;
use crate::registry::Kind;

/// A loaded model.
pub struct kwaai_model_t;

impl Kind for Model {
    const TAG: u8 = 6;
    const NAME: &'static str = "model";
    type Opaque = kwaai_model_t;
}

/// The id of the model: the same on every machine that has the same weights. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_model_id(
    model: *const kwaai_model_t,
    out_id: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_id", out_id) }?;
        out.set_text(resolve::<Model>(model)?.info().id.clone())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The name of its directory or file, for people. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_name` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_model_name(
    model: *const kwaai_model_t,
    out_name: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_name", out_name) }?;
        out.set_text(resolve::<Model>(model)?.info().name.clone())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// How many blocks the model has. It stays readable after the shutdown.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
/// freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_model_blocks(
    model: *const kwaai_model_t,
    out_blocks: *mut u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_blocks", out_blocks) }?;
        out.set(resolve::<Model>(model)?.info().blocks)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// What the model is, as JSON: `id`, `name`, `blocks`, `held_blocks`, `hidden_size`, `vocab_size`, `max_context`.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_model_info(
    model: *const kwaai_model_t,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_json", out_json) }?;
        out.set_json(resolve::<Model>(model)?.info())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Lets go of the weights. What runs on them may end first. Calling it again is fine.
///
/// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
/// been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_model_shutdown(
    model: *const kwaai_model_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        resolve::<Model>(model)?.shutdown();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees a model.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_model_free(model: *mut kwaai_model_t) -> kwaai_status_t {
    free::<Model>(model)
}
