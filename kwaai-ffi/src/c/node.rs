//! The node, for C. Records come as JSON.

use std::ffi::c_char;

use kwaai_core::Error;

use super::call::{KWAAI_WAIT_FOREVER, Out, boundary, free, optional_text, resolve, text, wait};
use super::status::{kwaai_error_t, kwaai_status_t};
use super::stream::{StreamObject, kwaai_stream_t};
use super::trust::kwaai_trust_t;
use crate::registry::Kind;
use crate::rt::process;
use crate::{Node, validate};

/// A running node.
pub struct kwaai_node_t;

impl Kind for Node {
    const TAG: u8 = 4;
    const NAME: &'static str = "node";
    type Opaque = kwaai_node_t;
}

/// Starts a node. `config_json` is a JSON object with any of `preset` ("ephemeral", "desktop", "mobile", "server"), `name`,
/// `data_dir`, `identity_key`, `listen`, `bootstrap`, `mdns` and `limits`; NULL starts with the defaults.
///
/// Ownership: the caller frees `*out_node` with `kwaai_node_free`. Threads: any. NULL: `config_json` and `error` may be NULL.
/// Lifetime: the node runs until `kwaai_node_shutdown` or `kwaai_node_free`.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_start(
    config_json: *const c_char,
    timeout_ms: u32,
    out_node: *mut *mut kwaai_node_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (config, out) = unsafe { (optional_text("config_json", config_json)?, Out::handle("out_node", out_node)?) };
        let config = config.map(|text| validate::json("config_json", &text)).transpose()?.unwrap_or_default();
        out.set_handle(wait(timeout_ms, |cancel| Node::start(config, cancel))?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The readable name that peers see. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_name` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_name(
    node: *const kwaai_node_t,
    out_name: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        unsafe { Out::text("out_name", out_name) }?.set_text(node.identity().name.clone())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The PeerId of the node. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_peer_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_peer_id(
    node: *const kwaai_node_t,
    out_peer_id: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        unsafe { Out::text("out_peer_id", out_peer_id) }?.set_text(node.identity().peer_id.clone())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The DID that signs this node's credentials. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_did(
    node: *const kwaai_node_t,
    out_did: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        unsafe { Out::text("out_did", out_did) }?.set_text(node.identity().did.clone())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// What the node says about itself, as JSON: name, PeerId, DID, version, directory, addresses, number of peers, uptime.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_info(
    node: *const kwaai_node_t,
    timeout_ms: u32,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::text("out_json", out_json) }?;
        out.set_json(&wait(timeout_ms, |cancel| async move { node.info(cancel).await })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The first address at which the node can be dialled, ending in `/p2p/<peer id>`. `KWAAI_NOT_FOUND` for a node that listens
/// nowhere.
///
/// Ownership: the caller frees `*out_address` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_address(
    node: *const kwaai_node_t,
    timeout_ms: u32,
    out_address: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::text("out_address", out_address) }?;
        let info = wait(timeout_ms, |cancel| async move { node.info(cancel).await })?;
        let address = info.addresses.into_iter().next();
        out.set_text(address.ok_or_else(|| Error::not_found("this node listens nowhere"))?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The connected peers as a JSON array, each with its tier, its score and the arithmetic.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_peers(
    node: *const kwaai_node_t,
    timeout_ms: u32,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::text("out_json", out_json) }?;
        out.set_json(&wait(timeout_ms, |cancel| async move { node.peers(cancel).await })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Connects to a node at a multiaddress that ends in `/p2p/<peer id>`, and says who answered.
///
/// Ownership: the caller frees `*out_peer`, a PeerId, with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_connect(
    node: *const kwaai_node_t,
    address: *const c_char,
    timeout_ms: u32,
    out_peer: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let (address, out) = unsafe { (text("address", address)?, Out::text("out_peer", out_peer)?) };
        out.set_text(wait(timeout_ms, |cancel| async move { node.connect(address, cancel).await })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Closes every connection to a peer, a PeerId or a DID.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_disconnect(
    node: *const kwaai_node_t,
    peer: *const c_char,
    timeout_ms: u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let peer = unsafe { text("peer", peer) }?;
        wait(timeout_ms, |cancel| async move { node.disconnect(peer, cancel).await })
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Asks the network where a peer can be reached: a JSON array of addresses.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_find_peer(
    node: *const kwaai_node_t,
    peer: *const c_char,
    timeout_ms: u32,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let (peer, out) = unsafe { (text("peer", peer)?, Out::text("out_json", out_json)?) };
        out.set_json(&wait(timeout_ms, |cancel| async move { node.find_peer(peer, cancel).await })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Sends a text of at most 64 KiB to a peer. Returns when it has arrived.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_send_message(
    node: *const kwaai_node_t,
    peer: *const c_char,
    message: *const c_char,
    timeout_ms: u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let (peer, message) = unsafe { (text("peer", peer)?, text("message", message)?) };
        wait(timeout_ms, |cancel| async move { node.send_message(peer, message, cancel).await })
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Messages as they arrive, each as JSON: `from`, `text`, `received_at`. The stream ends with the node.
///
/// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_messages(
    node: *const kwaai_node_t,
    out_stream: *mut *mut kwaai_stream_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle("out_stream", out_stream) }?;
        out.set_handle(StreamObject::new(node.messages()?))
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// What happens on the network from now on, each as JSON with its `kind`. The stream ends with the node.
///
/// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_events(
    node: *const kwaai_node_t,
    out_stream: *mut *mut kwaai_stream_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle("out_stream", out_stream) }?;
        out.set_handle(StreamObject::new(node.events()?))
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The trust graph of the node. It ends with the node.
///
/// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_trust(
    node: *const kwaai_node_t,
    out_trust: *mut *mut kwaai_trust_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle("out_trust", out_trust) }?;
        out.set(process().registry.share(node.trust())?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Shares exactly this, and no longer what was shared before. `contribution_json` is a JSON object with `blocks`, an array
/// of objects with `model`, `start_block` and `end_block`, and `min_tier`; NULL ends sharing.
///
/// Ownership: the caller frees `*out_json`, what is offered now, with `kwaai_string_free`. Threads: any. NULL:
/// `contribution_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_contribute(
    node: *const kwaai_node_t,
    contribution_json: *const c_char,
    timeout_ms: u32,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        // SAFETY: the caller's promise.
        let given = unsafe { optional_text("contribution_json", contribution_json) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::text("out_json", out_json) }?;
        let given = given.map(|text| validate::json("contribution_json", &text)).transpose()?.unwrap_or_default();
        out.set_json(&wait(timeout_ms, |cancel| async move { node.contribute(given, cancel).await })?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Stops the node: what is under way may finish within `grace_ms`, then it is aborted. Returns when sockets and directory are
/// free, at most about six seconds after that. Calling it again is fine.
///
/// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_shutdown(
    node: *const kwaai_node_t,
    grace_ms: u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let node = resolve::<Node>(node)?;
        wait(KWAAI_WAIT_FOREVER, |cancel| async move { node.shutdown(Some(grace_ms.into()), cancel).await })
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees a node. One that was not shut down is aborted.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_node_free(node: *mut kwaai_node_t) -> kwaai_status_t {
    free::<Node>(node)
}
