//! Collections of vectors, for C. Vectors come as arrays, records as JSON.

use std::ffi::c_char;

use serde::Deserialize;

use super::call::{Out, boundary, free, optional_text, record, resolve, slice, text};
use super::reply::{Count, Text};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::registry::Kind;
use crate::validate;
use crate::vpk::{Metadata, Payload};
use crate::{Matrix, Result, VectorCollection};

/// A collection of vectors at its hosts.
pub struct kwaai_collection_t;

impl Kind for VectorCollection {
    const TAG: u8 = 15;
    const NAME: &'static str = "collection of vectors";
    type Opaque = kwaai_collection_t;
}

/// Bytes that come back with a vector.
#[repr(C)]
pub struct kwaai_payload_t {
    /// The bytes; NULL for a vector without any.
    pub bytes: *const u8,
    /// How many there are.
    pub length: usize,
}

/// How to search.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SearchOptions {
    k: usize,
    #[serde(deserialize_with = "crate::validate::or_default")]
    filter: Metadata,
}

impl Default for SearchOptions {
    fn default() -> SearchOptions {
        SearchOptions { k: crate::vpk::USUAL_HITS, filter: Metadata::new() }
    }
}

/// # Safety
/// `payloads` is NULL or has `count` entries, whose `bytes` are NULL or as long as is said.
unsafe fn payloads_of(payloads: *const kwaai_payload_t, count: usize) -> Result<Option<Vec<Option<Payload>>>> {
    if payloads.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let entries = unsafe { slice("payloads", payloads, count) }?.iter();
    let copied = entries.map(|payload| match payload.bytes.is_null() {
        true => Ok(None),
        // SAFETY: the caller's promise.
        false => unsafe { slice("payloads", payload.bytes, payload.length) }.map(|bytes| Some(bytes.to_vec())),
    });
    copied.collect::<Result<_>>().map(Some)
}

waiting! {
    /// Puts vectors in, all or none; those with an id that is there replace it. `count` ids, and as many `vectors` of `columns`
    /// numbers, one after the other; `payloads` are `count` too, and come back with the vectors. `metadata_json` is an array of
    /// `count` objects, or null for a vector without, by which hits can be chosen; texts are at home there too. Ids are at most
    /// 2^53 - 1. What was put in is durable and found when this returns, and goes to the hosts when there is enough of it, or
    /// at `kwaai_collection_flush`.
    ///
    /// Ownership: nothing changes hands; everything is copied. Threads: any. NULL: `payloads`, `metadata_json` and `error` may
    /// be NULL, and `ids` and `vectors` when `count` is 0. Lifetime: the handle must not have been freed.
    fn kwaai_collection_upsert / kwaai_collection_upsert_async(
        collection: *const kwaai_collection_t,
        ids: *const u64,
        count: usize,
        vectors: *const f32,
        columns: usize,
        payloads: *const kwaai_payload_t,
        metadata_json: *const c_char,
    ) -> () {
        let collection = resolve::<VectorCollection>(collection)?;
        let ids = slice("ids", ids, count)?.to_vec();
        let values = slice("vectors", vectors, count.saturating_mul(columns))?.to_vec();
        let vectors = Matrix::new(count, columns, values)?;
        let payloads = payloads_of(payloads, count)?;
        let metadata: Option<Vec<Option<Metadata>>> = record("metadata_json", metadata_json)?;
        |cancel| async move { collection.upsert(ids, vectors, payloads, metadata, cancel).await }
    }

    /// Takes vectors out, with their payloads, and answers how many there were. The hosts keep their numbers until the segment
    /// is empty, or `kwaai_collection_rotate` leaves them out.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL, and `ids` when `count` is 0. Lifetime: the
    /// handle must not have been freed.
    fn kwaai_collection_delete / kwaai_collection_delete_async(
        collection: *const kwaai_collection_t,
        ids: *const u64,
        count: usize,
    ) -> (out_count: usize) {
        let (collection, ids) = (resolve::<VectorCollection>(collection)?, slice("ids", ids, count)?.to_vec());
        |cancel| async move { collection.delete(ids, cancel).await.map(Count) }
    }

    /// The vectors that are most like the one of `columns` numbers, as JSON: `hits`, the best first, and `liars`, the hosts that
    /// are known to have answered wrongly.
    ///
    /// A hit has an `id`, a `score`, its `payload` in base64 or null, and its `metadata`. `options_json` is an object with any of
    /// `k`, how many hits, 10 unless set and 10,000 at most, and `filter`, an object whose values the metadata must have. Hosts
    /// are not told of the filter.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may
    /// be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_collection_search / kwaai_collection_search_async(
        collection: *const kwaai_collection_t,
        vector: *const f32,
        columns: usize,
        options_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (collection, vector) = (resolve::<VectorCollection>(collection)?, slice("vector", vector, columns)?.to_vec());
        let options = record::<SearchOptions>("options_json", options_json)?;
        move |cancel| async move { Text::json(&collection.search(vector, options.k, options.filter, cancel).await?) }
    }

    /// How it stands, as JSON: how many `vectors`, how many of them are `buffered` here and not sealed yet, in how many
    /// `segments` the others are, how many places in these are `deleted`, the `epoch` of the key, the hosts that are `behind`,
    /// and the `liars` among them.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_collection_stats / kwaai_collection_stats_async(collection: *const kwaai_collection_t)
        -> (out_json: *mut c_char) {
        let collection = resolve::<VectorCollection>(collection)?;
        |cancel| async move { Text::json(&collection.stats(cancel).await?) }
    }

    /// Seals what is buffered and brings everything to the hosts, the manifest too. Nothing is lost when that fails.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_collection_flush / kwaai_collection_flush_async(collection: *const kwaai_collection_t) -> () {
        let collection = resolve::<VectorCollection>(collection)?;
        |cancel| async move { collection.flush(cancel).await }
    }

    /// Fetches everything from the hosts and checks it. As a JSON array, one for each `host`: whether everything is `right`,
    /// the states of its `segments` and `payloads`, and that of the `manifest`.
    ///
    /// A state is "right", "wrong", "missing", "unknown" when the host could not be asked, or "undecided" when too few hosts
    /// have a part. That is as much traffic as bringing everything there was; flush before, for what waits is missing there.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_collection_verify / kwaai_collection_verify_async(collection: *const kwaai_collection_t)
        -> (out_json: *mut c_char) {
        let collection = resolve::<VectorCollection>(collection)?;
        |cancel| async move { Text::json(&collection.verify(cancel).await?) }
    }

    /// Seals everything anew under a new key, without what was deleted. The hosts need room for both meanwhile.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_collection_rotate / kwaai_collection_rotate_async(collection: *const kwaai_collection_t) -> () {
        let collection = resolve::<VectorCollection>(collection)?;
        |cancel| async move { collection.rotate(cancel).await }
    }

    /// Verifies what the hosts have, and puts others in the place of those that answered wrongly, lost something or cannot be
    /// reached: those that are given, an array as for `kwaai_vpk_create`, or ones that are found. Everything is sealed anew then;
    /// searches go on meanwhile. As JSON, the hosts that were `lost` and those that were `added`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `hosts_json` and `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_collection_repair / kwaai_collection_repair_async(
        collection: *const kwaai_collection_t,
        hosts_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let collection = resolve::<VectorCollection>(collection)?;
        let hosts = optional_text("hosts_json", hosts_json)?.map(|text| validate::json("hosts_json", &text)).transpose()?;
        |cancel| async move { Text::json(&collection.repair(hosts, cancel).await?) }
    }

    /// The recovery key, as a text that opens with a passphrase of 1 to 1,024 bytes, for a backup or `kwaai_vpk_recover` on
    /// another machine. It is good until the next rotation. Takes as long as the passphrase is meant to cost, about a tenth of a
    /// second, and 64 MiB of memory.
    ///
    /// Ownership: the caller frees `*out_key` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
    /// handle must not have been freed.
    fn kwaai_collection_export_key / kwaai_collection_export_key_async(
        collection: *const kwaai_collection_t,
        passphrase: *const c_char,
    ) -> (out_key: *mut c_char) {
        let (collection, passphrase) = (resolve::<VectorCollection>(collection)?, text("passphrase", passphrase)?);
        |cancel| async move { collection.export_key(passphrase, cancel).await.map(Text) }
    }

    /// The recovery key, as a text that opens on one machine alone: the one that said by `kwaai_vpk_device` who it is. The text
    /// is signed by this node.
    ///
    /// Ownership: the caller frees `*out_key` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
    /// handle must not have been freed.
    fn kwaai_collection_export_key_to / kwaai_collection_export_key_to_async(
        collection: *const kwaai_collection_t,
        device: *const c_char,
    ) -> (out_key: *mut c_char) {
        let (collection, device) = (resolve::<VectorCollection>(collection)?, text("device", device)?);
        |cancel| async move { collection.export_key_to(device, cancel).await.map(Text) }
    }

    /// Forgets the collection, here and at its hosts, as `kwaai_vpk_destroy` does.
    ///
    /// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
    /// have been freed.
    fn kwaai_collection_destroy / kwaai_collection_destroy_async(collection: *const kwaai_collection_t) -> () {
        let collection = resolve::<VectorCollection>(collection)?;
        |cancel| async move { collection.destroy(cancel).await }
    }
}

/// The name under which this node has it. It stays readable after the end.
///
/// Ownership: the caller frees `*out_name` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_collection_name(
    collection: *const kwaai_collection_t,
    out_name: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_name", out_name) }?;
        out.set_text(resolve::<VectorCollection>(collection)?.name().to_owned())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The id by which hosts know it, 32 hexadecimal digits. It stays readable after the end.
///
/// Ownership: the caller frees `*out_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_collection_id(
    collection: *const kwaai_collection_t,
    out_id: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_id", out_id) }?;
        out.set_text(resolve::<VectorCollection>(collection)?.id().to_owned())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// What it is, as JSON: `dimension`, `privacy`, `hosts`, `metric`, `colluding`. It stays readable after the end.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_collection_config(
    collection: *const kwaai_collection_t,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_json", out_json) }?;
        out.set_json(&resolve::<VectorCollection>(collection)?.config())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// What its hosts learn, as JSON: whether they can read the `vectors` and the `queries`, tell the `matches`, and whether
/// wrong answers are noticed as `answers_checked`; in words, what is `learned` nevertheless and what the rest `rests_on`. It
/// stays readable after the end.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_collection_leakage(
    collection: *const kwaai_collection_t,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_json", out_json) }?;
        out.set_json(resolve::<VectorCollection>(collection)?.leakage())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Lets go of the collection, which stays, here and at its hosts. Calling it again is fine.
///
/// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
/// been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_collection_shutdown(
    collection: *const kwaai_collection_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        resolve::<VectorCollection>(collection)?.shutdown();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees a handle of a collection, which stays, here and at its hosts.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_collection_free(collection: *mut kwaai_collection_t) -> kwaai_status_t {
    free::<VectorCollection>(collection)
}
