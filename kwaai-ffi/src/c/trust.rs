//! Trust, for C. Records come as JSON.

use std::ffi::c_char;

use super::call::{Out, boundary, free, optional_text, resolve, text, wait};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::registry::Kind;
use crate::trust::TrustOptions;
use crate::{TrustGraph, validate};

/// Credentials, trusted issuers, scores and minimum tiers.
pub struct kwaai_trust_t;

impl Kind for TrustGraph {
    const TAG: u8 = 3;
    const NAME: &'static str = "trust graph";
    type Opaque = kwaai_trust_t;
}

/// Opens a trust graph alone, without a network: in a directory, or in memory when `dir` is NULL.
///
/// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`. Threads: any. NULL: `dir` and `error` may be NULL.
/// Lifetime: the directory is locked until the handle is freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_open(
    dir: *const c_char,
    timeout_ms: u32,
    out_trust: *mut *mut kwaai_trust_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (dir, out) = unsafe { (optional_text("dir", dir)?, Out::handle("out_trust", out_trust)?) };
        out.set_handle(wait(timeout_ms, |cancel| {
            TrustGraph::open(TrustOptions { dir, ..TrustOptions::default() }, None, cancel)
        })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The DID that signs what this trust graph issues.
///
/// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_did(
    trust: *const kwaai_trust_t,
    out_did: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        unsafe { Out::text("out_did", out_did) }?.set_text(trust.did()?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Issues a credential of a type, for example "VerifiedNodeVC", about a subject, a DID or a PeerId. `claims_json` is a
/// JSON object, or NULL for none. `valid_for_ms` of 0 takes the type's own span. The credential is not kept.
///
/// Ownership: the caller frees `*out_credential`, the signed document, with `kwaai_string_free`. Threads: any. NULL:
/// `claims_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_issue(
    trust: *const kwaai_trust_t,
    r#type: *const c_char,
    subject: *const c_char,
    claims_json: *const c_char,
    valid_for_ms: u64,
    timeout_ms: u32,
    out_credential: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        let (kind, subject) = unsafe { (text("type", r#type)?, text("subject", subject)?) };
        // SAFETY: the caller's promise.
        let claims = unsafe { optional_text("claims_json", claims_json) }?.unwrap_or_else(|| "{}".into());
        // SAFETY: the caller's promise.
        let out = unsafe { Out::text("out_credential", out_credential) }?;
        let valid_for = (valid_for_ms > 0).then_some(valid_for_ms);
        let issued =
            wait(timeout_ms, |cancel| async move { trust.issue(kind, subject, claims, valid_for, cancel).await })?;
        out.set_text(issued.json)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Checks a credential's form and proof, and says what it says. It is not kept.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_verify(
    trust: *const kwaai_trust_t,
    credential: *const c_char,
    timeout_ms: u32,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        let (credential, out) = unsafe { (text("credential", credential)?, Out::text("out_json", out_json)?) };
        out.set_json(&wait(timeout_ms, |cancel| async move { trust.verify(credential, cancel).await })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Verifies a credential, then keeps it.
///
/// Ownership: the caller frees `*out_json`, a summary, with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
/// Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_import_credential(
    trust: *const kwaai_trust_t,
    credential: *const c_char,
    timeout_ms: u32,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        let (credential, out) = unsafe { (text("credential", credential)?, Out::text("out_json", out_json)?) };
        out.set_json(&wait(timeout_ms, |cancel| async move { trust.import_credential(credential, cancel).await })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The credentials that are kept and fit the filter, as a JSON array. The filter is a JSON object with any of
/// `subject`, `issuer` and `type`; NULL wants all.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `filter_json` and `error` may be
/// NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_credentials(
    trust: *const kwaai_trust_t,
    filter_json: *const c_char,
    timeout_ms: u32,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        let (filter, out) = unsafe { (optional_text("filter_json", filter_json)?, Out::text("out_json", out_json)?) };
        let filter = filter.map(|text| validate::json("filter_json", &text)).transpose()?.unwrap_or_default();
        out.set_json(&wait(timeout_ms, |cancel| async move { trust.credentials(filter, cancel).await })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Trusts an issuer for exactly these types from now on. `types_json` is a JSON array of type names.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
/// freed.
///
/// # Safety
/// Texts end with NUL; `error` may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_trust_issuer(
    trust: *const kwaai_trust_t,
    did: *const c_char,
    types_json: *const c_char,
    timeout_ms: u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        let (did, types) = unsafe { (text("did", did)?, text("types_json", types_json)?) };
        let types = validate::json("types_json", &types)?;
        wait(timeout_ms, |cancel| async move { trust.trust_issuer(did, types, cancel).await })
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Trusts an issuer no longer.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
/// freed.
///
/// # Safety
/// Texts end with NUL; `error` may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_distrust_issuer(
    trust: *const kwaai_trust_t,
    did: *const c_char,
    timeout_ms: u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        let did = unsafe { text("did", did) }?;
        wait(timeout_ms, |cancel| async move { trust.distrust_issuer(did, cancel).await })
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// How far this node trusts a peer, a DID or a PeerId: `*out_value` from 0 to 1, and as JSON the tier and the arithmetic.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_score(
    trust: *const kwaai_trust_t,
    peer: *const c_char,
    timeout_ms: u32,
    out_value: *mut f64,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        let (peer, value) = unsafe { (text("peer", peer)?, Out::new("out_value", out_value, 0.0)?) };
        // SAFETY: the caller's promise.
        let out = unsafe { Out::text("out_json", out_json) }?;
        let score = wait(timeout_ms, |cancel| async move { trust.score(peer, cancel).await })?;
        out.set_json(&score)?;
        value.set(score.value)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Checks that a peer reaches the minimum tier of a purpose: "message", "serve_blocks" or "use_blocks". Answers
/// `KWAAI_UNTRUSTED_PEER` when it does not.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
/// freed.
///
/// # Safety
/// Texts end with NUL; `error` may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_require(
    trust: *const kwaai_trust_t,
    peer: *const c_char,
    purpose: *const c_char,
    timeout_ms: u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let trust = resolve::<TrustGraph>(trust)?;
        // SAFETY: the caller's promise.
        let (peer, purpose) = unsafe { (text("peer", peer)?, text("purpose", purpose)?) };
        wait(timeout_ms, |cancel| async move { trust.require(peer, purpose, cancel).await })
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Lets go of a trust graph. That of a node stays open with the node.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_trust_free(trust: *mut kwaai_trust_t) -> kwaai_status_t {
    free::<TrustGraph>(trust)
}
