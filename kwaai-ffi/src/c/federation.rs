//! Knowledge bases of several nodes searched as one, for C. Records come as JSON.

use std::ffi::c_char;

use kwaai_core::Error;
use kwaai_core::rag::{AskOptions, Hit, Mode, Provenance};
use serde::Deserialize;

use super::call::{Out, boundary, free, optional, record, resolve, slice, text, texts};
use super::node::kwaai_node_t;
use super::provide::kwaai_embedder_t;
use super::rag::kwaai_rag_t;
use super::reply::Text;
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::federation::{
    FederatedOptions, KnowledgeCapability, Members, SharedSearch as SharedOptions, check_provenance,
};
use crate::node::Sharing;
use crate::provide::Embedder;
use crate::registry::Kind;
use crate::{Federation, Node, Rag, Result, SharedKnowledge, validate};

/// A knowledge base of a peer, which a capability opens.
pub struct kwaai_shared_knowledge_t;

impl Kind for SharedKnowledge {
    const TAG: u8 = 18;
    const NAME: &'static str = "shared knowledge base";
    type Opaque = kwaai_shared_knowledge_t;
}

/// Several knowledge bases that are searched together.
pub struct kwaai_federation_t;

impl Kind for Federation {
    const TAG: u8 = 19;
    const NAME: &'static str = "federation";
    type Opaque = kwaai_federation_t;
}

/// What a federation searches, and with what it scores. Set everything to zero, then `size`, then what there is.
#[repr(C)]
pub struct kwaai_members_t {
    /// `sizeof(kwaai_members_t)`, so that later versions can add to it.
    pub size: usize,
    /// What hits call the knowledge bases of this node, in the order of `own`. May be NULL when there are none.
    pub own_names: *const *const c_char,
    /// Knowledge bases of this node. May be NULL when there are none.
    pub own: *const *const kwaai_rag_t,
    /// How many knowledge bases of this node there are.
    pub own_count: usize,
    /// Knowledge bases that peers share, each with the name that its owner gave it. May be NULL when there are none.
    pub shared: *const *const kwaai_shared_knowledge_t,
    /// How many knowledge bases that peers share there are.
    pub shared_count: usize,
    /// An embedder of the program, in place of one that the options name. May be NULL.
    pub embedder: *const kwaai_embedder_t,
}

/// # Safety
/// `members` is NULL or points to as many bytes as it says, and to as many names and handles.
unsafe fn members_of(members: *const kwaai_members_t) -> Result<(Members, Option<Embedder>)> {
    if members.is_null() {
        return Err(Error::invalid_argument("members is NULL").into());
    }
    // SAFETY: the size is the first field of every version.
    if unsafe { (&raw const (*members).size).read() } < size_of::<kwaai_members_t>() {
        return Err(Error::invalid_argument("members->size is not sizeof(kwaai_members_t)").into());
    }
    // SAFETY: it is as large as this version.
    let given = unsafe { &*members };
    // SAFETY: the caller's promise.
    let (names, own, shared) = unsafe {
        (
            texts("members->own_names", given.own_names, given.own_count)?,
            slice("members->own", given.own, given.own_count)?,
            slice("members->shared", given.shared, given.shared_count)?,
        )
    };
    let mut members = Members::default();
    for (name, rag) in names.into_iter().zip(own) {
        members.own(name, &*resolve::<Rag>(*rag)?)?;
    }
    for shared in shared {
        members.shared(&*resolve::<SharedKnowledge>(*shared)?)?;
    }
    Ok((members, optional::<Embedder>(given.embedder)?.map(|own| Embedder::clone(&own))))
}

/// How to search a shared knowledge base.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SharedSearch {
    k: usize,
    mode: Mode,
    timeout_ms: u64,
}

impl Default for SharedSearch {
    fn default() -> SharedSearch {
        let SharedOptions { mode, timeout_ms } = SharedOptions::default();
        SharedSearch { k: AskOptions::default().k, mode, timeout_ms }
    }
}

/// How to search a federation.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FederatedSearch {
    k: usize,
    mode: Mode,
    links: bool,
    dense_weight: Option<f64>,
    timeout_ms: u64,
}

impl Default for FederatedSearch {
    fn default() -> FederatedSearch {
        let FederatedOptions { mode, links, dense_weight, timeout_ms } = FederatedOptions::default();
        FederatedSearch { k: AskOptions::default().k, mode, links, dense_weight, timeout_ms }
    }
}

waiting! {
    /// Lets a peer search a knowledge base. The answer is the signed text of a capability, which is handed to the holder by whatever
    /// way; `kwaai_library_read_knowledge_capability` tells what is in it, its id for `kwaai_rag_revoke_share` among that.
    ///
    /// `holder` is a DID or a PeerId, `name` what the holder sees the knowledge base called, 1 to 64 characters, and `valid_for_ms` at
    /// most 366 days. The capability counts while this node runs and the knowledge base is open: one that was
    /// opened with `kwaai_node_rag`, or was shared since. The holder gets passages and what proves them; this node gets its
    /// questions.
    ///
    /// Ownership: the caller frees `*out_capability` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
    /// handles must not have been freed.
    fn kwaai_node_share_knowledge / kwaai_node_share_knowledge_async(
        node: *const kwaai_node_t,
        rag: *const kwaai_rag_t,
        holder: *const c_char,
        name: *const c_char,
        valid_for_ms: u64,
    ) -> (out_capability: *mut c_char) {
        let (node, rag) = (resolve::<Node>(node)?, resolve::<Rag>(rag)?);
        let sharing = Sharing { holder: text("holder", holder)?, name: text("name", name)?, valid_for_ms };
        |cancel| async move { node.share_knowledge(&rag, sharing, cancel).await.map(|capability| Text(capability.text)) }
    }

    /// A knowledge base that a peer shares, by its capability. Nobody is asked before it is searched. `KWAAI_CORRUPT_DATA` for
    /// a capability whose signature does not hold.
    ///
    /// Ownership: the caller frees `*out_shared` with `kwaai_shared_knowledge_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: it ends with the node.
    fn kwaai_node_shared_knowledge / kwaai_node_shared_knowledge_async(
        node: *const kwaai_node_t,
        peer: *const c_char,
        capability: *const c_char,
    ) -> (out_shared: *mut kwaai_shared_knowledge_t) {
        let node = resolve::<Node>(node)?;
        let (peer, capability) = (text("peer", peer)?, text("capability", capability)?);
        |cancel| async move { node.shared_knowledge(peer, capability, cancel).await }
    }

    /// Several knowledge bases as one: those of `members`, `own` first and then `shared`. `options_json` is an object with any of
    /// `embedder` ("auto", "none" or the folder of a BERT model), which scores passages of all of them, and `language`, whose
    /// word forms are brought together.
    ///
    /// Ownership: the caller frees `*out_federation` with `kwaai_federation_free`; `*members` is read and stays the caller's.
    /// Threads: any. NULL: `options_json` and `error` may be NULL. Lifetime: handles of members may be freed; knowledge bases
    /// that were shut down are found closed.
    fn kwaai_node_federation / kwaai_node_federation_async(
        node: *const kwaai_node_t,
        members: *const kwaai_members_t,
        options_json: *const c_char,
    ) -> (out_federation: *mut kwaai_federation_t) {
        let (node, (members, embedder)) = (resolve::<Node>(node)?, members_of(members)?);
        let options = record("options_json", options_json)?;
        |cancel| async move { node.federation(members, options, embedder, cancel).await }
    }

    /// Proves where passages of a knowledge base come from, as this node's statement. As a JSON array of objects, each with the
    /// `hit` and its `provenance`.
    ///
    /// `hits_json` is an array of hits as `kwaai_rag_search` writes them; those that are no longer as they were found are left out.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
    /// handles must not have been freed.
    fn kwaai_node_prove / kwaai_node_prove_async(
        node: *const kwaai_node_t,
        rag: *const kwaai_rag_t,
        hits_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (node, rag) = (resolve::<Node>(node)?, resolve::<Rag>(rag)?);
        let hits: Vec<Hit> = validate::json("hits_json", &text("hits_json", hits_json)?)?;
        |cancel| async move { Text::json(&node.prove(&rag, hits, cancel).await?) }
    }

    /// The id of a knowledge base: 32 hexadecimal digits, of its own and made when it was.
    ///
    /// Ownership: the caller frees `*out_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
    /// handle must not have been freed.
    fn kwaai_rag_id / kwaai_rag_id_async(rag: *const kwaai_rag_t) -> (out_id: *mut c_char) {
        let rag = resolve::<Rag>(rag)?;
        |cancel| async move { rag.id(cancel).await.map(Text) }
    }

    /// Lets a capability count no more, by its `id`. Revoking it again does nothing.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_rag_revoke_share / kwaai_rag_revoke_share_async(rag: *const kwaai_rag_t, capability_id: *const c_char) -> () {
        let (rag, capability_id) = (resolve::<Rag>(rag)?, text("capability_id", capability_id)?);
        |cancel| async move { rag.revoke_share(capability_id, cancel).await }
    }

    /// The passages of a shared knowledge base that fit a text best, as the owner's node ranks them; each was checked against
    /// what the owner signed. As a JSON array of objects, each with the `hit` and its `provenance`.
    ///
    /// The owner's node learns the text. `options_json` is an object with any of `k`, 64 at most, `mode`, and `timeout_ms`, 10,000 unless set: how long the peer may take.
    ///
    /// `KWAAI_PERMISSION_DENIED` for a capability that is somebody else's, has ended or was revoked; `KWAAI_NOT_FOUND` while
    /// the knowledge base is not open at its owner's node.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_shared_knowledge_search / kwaai_shared_knowledge_search_async(
        shared: *const kwaai_shared_knowledge_t,
        text: *const c_char,
        options_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (shared, text) = (resolve::<SharedKnowledge>(shared)?, super::call::text("text", text)?);
        let SharedSearch { k, mode, timeout_ms } = record("options_json", options_json)?;
        let options = SharedOptions { mode, timeout_ms };
        move |cancel| async move { Text::json(&shared.search(text, k, options, cancel).await?) }
    }

    /// The best passages of all knowledge bases of a federation, as JSON: `hits`, best first, `failures` and `mode`.
    ///
    /// A hit has the `member` that it was found in, the names of others that hold the same text, `also`, the `hit`, whose score
    /// is the one of the whole search, and its `provenance`. A failure has the `member` that was not searched, the `code` of the
    /// error and a `message`. `options_json` is an object with any of `k`, 64 at most, `mode`, `links`, `dense_weight`, as for
    /// `kwaai_rag_search`, and `timeout_ms`, 10,000 unless set: how long a peer may take. It fails when no knowledge base could
    /// be searched.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_federation_search / kwaai_federation_search_async(
        federation: *const kwaai_federation_t,
        text: *const c_char,
        options_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (federation, text) = (resolve::<Federation>(federation)?, super::call::text("text", text)?);
        let FederatedSearch { k, mode, links, dense_weight, timeout_ms } = record("options_json", options_json)?;
        let options = FederatedOptions { mode, links, dense_weight, timeout_ms };
        move |cancel| async move { Text::json(&federation.search(text, k, options, cancel).await?) }
    }
}

/// What opens a shared knowledge base, as `kwaai_library_read_knowledge_capability` tells it.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_shared_knowledge_capability(
    shared: *const kwaai_shared_knowledge_t,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_json", out_json) }?;
        out.set_json(resolve::<SharedKnowledge>(shared)?.capability())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The names of the knowledge bases of a federation, as a JSON array in their order.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_federation_members(
    federation: *const kwaai_federation_t,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_json", out_json) }?;
        out.set_json(&resolve::<Federation>(federation)?.members())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Checks that a passage stood in a knowledge base, with no node and no network. As JSON: the DID of the `owner`, who signed,
/// the id of the `knowledge_base`, how many `passages` it held, and when, `signed_at`.
///
/// `hit_json` and `provenance_json` are those of a search. What is proven are text, span, ids and the document's name; not the
/// score, the section or the locator. `KWAAI_CORRUPT_DATA` for what does not hold.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
/// applicable.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_library_check_provenance(
    hit_json: *const c_char,
    provenance_json: *const c_char,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_json", out_json) }?;
        // SAFETY: the caller's promise.
        let (hit, provenance) = unsafe { (text("hit_json", hit_json)?, text("provenance_json", provenance_json)?) };
        let hit: Hit = validate::json("hit_json", &hit)?;
        let provenance: Provenance = validate::json("provenance_json", &provenance)?;
        out.set_json(&check_provenance(&hit, &provenance)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Reads the text of a capability that an owner handed over, and checks its form and its signature. As JSON: its `id`, the DIDs
/// of `owner` and `holder`, the id of the `knowledge_base`, its `name`, `expires_at`, and the `text`. Nobody is asked.
///
/// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
/// applicable.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_library_read_knowledge_capability(
    capability: *const c_char,
    out_json: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let (out, text) = unsafe { (Out::empty("out_json", out_json)?, text("capability", capability)?) };
        out.set_json(&KnowledgeCapability::read(&text)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees a shared knowledge base.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_shared_knowledge_free(shared: *mut kwaai_shared_knowledge_t) -> kwaai_status_t {
    free::<SharedKnowledge>(shared)
}

/// Frees a federation. Its knowledge bases stay.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_federation_free(federation: *mut kwaai_federation_t) -> kwaai_status_t {
    free::<Federation>(federation)
}
