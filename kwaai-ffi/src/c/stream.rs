//! Streams, which C pulls from.

use std::ffi::c_char;
use std::sync::Arc;

use super::call::{Place, boundary, resolve};
use super::reply::Next;
use super::status::kwaai_status_t;
use crate::JsonStream;
use crate::registry::Kind;
use crate::rt::process;

/// Values that come over time: messages, events, progress, tokens.
pub struct kwaai_stream_t;

/// What `kwaai_stream_next` found.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum kwaai_item_t {
    /// The stream has ended.
    KWAAI_ITEM_END = 0,
    /// A value, as JSON.
    KWAAI_ITEM_VALUE = 1,
    /// The reader was too slow and values were dropped here; the JSON is `{"missed": n}`.
    KWAAI_ITEM_LAGGED = 2,
}

pub(super) struct StreamObject(Arc<dyn JsonStream>);

impl StreamObject {
    pub(super) fn new(stream: impl JsonStream + 'static) -> StreamObject {
        StreamObject(Arc::new(stream))
    }
}

impl Kind for StreamObject {
    const TAG: u8 = 2;
    const NAME: &'static str = "stream";
    type Opaque = kwaai_stream_t;
}

impl Place for kwaai_item_t {
    const EMPTY: kwaai_item_t = kwaai_item_t::KWAAI_ITEM_END;
}

waiting! {
    /// Waits for the next item. A call that ends with `KWAAI_TIMEOUT` took nothing from the stream.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`; it is NULL at the end. Threads: any; readers on
    /// several threads share the items. NULL: `stream`, `out_item` and `out_json` are needed; `error` may be NULL.
    /// Lifetime: the stream must not have been freed; freeing it meanwhile ends the wait.
    fn kwaai_stream_next / kwaai_stream_next_async(stream: *const kwaai_stream_t)
        -> (out_item: kwaai_item_t, out_json: *mut c_char) {
        let source = resolve::<StreamObject>(stream)?.0.clone();
        |cancel| async move { Ok(Next(source.next_json(1, cancel).await?.pop())) }
    }
}

/// Stops the work behind a stream. What it yielded before can still be read; then it ends.
///
/// Ownership: nothing changes hands. Threads: any, also while another waits in `kwaai_stream_next`. NULL:
/// `KWAAI_INVALID_ARGUMENT`. Lifetime: the stream must not have been freed; if it was, `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_stream_cancel(stream: *const kwaai_stream_t) -> kwaai_status_t {
    let body = || {
        resolve::<StreamObject>(stream)?.0.stop();
        Ok(())
    };
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), body) }
}

/// Stops the work behind a stream and frees it.
///
/// Ownership: takes the stream. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_stream_free(stream: *mut kwaai_stream_t) -> kwaai_status_t {
    if stream.is_null() {
        return kwaai_status_t::KWAAI_OK;
    }
    let body = || {
        // A read on another thread may still hold the stream; it must not keep the work going.
        process().registry.remove::<StreamObject>(stream)?.0.stop();
        Ok(())
    };
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), body) }
}
