//! The answers of operations, taken out once.

use std::ffi::c_char;

use super::call::{Out, boundary, resolve};
use super::collection::kwaai_collection_t;
use super::console::kwaai_console_t;
use super::federation::{kwaai_federation_t, kwaai_shared_knowledge_t};
use super::http_server::kwaai_http_server_t;
use super::model::kwaai_model_t;
use super::node::kwaai_node_t;
use super::operation::{Operation, kwaai_op_t};
use super::rag::kwaai_rag_t;
use super::reply::{Kept, Reply};
use super::shards::kwaai_shards_t;
use super::status::{kwaai_error_t, kwaai_status_t};
use super::stream::{kwaai_item_t, kwaai_stream_t};
use super::trust::kwaai_trust_t;

/// Takes the text or the JSON that an operation answered. A failed operation answers its own status, one under way
/// `KWAAI_BUSY`, one that answers something else `KWAAI_INVALID_ARGUMENT`, and one that was taken before `KWAAI_CLOSED`.
///
/// Ownership: the caller frees `*out_text` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// text outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_text(
    op: *const kwaai_op_t,
    out_text: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_text", out_text) }?;
        let text = resolve::<Operation>(op)?.take("a text", |kept| match kept {
            Kept::Text(text) => Ok(text),
            other => Err(Box::new(other)),
        })?;
        out.set_text(text)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the item that `kwaai_stream_next_async` waited for; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`; it is NULL at the end. Threads: any. NULL: `error` may
/// be NULL. Lifetime: the item outlives the operation. A value that nobody takes is lost.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_item(
    op: *const kwaai_op_t,
    out_item: *mut kwaai_item_t,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (item, json) = unsafe { (Out::empty("out_item", out_item)?, Out::empty("out_json", out_json)?) };
        let (kind, text) = resolve::<Operation>(op)?.take("an item of a stream", |kept| match kept {
            Kept::Item(kind, text) => Ok((kind, text)),
            other => Err(Box::new(other)),
        })?;
        if let Some(text) = text {
            json.set_text(text)?;
        }
        item.set(kind)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the numbers that an operation answered, row by row; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_values`, which has `*out_rows` times `*out_columns` numbers, with `kwaai_floats_free`.
/// Threads: any. NULL: `error` may be NULL. Lifetime: the numbers outlive the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_floats(
    op: *const kwaai_op_t,
    out_values: *mut *mut f32,
    out_rows: *mut usize,
    out_columns: *mut usize,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let places = unsafe {
            (
                Out::empty("out_values", out_values)?,
                Out::empty("out_rows", out_rows)?,
                Out::empty("out_columns", out_columns)?,
            )
        };
        let matrix = resolve::<Operation>(op)?.take("numbers", |kept| match kept {
            Kept::Numbers(matrix) => Ok(matrix),
            other => Err(Box::new(other)),
        })?;
        matrix.put(places)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the node that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_node` with `kwaai_node_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_node(
    op: *const kwaai_op_t,
    out_node: *mut *mut kwaai_node_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_node", out_node) }?;
        let object = resolve::<Operation>(op)?.take("a node", |kept| match kept {
            Kept::Node(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the trust graph that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_trust(
    op: *const kwaai_op_t,
    out_trust: *mut *mut kwaai_trust_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_trust", out_trust) }?;
        let object = resolve::<Operation>(op)?.take("a trust graph", |kept| match kept {
            Kept::Trust(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the shard engine that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_shards` with `kwaai_shards_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_shards(
    op: *const kwaai_op_t,
    out_shards: *mut *mut kwaai_shards_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_shards", out_shards) }?;
        let object = resolve::<Operation>(op)?.take("a shard engine", |kept| match kept {
            Kept::Shards(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the model that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_model` with `kwaai_model_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_model(
    op: *const kwaai_op_t,
    out_model: *mut *mut kwaai_model_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_model", out_model) }?;
        let object = resolve::<Operation>(op)?.take("a model", |kept| match kept {
            Kept::Model(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the knowledge base that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_rag` with `kwaai_rag_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_rag(
    op: *const kwaai_op_t,
    out_rag: *mut *mut kwaai_rag_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_rag", out_rag) }?;
        let object = resolve::<Operation>(op)?.take("a knowledge base", |kept| match kept {
            Kept::Rag(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the collection that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_collection` with `kwaai_collection_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_collection(
    op: *const kwaai_op_t,
    out_collection: *mut *mut kwaai_collection_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_collection", out_collection) }?;
        let object = resolve::<Operation>(op)?.take("a collection of vectors", |kept| match kept {
            Kept::Collection(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the page of a host that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_console` with `kwaai_console_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_console(
    op: *const kwaai_op_t,
    out_console: *mut *mut kwaai_console_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_console", out_console) }?;
        let object = resolve::<Operation>(op)?.take("a page of a host", |kept| match kept {
            Kept::Console(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the federation that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_federation` with `kwaai_federation_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_federation(
    op: *const kwaai_op_t,
    out_federation: *mut *mut kwaai_federation_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_federation", out_federation) }?;
        let object = resolve::<Operation>(op)?.take("a federation", |kept| match kept {
            Kept::Federation(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the shared knowledge base that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_shared` with `kwaai_shared_knowledge_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_shared_knowledge(
    op: *const kwaai_op_t,
    out_shared: *mut *mut kwaai_shared_knowledge_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_shared", out_shared) }?;
        let object = resolve::<Operation>(op)?.take("a shared knowledge base", |kept| match kept {
            Kept::Shared(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the HTTP server that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_server` with `kwaai_http_server_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_http_server(
    op: *const kwaai_op_t,
    out_server: *mut *mut kwaai_http_server_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_server", out_server) }?;
        let object = resolve::<Operation>(op)?.take("an HTTP server", |kept| match kept {
            Kept::HttpServer(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the number that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: not applicable.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_count(
    op: *const kwaai_op_t,
    out_count: *mut usize,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_count", out_count) }?;
        let count = resolve::<Operation>(op)?.take("a number", |kept| match kept {
            Kept::Count(count) => Ok(count),
            other => Err(Box::new(other)),
        })?;
        out.set(count)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Takes the stream that an operation answered; the statuses are those of `kwaai_op_take_text`.
///
/// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle outlives the operation.
///
/// # Safety
/// The output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_take_stream(
    op: *const kwaai_op_t,
    out_stream: *mut *mut kwaai_stream_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_stream", out_stream) }?;
        let object = resolve::<Operation>(op)?.take("a stream", |kept| match kept {
            Kept::Stream(object) => Ok(object),
            other => Err(Box::new(other)),
        })?;
        out.set_handle(object)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}
