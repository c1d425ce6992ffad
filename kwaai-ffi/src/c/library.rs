//! The library as a whole: versions, texts, the log, the end.

use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;

use serde_json::Value;

use super::call::{self, Out, boundary, optional_text, text, texts};
use super::provide::{Code, Context, c_text};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::log::{LogRecord, LogSink};
use crate::rt::{self, process};
use crate::validate::Spelling;
use crate::{rag, validate};

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

/// The version of the library, for example "0.1.0"; the same as `kwaai_version`.
///
/// Ownership: the text is static; do not free it. Threads: any. NULL: never returned. Lifetime: for ever.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_library_version() -> *const c_char {
    kwaai_version()
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

/// Frees numbers that the library handed out through a `float **`.
///
/// Ownership: takes the numbers. Threads: any. NULL: fine, nothing happens. Lifetime: numbers that were freed, or that are
/// not of this library, answer `KWAAI_CLOSED`.
///
/// # Safety
/// Nobody reads the numbers any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_floats_free(values: *mut f32) -> kwaai_status_t {
    if values.is_null() {
        return kwaai_status_t::KWAAI_OK;
    }
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), || process().registry.remove_array(values)) }
}

/// Reads any spelling of a DID, or a PeerId in either of its text forms. As JSON: its `spelling` ("key", "peer_0" to
/// "peer_3", "peer_4_short", "peer_4_long", "kwaainet" or "peer_id"), the identity as `did` and `peer_id`, `addresses` that
/// nobody vouches for, and the DID `document`; null where the text does not carry it. Nothing is asked of the network.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// not applicable.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_library_resolve_did(
    did: *const c_char,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (out, did) = unsafe { (Out::empty("out_json", out_json)?, text("did", did)?) };
        out.set_json(&crate::resolve_did(&did)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Compares an answer with the texts of its sources, of which the first is `[1]`. As a JSON array, empty when the citations
/// hold: the `kind` of each fault ("wrong_number", "misattributed", "stitched", "fabricated", "uncited" or "wrong_figure"),
/// the `span` of the answer in bytes that it concerns, the numbers `cited` there, and the source that the text is `found_in`.
///
/// Words are compared with words, and no model is asked: what stands in quotation marks or is taken word by word must stand
/// in a source that is cited for it, and so must numbers above twelve.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL, and `sources`
/// when `count` is 0. Lifetime: not applicable.
///
/// # Safety
/// Texts end with NUL, `sources` holds `count` of them; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_library_check_citations(
    text: *const c_char,
    sources: *const *const c_char,
    count: usize,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (out, text) = unsafe { (Out::empty("out_json", out_json)?, call::text("text", text)?) };
        // SAFETY: the caller's promise.
        let sources = unsafe { texts("sources", sources, count) }?;
        out.set_json(&rag::check_citations(&text, &sources))
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// What a calibration says, the JSON of `kwaai_rag_calibrate`, where the share alpha, 0 to 1, of the questions that the
/// documents do not answer may get an answer. As JSON: `threshold`, the support above which a question is answered, null when
/// all must be refused; `answered`, the share of the answerable questions that get an answer; and `auroc`, how often an
/// answerable question has more support than another, null without one of either.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// not applicable.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_library_calibration_at(
    calibration_json: *const c_char,
    alpha: f64,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (out, json) = unsafe { (Out::empty("out_json", out_json)?, text("calibration_json", calibration_json)?) };
        out.set_json(&rag::calibration_at(&validate::json("calibration_json", &json)?, alpha)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// For each score that two evaluations of the same questions have, both the JSON of `kwaai_rag_evaluate`, the mean difference, question
/// by question, as JSON: an object of objects with `mean` (as there; `value` is above 0 where the first is better) and `p`.
/// `KWAAI_INVALID_ARGUMENT` when the questions are not the same.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// not applicable.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_library_compare_evaluations(
    evaluation_json: *const c_char,
    other_json: *const c_char,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (out, json) = unsafe { (Out::empty("out_json", out_json)?, text("evaluation_json", evaluation_json)?) };
        // SAFETY: the caller's promise.
        let other = unsafe { text("other_json", other_json) }?;
        let (json, other) = (validate::json("evaluation_json", &json)?, validate::json("other_json", &other)?);
        out.set_json(&rag::compare_evaluations(&json, &other)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// An evaluation, the JSON of `kwaai_rag_evaluate`, for people. `form` is "markdown", or "html" for a page that needs nothing beside
/// itself, with another evaluation beside it where `beside_json` is one.
///
/// Ownership: the caller frees `*out_text` with `kwaai_string_free`. Threads: any. NULL: `beside_json` and `error` may be NULL.
/// Lifetime: not applicable.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_library_evaluation_report(
    evaluation_json: *const c_char,
    beside_json: *const c_char,
    form: *const c_char,
    out_text: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (out, json) = unsafe { (Out::empty("out_text", out_text)?, text("evaluation_json", evaluation_json)?) };
        // SAFETY: the caller's promise.
        let (beside, form) = unsafe { (optional_text("beside_json", beside_json)?, text("form", form)?) };
        let beside = beside.map(|beside| validate::json("beside_json", &beside)).transpose()?;
        let form = validate::record("form", &Value::String(form), Spelling::Snake)?;
        out.set_text(rag::evaluation_report(&validate::json("evaluation_json", &json)?, beside.as_ref(), form))
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes log records.
#[repr(C)]
pub struct kwaai_log_t {
    /// Handed to `call` and `drop`.
    pub context: *mut c_void,
    /// Takes a record, on a thread of its own, one after the other. `record_json` has `at_ms`, `level`, `target`, `message`,
    /// `fields` and `dropped`, how many records before it were lost because this function was too slow. The texts live
    /// until it returns.
    pub call: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            level: *const c_char,
            message: *const c_char,
            record_json: *const c_char,
        ),
    >,
    /// Called when the sink was refused; a sink that was taken stays until the program ends. May be NULL.
    pub drop: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

type LogFn = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, *const c_char);

impl LogSink for Code<LogFn> {
    fn log(&self, record: LogRecord) {
        let Ok(json) = crate::to_json(&record) else { return };
        let (level, message, json) = (c_text(&record.level), c_text(&record.message), c_text(&json.to_string()));
        // SAFETY: the program promised that the function may be called so.
        unsafe { (self.call)(self.context.pointer(), level.as_ptr(), message.as_ptr(), json.as_ptr()) };
    }
}

/// Sends what the library says from now on to a function. `filter` is written as for `RUST_LOG`, for example "info" or
/// "warn,kwaai_core::net=debug". `KWAAI_ALREADY_EXISTS` when the process has a sink already.
///
/// Ownership: takes `sink` in any case. Threads: any; `sink.call` is called on one thread of the library. NULL: `sink.call`
/// is needed; `error` may be NULL. Lifetime: a sink that was taken must live until the program ends.
///
/// # Safety
/// `filter` ends with NUL, and the functions of `sink` may be called with its context from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_library_init_logging(
    filter: *const c_char,
    sink: kwaai_log_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let context = Context::new(sink.context, sink.drop);
    let body = || {
        let code = Code::new(context, sink.call)?;
        // SAFETY: the caller's promise.
        let filter = unsafe { text("filter", filter) }?;
        crate::init_logging(&filter, code)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
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

/// How many handles, texts and arrays the program holds; zero when it freed everything.
///
/// Ownership: nothing changes hands. Threads: any. NULL: not applicable. Lifetime: not applicable.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_live_handles() -> usize {
    process().registry.len()
}
