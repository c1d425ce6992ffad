//! What a node keeps for others and others for it, for C. Records come as JSON.

use std::ffi::c_char;

use serde::Deserialize;

use super::call::{free, record, resolve, text};
use super::collection::kwaai_collection_t;
use super::console::kwaai_console_t;
use super::reply::{Text, stream};
use super::status::kwaai_status_t;
use super::stream::kwaai_stream_t;
use crate::Vpk;
use crate::registry::Kind;
use crate::validate;
use crate::vpk::{BenchmarkOptions, CollectionOptions, DiscoverOptions, HostOptions, RecoverOptions};

/// Vectors on other people's machines, and vectors of others on this one.
pub struct kwaai_vpk_t;

impl Kind for Vpk {
    const TAG: u8 = 14;
    const NAME: &'static str = "private knowledge";
    type Opaque = kwaai_vpk_t;
}

/// What a collection is to be, beside what must be said.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CreateOptions {
    metric: Option<String>,
    colluding: Option<usize>,
    replicas: Option<usize>,
    free_bytes: Option<u64>,
    min_tier: Option<String>,
    distinct_networks: Option<bool>,
}

/// Where the page of a host is to be.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ConsoleOptions {
    port: Option<u64>,
}

waiting! {
    /// Begins to keep collections for peers that the policy's `store_vectors` admits, and for this node, on `capacity_bytes` of
    /// the disk. Nothing is kept for anybody before; what was kept in an earlier run is there again. `options_json` is an
    /// object with any of `tenant_bytes`, a quarter of all unless set, `tenant_collections`, 64 unless set, both for one owner,
    /// `memory_bytes` for answering, as much as on the disk up to 1 GiB unless set, and `min_tier`.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `options_json` and `error` may be NULL. Lifetime: the handle
    /// must not have been freed.
    fn kwaai_vpk_host / kwaai_vpk_host_async(
        vpk: *const kwaai_vpk_t,
        capacity_bytes: u64,
        options_json: *const c_char,
    ) -> () {
        let (vpk, options) = (resolve::<Vpk>(vpk)?, record::<HostOptions>("options_json", options_json)?);
        move |cancel| async move { vpk.host(capacity_bytes, options, cancel).await }
    }

    /// Ends that. What is kept stays on the disk. A node that does not host is fine.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_vpk_stop_hosting / kwaai_vpk_stop_hosting_async(vpk: *const kwaai_vpk_t) -> () {
        let vpk = resolve::<Vpk>(vpk)?;
        |cancel| async move { vpk.stop_hosting(cancel).await }
    }

    /// What this node keeps, as JSON: `capacity_bytes`, `tenant_bytes`, `tenant_collections`, `memory_bytes`, `min_tier`,
    /// `used_bytes` and `tenants`; null when it does not host.
    ///
    /// A tenant has the DID of its `owner`, the `bytes` that it is charged with, and the number of its `collections`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_vpk_hosted / kwaai_vpk_hosted_async(vpk: *const kwaai_vpk_t) -> (out_json: *mut c_char) {
        let vpk = resolve::<Vpk>(vpk)?;
        |cancel| async move { Text::json(&vpk.hosted(cancel).await?) }
    }

    /// Forgets everything that is kept for one owner, a DID or a PeerId. `KWAAI_NOT_FOUND` when nothing is, and
    /// `KWAAI_UNSUPPORTED` when this node does not host.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_vpk_evict / kwaai_vpk_evict_async(vpk: *const kwaai_vpk_t, owner: *const c_char) -> () {
        let (vpk, owner) = (resolve::<Vpk>(vpk)?, text("owner", owner)?);
        |cancel| async move { vpk.evict(owner, cancel).await }
    }

    /// The nodes that say in the DHT that they host, each as it answered just now, as a JSON array: `host`, its PeerId; `tier`;
    /// `free_bytes` for this node; `latency_ms`; the `operators` that are proven; the `networks` that it is reached in; and the code
    /// of a `refusal` with a `reason` in words, both null for one that can be used. Those come first, the fastest of them first.
    /// `options_json` is an object with any of `free_bytes`, 16 MiB unless set; `min_tier`, the policy's minimum of `store_vectors`
    /// unless set; `distinct_networks`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_vpk_discover / kwaai_vpk_discover_async(vpk: *const kwaai_vpk_t, options_json: *const c_char)
        -> (out_json: *mut c_char) {
        let (vpk, options) = (resolve::<Vpk>(vpk)?, record::<DiscoverOptions>("options_json", options_json)?);
        |cancel| async move { Text::json(&vpk.discover(options, cancel).await?) }
    }

    /// Attacks what the hosts keep of a collection, as JSON: its `privacy`, how many `vectors` were looked at, each of its `hosts`,
    /// the same attacks against copies that must fall as `control`, whether they did as `meaningful`, and whether no attack on a host
    /// did better than three times luck as `hidden`.
    ///
    /// A host has its name as `host`, the `bytes` that were looked at, and `findings`. A finding, of a host or of `control`, has the
    /// `attack` ("known_pairs", "dictionary", "scale", "reuse" or "membership"), its `trials` and `hits`, and the `chance` of luck.
    /// An audit needs 128 sealed vectors, and takes minutes at the largest dimensions.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_vpk_audit / kwaai_vpk_audit_async(vpk: *const kwaai_vpk_t, name: *const c_char) -> (out_json: *mut c_char) {
        let (vpk, name) = (resolve::<Vpk>(vpk)?, text("name", name)?);
        |cancel| async move { Text::json(&vpk.audit(name, cancel).await?) }
    }

    /// Measures searches on this machine, at the first host and at all of them. The stream yields how far it is: how many rows are
    /// `done`, `of` how many, what the step is `about` in words, and the `row`, null when its measurement begins.
    ///
    /// A row has the `privacy`, null for the exact search here; the numbers of `hosts` and `vectors`, and the `dimension`; the `recall`,
    /// which part of the ten nearest was found; `p50_ms` and `p99_ms` of the searches; `durable_ms`, until everything was on the disk here,
    /// and `searchable_ms`, until the hosts had everything and answered; `question_bytes` to each host and `reply_bytes` from each.
    ///
    /// `options_json` is an object with any of `sizes`, an array of numbers of vectors, [1000, 10000] unless set and 100,000 at most;
    /// `dimension`, 384 unless set; `privacies`, an array of "plain", "seal" and "split", all that are possible unless set; `hosts`, an
    /// array as for `kwaai_vpk_create`, of which "split" needs three, none unless set; `questions`, 100 unless set and 1,000 at most;
    /// `seed`, from which the vectors are made, 1 unless set. What it makes at the hosts is deleted again, also when the stream is
    /// cancelled. `KWAAI_BUSY` while another one runs.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which ends it. Threads: any. NULL: `options_json` and
    /// `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_vpk_benchmark / kwaai_vpk_benchmark_async(vpk: *const kwaai_vpk_t, options_json: *const c_char)
        -> (out_stream: *mut kwaai_stream_t) {
        let (vpk, options) = (resolve::<Vpk>(vpk)?, record::<BenchmarkOptions>("options_json", options_json)?);
        |cancel| async move { vpk.benchmark(options, cancel).await.map(stream) }
    }

    /// Makes a collection of vectors at its hosts, under a new key. `privacy` is "plain", "seal" or "split", and `hosts_json` an
    /// array of PeerIds, DIDs or "here" for this node: 1 to 16 with a copy each under "plain" and "seal", twice `colluding` and one
    /// more, 16 at most, under "split". `options_json` is an object with any of `metric` ("cosine", unless set, or "dot") and
    /// `colluding`, how many hosts of "split" may work together and still learn nothing, 1 unless set.
    ///
    /// With an empty array independent hosts are found as by `kwaai_vpk_discover`: `replicas` of them, as many as are needed and one
    /// to spare unless set, as `free_bytes`, `min_tier` and `distinct_networks` ask. `KWAAI_NOT_FOUND` when there are too few.
    ///
    /// Ownership: the caller frees `*out_collection` with `kwaai_collection_free`. Threads: any. NULL: `options_json` and `error`
    /// may be NULL. Lifetime: the collection ends with the node, and is there again in its next run.
    fn kwaai_vpk_create / kwaai_vpk_create_async(
        vpk: *const kwaai_vpk_t,
        name: *const c_char,
        dimension: u32,
        privacy: *const c_char,
        hosts_json: *const c_char,
        options_json: *const c_char,
    ) -> (out_collection: *mut kwaai_collection_t) {
        let (vpk, name) = (resolve::<Vpk>(vpk)?, text("name", name)?);
        let hosts = validate::json("hosts_json", &text("hosts_json", hosts_json)?)?;
        let asked: CreateOptions = record("options_json", options_json)?;
        let options = CollectionOptions {
            dimension: dimension as usize,
            privacy: text("privacy", privacy)?,
            hosts,
            metric: asked.metric,
            colluding: asked.colluding,
            replicas: asked.replicas,
            free_bytes: asked.free_bytes,
            min_tier: asked.min_tier,
            distinct_networks: asked.distinct_networks,
        };
        |cancel| async move { vpk.create(name, options, cancel).await }
    }

    /// Opens a collection that was made before. While it is open, the same name opens the same one.
    ///
    /// Ownership: the caller frees `*out_collection` with `kwaai_collection_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the collection ends with the node.
    fn kwaai_vpk_open / kwaai_vpk_open_async(vpk: *const kwaai_vpk_t, name: *const c_char)
        -> (out_collection: *mut kwaai_collection_t) {
        let (vpk, name) = (resolve::<Vpk>(vpk)?, text("name", name)?);
        |cancel| async move { vpk.open(name, cancel).await }
    }

    /// What this machine says of itself, so that `kwaai_collection_export_key_to` can encrypt a key to it. It is no secret.
    ///
    /// Ownership: the caller frees `*out_device` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_vpk_device / kwaai_vpk_device_async(vpk: *const kwaai_vpk_t) -> (out_device: *mut c_char) {
        let vpk = resolve::<Vpk>(vpk)?;
        |cancel| async move { vpk.device(cancel).await.map(Text) }
    }

    /// The PeerIds of the nodes that say in the DHT that they have a record of a collection, as a JSON array. The collection is
    /// named by its id, as `kwaai_collection_id` answers it. What they have is worth nothing without the collection's key.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_vpk_resolve / kwaai_vpk_resolve_async(vpk: *const kwaai_vpk_t, collection_id: *const c_char)
        -> (out_json: *mut c_char) {
        let (vpk, collection) = (resolve::<Vpk>(vpk)?, text("collection_id", collection_id)?);
        |cancel| async move { Text::json(&vpk.resolve(collection, cancel).await?) }
    }

    /// Makes a collection one of this node under a `name` of its own, which another machine has, or had: `exported` is the text
    /// that `kwaai_collection_export_key` or `kwaai_collection_export_key_to` answered there. What its hosts keep is found, read and checked, and
    /// sealed anew under a key that no other machine has. What waited there and was not sealed yet is not in it.
    ///
    /// `options_json` is an object with one of `passphrase`, and `exported_by`, the DID of the node that exported the key to
    /// this machine; and any of `hosts`, an array as for `kwaai_vpk_create` of who is to keep it, the hosts that it had unless set,
    /// and `partial`, whether it is recovered without payloads that no host has, false unless set.
    ///
    /// `KWAAI_PERMISSION_DENIED` for a wrong passphrase, a key for another machine or from another node; `KWAAI_NOT_FOUND` when
    /// nobody has a record, or the key was exported before a rotation; `KWAAI_CONFLICT` when the hosts hand out an older state.
    ///
    /// Ownership: the caller frees `*out_collection` with `kwaai_collection_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the collection ends with the node, and is there again in its next run.
    fn kwaai_vpk_recover / kwaai_vpk_recover_async(
        vpk: *const kwaai_vpk_t,
        name: *const c_char,
        exported: *const c_char,
        options_json: *const c_char,
    ) -> (out_collection: *mut kwaai_collection_t) {
        let (vpk, name, exported) = (resolve::<Vpk>(vpk)?, text("name", name)?, text("exported", exported)?);
        let options = record::<RecoverOptions>("options_json", options_json)?;
        |cancel| async move { vpk.recover(name, exported, options, cancel).await }
    }

    /// Serves a page on loopback for whoever is on this machine, until the handle is shut down or freed: who keeps how much
    /// here, by tier, and how much room is left; the same as JSON under `/api/host.json`. It can be read only. `options_json` is
    /// an object with or without `port`, 7432 unless set; 0 takes any that is free. `KWAAI_BUSY` when it is taken.
    ///
    /// Ownership: the caller frees `*out_console` with `kwaai_console_free`. Threads: any. NULL: `options_json` and `error` may
    /// be NULL. Lifetime: the page ends with the node.
    fn kwaai_vpk_console / kwaai_vpk_console_async(vpk: *const kwaai_vpk_t, options_json: *const c_char)
        -> (out_console: *mut kwaai_console_t) {
        let (vpk, options) = (resolve::<Vpk>(vpk)?, record::<ConsoleOptions>("options_json", options_json)?);
        move |cancel| async move { vpk.console(options.port, cancel).await }
    }

    /// The names of the collections of this node, as a JSON array.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_vpk_collections / kwaai_vpk_collections_async(vpk: *const kwaai_vpk_t) -> (out_json: *mut c_char) {
        let vpk = resolve::<Vpk>(vpk)?;
        |cancel| async move { Text::json(&vpk.collections(cancel).await?) }
    }

    /// Forgets a collection, here and at its hosts. Handles of it answer `KWAAI_CLOSED` from then on. When a host cannot be
    /// reached it stays a collection, and can be destroyed again.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_vpk_destroy / kwaai_vpk_destroy_async(vpk: *const kwaai_vpk_t, name: *const c_char) -> () {
        let (vpk, name) = (resolve::<Vpk>(vpk)?, text("name", name)?);
        |cancel| async move { vpk.destroy(name, cancel).await }
    }
}

/// Frees it. What the node keeps, and its collections, stay with the node.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_vpk_free(vpk: *mut kwaai_vpk_t) -> kwaai_status_t {
    free::<Vpk>(vpk)
}
