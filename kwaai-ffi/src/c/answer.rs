//! The answers that functions of a C program owe.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use kwaai_core::llm::{FinishReason, Usage};
use kwaai_core::{Error, ErrorCode};
use serde::Deserialize;

use super::call::{boundary, free, optional_text, record, resolve, slice, text};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::provide::{Answer, Pieces};
use crate::registry::Kind;
use crate::rt::process;
use crate::{KwaaiError, Result};

/// An answer that a function of the program owes. Giving it frees it.
pub struct kwaai_answer_t;

/// A part of a document.
#[repr(C)]
pub struct kwaai_part_t {
    /// What a citation calls it, for example "page 3"; NULL for a part without a name.
    pub label: *const c_char,
    /// Its text.
    pub text: *const c_char,
}

/// What is owed, by the kind of function that owes it.
pub(super) enum Owed {
    Vectors(Answer<Vec<f32>>),
    Parts(Answer<Vec<(Option<String>, String)>>),
    Signature(Answer<Vec<u8>>),
    Pieces(Pieces),
}

impl Owed {
    fn is_unwanted(&self) -> bool {
        match self {
            Owed::Vectors(answer) => answer.is_unwanted(),
            Owed::Parts(answer) => answer.is_unwanted(),
            Owed::Signature(answer) => answer.is_unwanted(),
            Owed::Pieces(pieces) => pieces.is_unwanted(),
        }
    }

    fn fail(self, error: KwaaiError) {
        match self {
            Owed::Vectors(answer) => answer.fail(error),
            Owed::Parts(answer) => answer.fail(error),
            Owed::Signature(answer) => answer.fail(error),
            Owed::Pieces(pieces) => pieces.fail(error),
        }
    }
}

struct AnswerObject(Mutex<Option<Owed>>);

impl Kind for AnswerObject {
    const TAG: u8 = 13;
    const NAME: &'static str = "answer";
    type Opaque = kwaai_answer_t;
}

/// Hands an answer to the program. Nothing when there are no handles left; the answer is dropped then, which fails the call.
pub(super) fn hand_out(owed: Owed) -> Option<*mut kwaai_answer_t> {
    process().registry.insert(AnswerObject(Mutex::new(Some(owed)))).ok()
}

/// Takes back an answer that is of the kind that is given.
fn settle<T>(
    answer: *const kwaai_answer_t,
    what: &str,
    pick: impl FnOnce(Owed) -> std::result::Result<T, Owed>,
) -> Result<T> {
    let object = resolve::<AnswerObject>(answer)?;
    let mut place = object.0.lock().unwrap_or_else(PoisonError::into_inner);
    let owed = place.take().ok_or_else(|| Error::closed("this answer was given before"))?;
    match pick(owed) {
        Ok(picked) => {
            drop(place);
            process().registry.remove::<AnswerObject>(answer)?;
            Ok(picked)
        }
        Err(other) => {
            *place = Some(other);
            Err(Error::invalid_argument(format!("what is owed here is not {what}")).into())
        }
    }
}

/// Gives the vectors of an embedder, one after the other: as many as there were texts, each of its dimension.
///
/// Ownership: frees the answer when it succeeds; the numbers are copied. Threads: any. NULL: `error` may be NULL, and
/// `values` when `count` is 0. Lifetime: an answer that was given or freed answers `KWAAI_CLOSED`.
///
/// # Safety
/// `values` has `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_answer_vectors(
    answer: *mut kwaai_answer_t,
    values: *const f32,
    count: usize,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let values = unsafe { slice("values", values, count) }?.to_vec();
        let owed = settle(answer, "vectors", |owed| match owed {
            Owed::Vectors(answer) => Ok(answer),
            other => Err(other),
        })?;
        owed.give(values);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Gives the parts of a document.
///
/// Ownership: frees the answer when it succeeds; the texts are copied. Threads: any. NULL: `error` may be NULL, and
/// `parts` when `count` is 0. Lifetime: an answer that was given or freed answers `KWAAI_CLOSED`.
///
/// # Safety
/// `parts` has `count` parts, whose texts end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_answer_parts(
    answer: *mut kwaai_answer_t,
    parts: *const kwaai_part_t,
    count: usize,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let parts = unsafe { slice("parts", parts, count) }?;
        let parts = parts
            .iter()
            // SAFETY: the caller's promise.
            .map(|part| unsafe { Ok((optional_text("label", part.label)?, text("text", part.text)?)) })
            .collect::<Result<Vec<_>>>()?;
        let owed = settle(answer, "parts of a document", |owed| match owed {
            Owed::Parts(answer) => Ok(answer),
            other => Err(other),
        })?;
        owed.give(parts);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Gives a signature, which has 64 bytes.
///
/// Ownership: frees the answer when it succeeds; the bytes are copied. Threads: any. NULL: `error` may be NULL. Lifetime:
/// an answer that was given or freed answers `KWAAI_CLOSED`.
///
/// # Safety
/// `bytes` has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_answer_signature(
    answer: *mut kwaai_answer_t,
    bytes: *const u8,
    length: usize,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let bytes = unsafe { slice("bytes", bytes, length) }?.to_vec();
        let owed = settle(answer, "a signature", |owed| match owed {
            Owed::Signature(answer) => Ok(answer),
            other => Err(other),
        })?;
        owed.give(bytes);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Writes a piece of a language model's turn. `KWAAI_CANCELLED` when nobody reads any more; the answer is still to be
/// freed then.
///
/// Ownership: nothing changes hands; the text is copied. Threads: any. NULL: `error` may be NULL. Lifetime: an answer that
/// was given or freed answers `KWAAI_CLOSED`.
///
/// # Safety
/// `piece` ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_answer_piece(
    answer: *mut kwaai_answer_t,
    piece: *const c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let piece = unsafe { text("piece", piece) }?;
        let object = resolve::<AnswerObject>(answer)?;
        let mut place = object.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *place {
            Some(Owed::Pieces(pieces)) => match pieces.write(piece) {
                true => Ok(()),
                false => Err(Error::cancelled("nobody reads this answer any more").into()),
            },
            Some(_) => Err(Error::invalid_argument("what is owed here is not a turn of a conversation").into()),
            None => Err(Error::closed("this answer was given before").into()),
        }
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// How a turn ended; what is left out is `stop`, and each piece counts as a token.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Finish {
    finish_reason: Option<FinishReason>,
    usage: Option<Usage>,
}

/// Ends a language model's turn. `finish_json` is an object with any of `finish_reason` ("stop", "length") and `usage`
/// (`prompt_tokens`, `completion_tokens`, `cached_tokens` or 0); without them it stopped by itself, and each piece counts as a token.
///
/// Ownership: frees the answer when it succeeds. Threads: any. NULL: `finish_json` and `error` may be NULL. Lifetime: an
/// answer that was given or freed answers `KWAAI_CLOSED`.
///
/// # Safety
/// `finish_json` is NULL or ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_answer_finish(
    answer: *mut kwaai_answer_t,
    finish_json: *const c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let finish = unsafe { record::<Finish>("finish_json", finish_json) }?;
        let pieces = settle(answer, "a turn of a conversation", |owed| match owed {
            Owed::Pieces(pieces) => Ok(pieces),
            other => Err(other),
        })?;
        pieces.finish(finish.finish_reason.unwrap_or(FinishReason::Stop), finish.usage);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Says that there is no answer. `status` is a `kwaai_status_t` other than `KWAAI_OK`, `KWAAI_INTERNAL` when none fits;
/// `message` says what failed, and `cause` what lies beneath.
///
/// Ownership: frees the answer when it succeeds; the texts are copied. Threads: any. NULL: `cause` and `error` may be
/// NULL. Lifetime: an answer that was given or freed answers `KWAAI_CLOSED`.
///
/// # Safety
/// Texts end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_answer_fail(
    answer: *mut kwaai_answer_t,
    status: u32,
    message: *const c_char,
    cause: *const c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let code = u16::try_from(status).ok().and_then(ErrorCode::from_number);
        let code = code.ok_or_else(|| Error::invalid_argument(format!("{status} is no status of a failure")))?;
        // SAFETY: the caller's promise.
        let (message, cause) = unsafe { (text("message", message)?, optional_text("cause", cause)?) };
        settle(answer, "failing", Ok)?.fail(KwaaiError::foreign(code, message, cause));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Whether somebody still waits for an answer. A function that takes long asks now and then, and frees the answer when
/// nobody does.
///
/// Ownership: nothing changes hands. Threads: any. NULL: false. Lifetime: false for an answer that was given or freed.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_answer_is_wanted(answer: *const kwaai_answer_t) -> bool {
    resolve::<AnswerObject>(answer).is_ok_and(|object| {
        let place = object.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().is_some_and(|owed| !owed.is_unwanted())
    })
}

/// Frees an answer without giving it, which fails the call that waits for it.
///
/// Ownership: takes the answer. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice, or after giving it,
/// answers `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_answer_free(answer: *mut kwaai_answer_t) -> kwaai_status_t {
    free::<AnswerObject>(answer)
}
