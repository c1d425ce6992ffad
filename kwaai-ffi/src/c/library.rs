//! The library as a whole: versions, texts, the end.

use std::ffi::{CStr, c_char};
use std::time::Duration;

use super::call::boundary;
use super::status::kwaai_status_t;
use crate::rt::{self, process};

/// The number of this interface. It changes only when a program compiled against another one would break.
pub const KWAAI_ABI_VERSION: u32 = 1;

/// The version of the library, for example "0.1.0".
///
/// Ownership: the text is static; do not free it. Threads: any. NULL: never returned. Lifetime: for ever.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version holds no NUL"),
    };
    VERSION.as_ptr()
}

/// The `KWAAI_ABI_VERSION` that the library was built with. A program compares it with the header's.
///
/// Ownership: nothing changes hands. Threads: any. NULL: not applicable. Lifetime: not applicable.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_abi_version() -> u32 {
    KWAAI_ABI_VERSION
}

/// Frees a text that the library handed out through a `char **`.
///
/// Ownership: takes the text. Threads: any. NULL: fine, nothing happens. Lifetime: a text that was freed, or that is not
/// of this library, answers `KWAAI_CLOSED`.
///
/// # Safety
/// Nobody reads the text any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_string_free(text: *mut c_char) -> kwaai_status_t {
    if text.is_null() {
        return kwaai_status_t::KWAAI_OK;
    }
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), || process().registry.remove_text(text)) }
}

/// Ends the library's threads before the program exits, waiting at most `grace_ms` for work that cannot be
/// interrupted. Every later call answers `KWAAI_CLOSED`. Calling it is optional.
///
/// Ownership: handles stay to be freed. Threads: any that the library did not start. NULL: not applicable. Lifetime:
/// calling it twice is fine.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_library_shutdown(grace_ms: u32) -> kwaai_status_t {
    let body = || {
        rt::shutdown(Duration::from_millis(grace_ms.into()));
        Ok(())
    };
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), body) }
}

/// How many handles and texts the program holds; zero when it freed everything.
///
/// Ownership: nothing changes hands. Threads: any. NULL: not applicable. Lifetime: not applicable.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_live_handles() -> usize {
    process().registry.len()
}
