//! Status codes and error objects.

use std::ffi::{CStr, CString, c_char};

use kwaai_core::ErrorCode;

use super::call::{free, resolve};
use crate::KwaaiError;
use crate::registry::Kind;
use crate::rt::process;

/// What became of a call. The numbers are fixed and are never used again for something else.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum kwaai_status_t {
    /// It succeeded.
    KWAAI_OK = 0,
    /// An argument is malformed; the same call never succeeds.
    KWAAI_INVALID_ARGUMENT = 1,
    /// What was named does not exist.
    KWAAI_NOT_FOUND = 2,
    /// What was to be made exists already.
    KWAAI_ALREADY_EXISTS = 3,
    /// The other side, or the operating system, refuses.
    KWAAI_PERMISSION_DENIED = 4,
    /// A peer stands below the minimum tier of this node's policy.
    KWAAI_UNTRUSTED_PEER = 5,
    /// A peer could not be reached. The call may succeed later.
    KWAAI_UNREACHABLE = 6,
    /// The deadline passed. The call may succeed later.
    KWAAI_TIMEOUT = 7,
    /// The caller cancelled.
    KWAAI_CANCELLED = 8,
    /// The handle was shut down or freed.
    KWAAI_CLOSED = 9,
    /// Something else holds the resource just now. The call may succeed later.
    KWAAI_BUSY = 10,
    /// A limit was reached.
    KWAAI_RESOURCE_EXHAUSTED = 11,
    /// Stored or received data fails its checks.
    KWAAI_CORRUPT_DATA = 12,
    /// This build, platform or version cannot do it.
    KWAAI_UNSUPPORTED = 13,
    /// The state changed underneath the call. The call may succeed later.
    KWAAI_CONFLICT = 14,
    /// The operating system reported a failure.
    KWAAI_IO = 15,
    /// A defect of this library.
    KWAAI_INTERNAL = 16,
}

impl From<ErrorCode> for kwaai_status_t {
    fn from(code: ErrorCode) -> kwaai_status_t {
        use kwaai_status_t::*;
        match code {
            ErrorCode::InvalidArgument => KWAAI_INVALID_ARGUMENT,
            ErrorCode::NotFound => KWAAI_NOT_FOUND,
            ErrorCode::AlreadyExists => KWAAI_ALREADY_EXISTS,
            ErrorCode::PermissionDenied => KWAAI_PERMISSION_DENIED,
            ErrorCode::UntrustedPeer => KWAAI_UNTRUSTED_PEER,
            ErrorCode::Unreachable => KWAAI_UNREACHABLE,
            ErrorCode::Timeout => KWAAI_TIMEOUT,
            ErrorCode::Cancelled => KWAAI_CANCELLED,
            ErrorCode::Closed => KWAAI_CLOSED,
            ErrorCode::Busy => KWAAI_BUSY,
            ErrorCode::ResourceExhausted => KWAAI_RESOURCE_EXHAUSTED,
            ErrorCode::CorruptData => KWAAI_CORRUPT_DATA,
            ErrorCode::Unsupported => KWAAI_UNSUPPORTED,
            ErrorCode::Conflict => KWAAI_CONFLICT,
            ErrorCode::Io => KWAAI_IO,
            // A code that this layer does not know yet is a defect of this layer.
            _ => KWAAI_INTERNAL,
        }
    }
}

/// What went wrong, in detail. Freed with `kwaai_error_free`.
pub struct kwaai_error_t;

/// The texts of an error, in the form that C reads.
struct ErrorObject {
    status: kwaai_status_t,
    code: CString,
    message: CString,
    json: CString,
    retryable: bool,
}

impl Kind for ErrorObject {
    const TAG: u8 = 1;
    const NAME: &'static str = "error";
    type Opaque = kwaai_error_t;
}

/// Hands an error to C. When not even that is possible the status has to speak for itself.
pub(super) fn export(error: &KwaaiError) -> *mut kwaai_error_t {
    let text = |text: &str| CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
    let object = ErrorObject {
        status: error.code.into(),
        code: text(error.code.as_str()),
        message: text(&error.message),
        json: text(&serde_json::to_string(error).unwrap_or_default()),
        retryable: error.retryable,
    };
    process().registry.insert(object).unwrap_or(std::ptr::null_mut())
}

/// The status that the failed call returned.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `KWAAI_INVALID_ARGUMENT`. Lifetime: the error must not have
/// been freed; if it was, `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_error_status(error: *const kwaai_error_t) -> kwaai_status_t {
    match resolve::<ErrorObject>(error) {
        Ok(object) => object.status,
        Err(error) => error.code.into(),
    }
}

/// Whether the same call may succeed later without the caller changing anything.
///
/// Ownership: nothing changes hands. Threads: any. NULL: false. Lifetime: false for an error that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_error_retryable(error: *const kwaai_error_t) -> bool {
    resolve::<ErrorObject>(error).is_ok_and(|object| object.retryable)
}

/// The fixed name of the code, for example "not_found".
///
/// Ownership: the error keeps the text; do not free it. Threads: any. NULL: returns NULL. Lifetime: valid until the
/// error is freed; NULL when it was.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_error_code(error: *const kwaai_error_t) -> *const c_char {
    borrowed(error, |object| &object.code)
}

/// What happened, for people, with the remedy where there is one. The wording is not part of the interface.
///
/// Ownership: the error keeps the text; do not free it. Threads: any. NULL: returns NULL. Lifetime: valid until the
/// error is freed; NULL when it was.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_error_message(error: *const kwaai_error_t) -> *const c_char {
    borrowed(error, |object| &object.message)
}

/// The whole error as a JSON object: code, number, message, context, retryable, cause.
///
/// Ownership: the error keeps the text; do not free it. Threads: any. NULL: returns NULL. Lifetime: valid until the
/// error is freed; NULL when it was.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_error_json(error: *const kwaai_error_t) -> *const c_char {
    borrowed(error, |object| &object.json)
}

/// Frees an error.
///
/// Ownership: takes the error. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_error_free(error: *mut kwaai_error_t) -> kwaai_status_t {
    free::<ErrorObject>(error)
}

/// The fixed name of a status, for example "timeout"; "ok" for `KWAAI_OK`.
///
/// Ownership: the text is static; do not free it. Threads: any. NULL: not applicable. Lifetime: for ever. A number that
/// is no status gives "unknown".
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_status_name(status: u32) -> *const c_char {
    let name = usize::try_from(status).ok().and_then(|number| NAMES.get(number));
    name.map_or(c"unknown", |name| *name).as_ptr()
}

const NAMES: [&CStr; 17] = [
    c"ok",
    c"invalid_argument",
    c"not_found",
    c"already_exists",
    c"permission_denied",
    c"untrusted_peer",
    c"unreachable",
    c"timeout",
    c"cancelled",
    c"closed",
    c"busy",
    c"resource_exhausted",
    c"corrupt_data",
    c"unsupported",
    c"conflict",
    c"io",
    c"internal",
];

fn borrowed(error: *const kwaai_error_t, text: impl FnOnce(&ErrorObject) -> &CString) -> *const c_char {
    // The registry holds the object until it is freed, so the text stays where it is until then.
    resolve::<ErrorObject>(error).map_or(std::ptr::null(), |object| text(&object).as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_core_has_its_number_and_its_name_in_c() {
        for code in ErrorCode::ALL {
            assert_eq!(kwaai_status_t::from(*code) as u32, u32::from(code.number()), "{code}");
            assert_eq!(NAMES[usize::from(code.number())].to_str(), Ok(code.as_str()));
        }
        assert_eq!(NAMES.len(), ErrorCode::ALL.len() + 1);
    }
}
