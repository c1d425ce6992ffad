//! The page of a host, for C.

use std::ffi::c_char;

use super::call::{Out, boundary, free, resolve};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::HostConsole;
use crate::registry::Kind;

/// A page on loopback that says who keeps how much at this node.
pub struct kwaai_console_t;

impl Kind for HostConsole {
    const TAG: u8 = 16;
    const NAME: &'static str = "console of a host";
    type Opaque = kwaai_console_t;
}

/// Where a browser on this machine finds the page. It stays readable after the end.
///
/// Ownership: the caller frees `*out_url` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_console_url(
    console: *const kwaai_console_t,
    out_url: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_url", out_url) }?;
        out.set_text(resolve::<HostConsole>(console)?.url().to_owned())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Ends the page. Calling it again is fine.
///
/// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
/// been freed.
///
/// # Safety
/// Output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_console_shutdown(
    console: *const kwaai_console_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        resolve::<HostConsole>(console)?.shutdown();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees the handle and ends the page.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_console_free(console: *mut kwaai_console_t) -> kwaai_status_t {
    free::<HostConsole>(console)
}
