//! What a C program brings: an embedder, a language model, a document reader, a signer.
//!
//! Each is a function with a context and a way to let go of it. The function gets an answer that it owes, and gives it at
//! once or later, from any thread.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use kwaai_core::Error;
use kwaai_core::llm::GenerateRequest;

use super::answer::{Owed, hand_out, kwaai_answer_t};
use super::call::{Out, boundary, free, optional, optional_ms, resolve, slice, text, texts};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::Result;
use crate::provide::{
    Answer, Embedder, ForeignEmbedder, ForeignModel, ForeignReader, ForeignSigner, Pieces, Reader, Signer, Supplies,
    Writer,
};
use crate::registry::Kind;

/// What a function of the program needs. Its `drop` is called once, when nothing can call the function any more.
pub(super) struct Context {
    pointer: *mut c_void,
    drop: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: the program promised that its functions may be called from any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn new(pointer: *mut c_void, drop: Option<unsafe extern "C" fn(*mut c_void)>) -> Context {
        Context { pointer, drop }
    }

    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the program promised that it may be called once with its context, and this is the once.
            unsafe { drop(self.pointer) };
        }
    }
}

/// A function of the program with its context.
pub(super) struct Code<F> {
    pub(super) context: Context,
    pub(super) call: F,
}

impl<F> Code<F> {
    /// Takes the context in any case.
    pub(super) fn new(context: Context, call: Option<F>) -> Result<Arc<Code<F>>> {
        let call = call.ok_or_else(|| Error::invalid_argument("the function is NULL"))?;
        Ok(Arc::new(Code { context, call }))
    }
}

/// Turns texts into vectors.
#[repr(C)]
pub struct kwaai_embed_t {
    /// Handed to `call` and `drop`.
    pub context: *mut c_void,
    /// Embeds `count` texts and answers with `kwaai_answer_vectors`. `query` is true for what is looked for, false for what is
    /// found. The texts live until it returns.
    pub call: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            texts: *const *const c_char,
            count: usize,
            query: bool,
            answer: *mut kwaai_answer_t,
        ),
    >,
    /// Called once, when nothing can call `call` any more. May be NULL.
    pub drop: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Continues conversations.
#[repr(C)]
pub struct kwaai_generate_t {
    /// Handed to `call` and `drop`.
    pub context: *mut c_void,
    /// Writes the next turn with `kwaai_answer_piece` and ends it with `kwaai_answer_finish`. `request_json` is an object with
    /// `messages`, `max_tokens`, `temperature`, `top_p`, `top_k`, `seed` and `stop`; it lives until `call` returns.
    pub call:
        Option<unsafe extern "C" fn(context: *mut c_void, request_json: *const c_char, answer: *mut kwaai_answer_t)>,
    /// Called once, when nothing can call `call` any more. May be NULL.
    pub drop: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Reads documents.
#[repr(C)]
pub struct kwaai_read_t {
    /// Handed to `call` and `drop`.
    pub context: *mut c_void,
    /// Reads a file and answers with `kwaai_answer_parts`. Name and bytes live until it returns.
    pub call: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            name: *const c_char,
            bytes: *const u8,
            length: usize,
            answer: *mut kwaai_answer_t,
        ),
    >,
    /// Called once, when nothing can call `call` any more. May be NULL.
    pub drop: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Signs.
#[repr(C)]
pub struct kwaai_sign_t {
    /// Handed to `call` and `drop`.
    pub context: *mut c_void,
    /// Signs exactly these bytes with Ed25519 (RFC 8032) and answers with `kwaai_answer_signature`. The bytes live until it
    /// returns.
    pub call: Option<
        unsafe extern "C" fn(context: *mut c_void, message: *const u8, length: usize, answer: *mut kwaai_answer_t),
    >,
    /// Called once, when nothing can call `call` any more. May be NULL.
    pub drop: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// An embedder of the program.
pub struct kwaai_embedder_t;

/// A language model that writes the answers of a knowledge base.
pub struct kwaai_writer_t;

/// A document reader of the program.
pub struct kwaai_reader_t;

/// A signer of the program.
pub struct kwaai_signer_t;

macro_rules! kinds {
    ($($kind:ident, $tag:literal, $name:literal, $opaque:ident;)+) => {
        $(impl Kind for $kind {
            const TAG: u8 = $tag;
            const NAME: &'static str = $name;
            type Opaque = $opaque;
        })+
    };
}
kinds! {
    Embedder, 9, "embedder", kwaai_embedder_t;
    Writer, 10, "writer", kwaai_writer_t;
    Reader, 11, "reader", kwaai_reader_t;
    Signer, 12, "signer", kwaai_signer_t;
}

/// What a program brings to a knowledge base. Set everything to zero, then `size`, then what there is.
#[repr(C)]
pub struct kwaai_supplies_t {
    /// `sizeof(kwaai_supplies_t)`, so that later versions can add to it.
    pub size: usize,
    /// Turns texts into vectors; `embedder` must be left out of the options then. May be NULL.
    pub embedder: *const kwaai_embedder_t,
    /// Writes the answers; `endpoint` must be left out of the options then. May be NULL.
    pub writer: *const kwaai_writer_t,
    /// Read formats that the library does not. May be NULL when there are none.
    pub readers: *const *const kwaai_reader_t,
    /// How many readers there are.
    pub reader_count: usize,
}

/// # Safety
/// `supplies` is NULL or points to as many bytes as it says, and to as many readers.
pub(super) unsafe fn supplies_of(supplies: *const kwaai_supplies_t) -> Result<Supplies> {
    if supplies.is_null() {
        return Ok(Supplies::default());
    }
    // SAFETY: the size is the first field of every version.
    if unsafe { (&raw const (*supplies).size).read() } < size_of::<kwaai_supplies_t>() {
        return Err(Error::invalid_argument("supplies->size is not sizeof(kwaai_supplies_t)").into());
    }
    // SAFETY: it is as large as this version.
    let given = unsafe { &*supplies };
    // SAFETY: the caller's promise.
    let readers = unsafe { slice("supplies->readers", given.readers, given.reader_count) }?;
    Ok(Supplies {
        embedder: optional::<Embedder>(given.embedder)?.map(|own| Embedder::clone(&own)),
        writer: optional::<Writer>(given.writer)?.map(|own| Writer::clone(&own)),
        readers: readers
            .iter()
            .map(|reader| Ok(Reader::clone(&*resolve::<Reader>(*reader)?)))
            .collect::<Result<_>>()?,
    })
}

pub(super) fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

type EmbedFn = unsafe extern "C" fn(*mut c_void, *const *const c_char, usize, bool, *mut kwaai_answer_t);
type GenerateFn = unsafe extern "C" fn(*mut c_void, *const c_char, *mut kwaai_answer_t);
type ReadFn = unsafe extern "C" fn(*mut c_void, *const c_char, *const u8, usize, *mut kwaai_answer_t);
type SignFn = unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut kwaai_answer_t);

impl ForeignEmbedder for Code<EmbedFn> {
    fn embed(&self, texts: Vec<String>, query: bool, answer: Answer<Vec<f32>>) {
        let texts: Vec<CString> = texts.iter().map(|text| c_text(text)).collect();
        let pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        let Some(answer) = hand_out(Owed::Vectors(answer)) else { return };
        // SAFETY: the program promised that the function may be called so.
        unsafe { (self.call)(self.context.pointer(), pointers.as_ptr(), pointers.len(), query, answer) };
    }
}

impl ForeignModel for Code<GenerateFn> {
    fn generate(&self, request: GenerateRequest, pieces: Pieces) {
        let request = match crate::to_json(&request) {
            Ok(json) => c_text(&json.to_string()),
            Err(error) => return pieces.fail(error),
        };
        let Some(answer) = hand_out(Owed::Pieces(pieces)) else { return };
        // SAFETY: the program promised that the function may be called so.
        unsafe { (self.call)(self.context.pointer(), request.as_ptr(), answer) };
    }
}

impl ForeignReader for Code<ReadFn> {
    fn read(&self, name: String, bytes: Vec<u8>, answer: Answer<Vec<(Option<String>, String)>>) {
        let name = c_text(&name);
        let Some(answer) = hand_out(Owed::Parts(answer)) else { return };
        // SAFETY: the program promised that the function may be called so.
        unsafe { (self.call)(self.context.pointer(), name.as_ptr(), bytes.as_ptr(), bytes.len(), answer) };
    }
}

impl ForeignSigner for Code<SignFn> {
    fn sign(&self, message: Vec<u8>, answer: Answer<Vec<u8>>) {
        let Some(answer) = hand_out(Owed::Signature(answer)) else { return };
        // SAFETY: the program promised that the function may be called so.
        unsafe { (self.call)(self.context.pointer(), message.as_ptr(), message.len(), answer) };
    }
}

/// Makes an embedder of a function. `id` changes whenever the vectors would; a knowledge base refuses to be opened with
/// another one. Who takes longer than `deadline_ms` for a call is given up; `KWAAI_UNSET` gives two minutes.
///
/// Ownership: takes `code` in any case; its `drop` is called exactly once. The caller frees `*out_embedder` with
/// `kwaai_embedder_free`. Threads: any; `code.call` is called on threads of the library, several at once, and may block,
/// but not wait for this library. NULL: `error` may be NULL. Lifetime: `code` is kept until the handle is freed and
/// nothing uses it any more.
///
/// # Safety
/// Texts end with NUL, outputs may be written to until the function returns, and the functions of `code` may be called
/// with its context from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_embedder_new(
    id: *const c_char,
    dimension: u32,
    deadline_ms: u64,
    code: kwaai_embed_t,
    out_embedder: *mut *mut kwaai_embedder_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let context = Context::new(code.context, code.drop);
    let body = || {
        let code = Code::new(context, code.call)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_embedder", out_embedder) }?;
        // SAFETY: the caller's promise.
        let id = unsafe { text("id", id) }?;
        out.set_handle(Embedder::foreign(id, dimension, optional_ms(deadline_ms), code)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Makes a language model of a function. The deadline counts from one piece to the next; `KWAAI_UNSET`
/// gives two minutes.
///
/// Ownership: takes `code` in any case; its `drop` is called exactly once. The caller frees `*out_writer` with
/// `kwaai_writer_free`. Threads: any; `code.call` is called on threads of the library, several at once, and may block,
/// but not wait for this library. NULL: `error` may be NULL. Lifetime: `code` is kept until the handle is freed and
/// nothing uses it any more.
///
/// # Safety
/// Texts end with NUL, outputs may be written to until the function returns, and the functions of `code` may be called
/// with its context from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_writer_new(
    name: *const c_char,
    deadline_ms: u64,
    code: kwaai_generate_t,
    out_writer: *mut *mut kwaai_writer_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let context = Context::new(code.context, code.drop);
    let body = || {
        let code = Code::new(context, code.call)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_writer", out_writer) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text("name", name) }?;
        out.set_handle(Writer::foreign(name, optional_ms(deadline_ms), code)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Makes a document reader of a function, for files with these extensions, written without the dot. A deadline of
/// `KWAAI_UNSET` gives two minutes.
///
/// Ownership: takes `code` in any case; its `drop` is called exactly once. The caller frees `*out_reader` with
/// `kwaai_reader_free`. Threads: any; `code.call` is called on threads of the library, several at once, and may block,
/// but not wait for this library. NULL: `error` may be NULL. Lifetime: `code` is kept until the handle is freed and
/// nothing uses it any more.
///
/// # Safety
/// Texts end with NUL, outputs may be written to until the function returns, and the functions of `code` may be called
/// with its context from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_reader_new(
    extensions: *const *const c_char,
    count: usize,
    deadline_ms: u64,
    code: kwaai_read_t,
    out_reader: *mut *mut kwaai_reader_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let context = Context::new(code.context, code.drop);
    let body = || {
        let code = Code::new(context, code.call)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_reader", out_reader) }?;
        // SAFETY: the caller's promise.
        let extensions = unsafe { texts("extensions", extensions, count) }?;
        out.set_handle(Reader::foreign(extensions, optional_ms(deadline_ms), code)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Makes a signer of a function, for a DID whose key the program keeps. A deadline of `KWAAI_UNSET`
/// gives two minutes.
///
/// Ownership: takes `code` in any case; its `drop` is called exactly once. The caller frees `*out_signer` with
/// `kwaai_signer_free`. Threads: any; `code.call` is called on threads of the library, several at once, and may block,
/// but not wait for this library. NULL: `error` may be NULL. Lifetime: `code` is kept until the handle is freed and
/// nothing uses it any more.
///
/// # Safety
/// Texts end with NUL, outputs may be written to until the function returns, and the functions of `code` may be called
/// with its context from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_signer_new(
    did: *const c_char,
    deadline_ms: u64,
    code: kwaai_sign_t,
    out_signer: *mut *mut kwaai_signer_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let context = Context::new(code.context, code.drop);
    let body = || {
        let code = Code::new(context, code.call)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_signer", out_signer) }?;
        // SAFETY: the caller's promise.
        let did = unsafe { text("did", did) }?;
        out.set_handle(Signer::foreign(did, optional_ms(deadline_ms), code)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees an embedder. What was given it keeps it.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_embedder_free(embedder: *mut kwaai_embedder_t) -> kwaai_status_t {
    free::<Embedder>(embedder)
}

/// Frees a language model. What was given it keeps it.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_writer_free(writer: *mut kwaai_writer_t) -> kwaai_status_t {
    free::<Writer>(writer)
}

/// Frees a document reader. What was given it keeps it.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_reader_free(reader: *mut kwaai_reader_t) -> kwaai_status_t {
    free::<Reader>(reader)
}

/// Frees a signer. What was given it keeps it.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_signer_free(signer: *mut kwaai_signer_t) -> kwaai_status_t {
    free::<Signer>(signer)
}
