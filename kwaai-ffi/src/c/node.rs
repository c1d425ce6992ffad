//! The node, for C. Records come as JSON.

use std::ffi::c_char;

use kwaai_core::Error;

use super::call::{self, Out, boundary, free, optional, optional_ms, record, resolve, text};
use super::http_server::{ServerOptions, kwaai_http_server_t, kwaai_served_t, served_of};
use super::model::kwaai_model_t;
use super::provide::{kwaai_supplies_t, supplies_of};
use super::rag::kwaai_rag_t;
use super::reply::{Text, stream};
use super::shards::kwaai_shards_t;
use super::status::{kwaai_error_t, kwaai_status_t};
use super::stream::kwaai_stream_t;
use super::trust::kwaai_trust_t;
use super::vpk::kwaai_vpk_t;
use crate::registry::Kind;
use crate::trust::{Rate, TestOptions};
use crate::{Model, Node};

/// A running node.
pub struct kwaai_node_t;

impl Kind for Node {
    const TAG: u8 = 4;
    const NAME: &'static str = "node";
    type Opaque = kwaai_node_t;
}

waiting! {
    /// Starts a node. `config_json` is a JSON object with any of `preset` ("ephemeral", "desktop", "mobile", "server"),
    /// `name`, `data_dir`, `identity_key`, `listen`, `bootstrap`, `mdns`, `hivemind`, `trusted_relays`, `relay`,
    /// `relay_limits`, `announce_addr`, `public_ip`, `public_port`, `force_private`, `identify_min_confirmations`,
    /// `identify_timeout_ms`, `upnp`, `peer_cache` and `limits`, and for tests `seed` and `clock`; NULL starts with the
    /// defaults.
    /// `relay_limits` is an object with any of `max_reservations`, `reservation_duration_ms`, `max_circuits`,
    /// `max_circuits_per_peer`, `max_circuits_per_stranger`, `max_circuit_bytes` and `max_circuit_duration_ms`, of a node with
    /// `relay`. `identify_timeout_ms` is rounded up to whole seconds.
    ///
    /// Ownership: the caller frees `*out_node` with `kwaai_node_free`. Threads: any. NULL: `config_json` and `error` may
    /// be NULL. Lifetime: the node runs until `kwaai_node_shutdown` or `kwaai_node_free`.
    fn kwaai_node_start / kwaai_node_start_async(config_json: *const c_char) -> (out_node: *mut kwaai_node_t) {
        let config = record("config_json", config_json)?;
        |cancel| Node::start(config, cancel)
    }

    /// What the node says about itself, as JSON: `name`, `peer_id`, `did`, `version`, `data_dir`, `addresses`,
    /// `reachability`, `connected_peers`, `uptime_ms`.
    ///
    /// `reachability` is whether others can dial the node: its `verdict`, which is "public", "private" or "unknown", `why` in
    /// a sentence, and the PeerIds of the `relays` that the node is reached through.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_info / kwaai_node_info_async(node: *const kwaai_node_t) -> (out_json: *mut c_char) {
        let node = resolve::<Node>(node)?;
        |cancel| async move { Text::json(&node.info(cancel).await?) }
    }

    /// The first address at which the node can be dialled, ending in `/p2p/<peer id>`. `KWAAI_NOT_FOUND` for a node that
    /// listens nowhere.
    ///
    /// Ownership: the caller frees `*out_address` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_address / kwaai_node_address_async(node: *const kwaai_node_t) -> (out_address: *mut c_char) {
        let node = resolve::<Node>(node)?;
        |cancel| async move {
            let address = node.info(cancel).await?.addresses.into_iter().next();
            Ok(Text(address.ok_or_else(|| Error::not_found("this node listens nowhere"))?))
        }
    }

    /// The connected peers as a JSON array, each with its tier, its score and the arithmetic, whether a fiduciary pledge of
    /// it counts here, whether it is `relayed`, reached only through a relay, and whether it was named as a `bootstrap` or
    /// a `trusted_relay`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_peers / kwaai_node_peers_async(node: *const kwaai_node_t) -> (out_json: *mut c_char) {
        let node = resolve::<Node>(node)?;
        |cancel| async move { Text::json(&node.peers(cancel).await?) }
    }

    /// Looks for what keeps this node from others, as a JSON array of objects with `cause`, `text`, which says what was seen,
    /// and `remedy`. Causes are "no_bootstrap", "dead_bootstrap", "incompatible_version", "clock_off",
    /// "relay_without_slots", "dead_relay" and "firewall". Bootstraps that are not connected are tried, for ten seconds at
    /// most. Nothing found is an empty array.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_diagnose / kwaai_node_diagnose_async(node: *const kwaai_node_t) -> (out_json: *mut c_char) {
        let node = resolve::<Node>(node)?;
        |cancel| async move { Text::json(&node.diagnose(cancel).await?) }
    }

    /// What the node measured since its start, as a JSON object: `metrics`, an array, and `prometheus`, the same as text that
    /// Prometheus reads.
    ///
    /// Each metric has a `name` of OpenTelemetry's conventions, such as "rpc.server.call.duration" or "kwaainet.peers", an
    /// `instrument`, which is "counter", "gauge" or "histogram", a `unit`, a `description`, an object of `attributes`, and the
    /// `value`. In a histogram that is the sum, `count` says of how many values, and `buckets` how many are at most so large, in
    /// objects with `at_most` and `count`; for the others `count` is null. No peer is named in it, and nothing that was said.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_metrics / kwaai_node_metrics_async(node: *const kwaai_node_t) -> (out_json: *mut c_char) {
        let node = resolve::<Node>(node)?;
        |cancel| async move { Text::json(&node.metrics(cancel).await?) }
    }

    /// Connects to a node at a multiaddress that ends in `/p2p/<peer id>`, and says who answered.
    ///
    /// Ownership: the caller frees `*out_peer`, a PeerId, with `kwaai_string_free`. Threads: any. NULL: `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_node_connect / kwaai_node_connect_async(node: *const kwaai_node_t, address: *const c_char)
        -> (out_peer: *mut c_char) {
        let (node, address) = (resolve::<Node>(node)?, text("address", address)?);
        |cancel| async move { node.connect(address, cancel).await.map(Text) }
    }

    /// Closes every connection to a peer, a PeerId or a DID.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_node_disconnect / kwaai_node_disconnect_async(node: *const kwaai_node_t, peer: *const c_char) -> () {
        let (node, peer) = (resolve::<Node>(node)?, text("peer", peer)?);
        |cancel| async move { node.disconnect(peer, cancel).await }
    }

    /// Asks the network where a peer can be reached: a JSON array of addresses.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_find_peer / kwaai_node_find_peer_async(node: *const kwaai_node_t, peer: *const c_char)
        -> (out_json: *mut c_char) {
        let (node, peer) = (resolve::<Node>(node)?, text("peer", peer)?);
        |cancel| async move { Text::json(&node.find_peer(peer, cancel).await?) }
    }

    /// Whether a peer, a PeerId or a DID, or whoever is at an address, answers now: connects to it where there is no connection,
    /// and times a round trip. The peer as JSON, as in `kwaai_node_peers`. `KWAAI_UNREACHABLE` with what was tried,
    /// `KWAAI_TIMEOUT` after 20 seconds.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_probe / kwaai_node_probe_async(node: *const kwaai_node_t, peer: *const c_char)
        -> (out_json: *mut c_char) {
        let (node, peer) = (resolve::<Node>(node)?, text("peer", peer)?);
        |cancel| async move { Text::json(&node.probe(peer, cancel).await?) }
    }

    /// Asks a peer where somebody stands with it, both of them a PeerId or a DID. The statement is the peer's opinion, signed
    /// for this node and checked; as JSON: `responder`, `asker`, `about`, `answer` ("unknown", "at_least", "tier" or
    /// "score"), `holds`, `tier`, `value`, `made_at`, `expires_at`; null where the answer has none.
    ///
    /// `at_least_json`, the name of a tier in quotes or a score from 0 to 1, asks whether somebody reaches that instead,
    /// which peers tell to more askers.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `at_least_json` and `error`
    /// may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_node_ask_trust / kwaai_node_ask_trust_async(
        node: *const kwaai_node_t,
        peer: *const c_char,
        about: *const c_char,
        at_least_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (node, at_least) = (resolve::<Node>(node)?, record("at_least_json", at_least_json)?);
        let (peer, about) = (text("peer", peer)?, text("about", about)?);
        |cancel| async move { Text::json(&node.ask_trust(peer, about, at_least, cancel).await?) }
    }

    /// Asks a peer what it saw of others by itself, and keeps that as its recommendations, in place of those it gave before. How much
    /// they count in a score depends on how well the peer agrees with this node's own experience. As JSON: the `recommender`,
    /// about how many peers its word was taken as `count`, and the instant `made_at` which it was said. A peer that saw nobody, or
    /// does not say, is a result with a count of 0; what is kept of it stays then.
    ///
    /// A node asks by itself, every hour, the connected peers that are at least known.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_ask_word / kwaai_node_ask_word_async(node: *const kwaai_node_t, peer: *const c_char)
        -> (out_json: *mut c_char) {
        let (node, peer) = (resolve::<Node>(node)?, text("peer", peer)?);
        |cancel| async move { Text::json(&node.ask_word(peer, cancel).await?) }
    }

    /// Looks at once for the status lists that this node wants, at their issuers and at the nodes that have copies. As
    /// JSON: how many were `fetched`, and as `missing` those of which nobody had a young copy, as
    /// `kwaai_trust_wanted_status_lists` has them.
    ///
    /// A node does this by itself every ten minutes. With peers that have gone it may take a minute.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_node_refresh_status_lists / kwaai_node_refresh_status_lists_async(node: *const kwaai_node_t)
        -> (out_json: *mut c_char) {
        let node = resolve::<Node>(node)?;
        |cancel| async move { Text::json(&node.refresh_status_lists(cancel).await?) }
    }

    /// Puts what a kept credential claims to the test, at the peer that it is about, and keeps the row of evidence. As JSON:
    /// `credential_id`, the tested `peer`, the name of the `claim`, what was `claimed` and what was `measured` in its unit, over
    /// how many `samples`, the `tolerance`, the `verdict` ("holds", "fails" or "inconclusive"), whether the work was `correct`,
    /// the `seed`, the instant `at` which it was made, the `probe` and the `answer` as they were signed; null where there is none.
    ///
    /// An UptimeVC is tested by whether the peer answers: a probe is a sample. A ThroughputVC is tested by tokens that the
    /// peer computes, with the `model` that it names; the results are compared where that holds its blocks too.
    /// `options_json` is an object with any of `tolerance`, a share of the claim from 0 to 1, 0.2 unless set; `tokens`, 8 to
    /// 512, 32 unless set; `seed`, from 0 to 2^53 - 1, which decides the work and is drawn at random unless set.
    /// `KWAAI_NOT_FOUND` for a credential that is not kept, `KWAAI_UNSUPPORTED` for one whose claim cannot be tested. A peer
    /// that does not answer is a result and no error; it takes ten seconds.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `model`, `options_json` and
    /// `error` may be NULL. Lifetime: the handles must not have been freed.
    fn kwaai_node_test_credential / kwaai_node_test_credential_async(
        node: *const kwaai_node_t,
        credential_id: *const c_char,
        model: *const kwaai_model_t,
        options_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (node, model) = (resolve::<Node>(node)?, optional::<Model>(model)?);
        let options = record::<TestOptions>("options_json", options_json)?;
        let credential_id = text("credential_id", credential_id)?;
        |cancel| async move { Text::json(&node.test_credential(credential_id, model, options, cancel).await?) }
    }

    /// Looks whether a peer is up, and keeps that as a sample of its sightings: up is who answers a call, whatever it answers.
    /// `*out_json` is the JSON text `true` or `false`. `KWAAI_UNREACHABLE` when the peer does not answer and no other peer is
    /// connected: the fault may be here, and that is no sample. It takes five seconds to find a peer down.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
    /// handle must not have been freed.
    fn kwaai_node_sight / kwaai_node_sight_async(node: *const kwaai_node_t, peer: *const c_char)
        -> (out_json: *mut c_char) {
        let (node, peer) = (resolve::<Node>(node)?, text("peer", peer)?);
        |cancel| async move { Text::json(&node.sight(peer, cancel).await?) }
    }

    /// Looks at every connected peer, and at those that were looked at within the last seven days, once each period as long as
    /// the node runs. `period_ms` is a second at least. What a bootstrap server does that issues UptimeVCs.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_node_watch_peers / kwaai_node_watch_peers_async(node: *const kwaai_node_t, period_ms: u64) -> () {
        let node = resolve::<Node>(node)?;
        move |cancel| async move { node.watch_peers(period_ms, cancel).await }
    }

    /// Measures how fast a peer computes its blocks of a model, and issues a ThroughputVC about what was measured: tokens per
    /// second of the whole model, as if the peer computed all of its blocks. The model is loaded here, its blocks need not be;
    /// with them the peer's results are compared. `options_json` is an object with any of `tokens`, 8 to 512, 32 unless set;
    /// `runs`, 1 to 64, 3 unless set; `seed`, from 0 to 2^53 - 1; `valid_for_ms`. `*out_credential` is the signed document. It
    /// is not kept. `KWAAI_NOT_FOUND` when the peer serves no block of the model, `KWAAI_CORRUPT_DATA` for a wrong result.
    ///
    /// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error`
    /// may be NULL. Lifetime: the handles must not have been freed.
    fn kwaai_node_issue_throughput / kwaai_node_issue_throughput_async(
        node: *const kwaai_node_t,
        peer: *const c_char,
        model: *const kwaai_model_t,
        options_json: *const c_char,
    ) -> (out_credential: *mut c_char) {
        let (node, model) = (resolve::<Node>(node)?, resolve::<Model>(model)?);
        let (peer, rate) = (text("peer", peer)?, record::<Rate>("options_json", options_json)?);
        |cancel| async move { Ok(Text(node.issue_throughput(peer, model, rate, cancel).await?.json)) }
    }

    /// Sends a text of at most 64 KiB to a peer, a PeerId or a DID, or to whoever is at an address. Returns when it has arrived.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_node_send_message / kwaai_node_send_message_async(
        node: *const kwaai_node_t,
        peer: *const c_char,
        text: *const c_char,
    ) -> () {
        let node = resolve::<Node>(node)?;
        let (peer, text) = (call::text("peer", peer)?, call::text("text", text)?);
        |cancel| async move { node.send_message(peer, text, cancel).await }
    }

    /// Opens a knowledge base of this node. While it is open, the same name opens the same one. `options_json` is a JSON
    /// object with any of `embedder` ("auto", "none", the folder or hub id of an embedding model, or an object for one behind an endpoint: `base_url`,
    /// `model`, `api_key`, `api` ("openai" or "ollama"), `dimension`, `query_prompt`, `document_prompt`), `endpoint` (`base_url`, `model`,
    /// `api_key`), `chunking` (`strategy`, `size`, `overlap`, `min`), `language`, `cache` (`answers`, `ttl_ms`, `similarity`: which answers
    /// are given again to the same question while nothing changes) and `data_dir`, a directory in which it lies instead of the node's, for
    /// example on another disk: the node remembers it by the name, another one is `KWAAI_CONFLICT`, and one that is missing is
    /// `KWAAI_NOT_FOUND`. `supplies` bring an embedder, a
    /// model that writes the answers, and `readers`.
    ///
    /// Ownership: the caller frees `*out_rag` with `kwaai_rag_free`; `*supplies` is read and stays the caller's. Threads:
    /// any. NULL: `options_json`, `supplies` and `error` may be NULL. Lifetime: the knowledge base ends with the node.
    fn kwaai_node_rag / kwaai_node_rag_async(
        node: *const kwaai_node_t,
        name: *const c_char,
        options_json: *const c_char,
        supplies: *const kwaai_supplies_t,
    ) -> (out_rag: *mut kwaai_rag_t) {
        let (node, name) = (resolve::<Node>(node)?, text("name", name)?);
        let (options, supplies) = (record("options_json", options_json)?, supplies_of(supplies)?);
        |cancel| async move { node.rag(name, options, supplies, cancel).await }
    }

    /// Serves models by OpenAI's HTTP API, on port 11435 of this machine alone unless the options say otherwise. Handles of
    /// models, embedders and knowledge bases (`knowledge`) are in `served`; a knowledge base is a model too, which answers from its
    /// documents, and has a page for people. `options_json` is a JSON object with any of `models`, an object of endpoints by their
    /// names, each with `base_url`, `model` and `api_key`; `embedders`, an object with the folders or hub ids of BERT models by
    /// their names; `host`, an IP address; `port`, of which 0 takes any that is free; `token`, which every request then carries as
    /// its bearer token, and without which only loopback is listened on; `max_requests` at the same time, 8;
    /// `max_body_bytes`, 4 MiB; and `max_upload_bytes` of a document, 64 MiB. `KWAAI_BUSY` when the port is taken.
    ///
    /// Ownership: the caller frees `*out_server` with `kwaai_http_server_free`; `*served` is read and stays the caller's.
    /// Threads: any. NULL: `options_json`, `served` and `error` may be NULL. Lifetime: the server runs until it is shut down or
    /// freed, and ends with the node.
    fn kwaai_node_serve_http / kwaai_node_serve_http_async(
        node: *const kwaai_node_t,
        options_json: *const c_char,
        served: *const kwaai_served_t,
    ) -> (out_server: *mut kwaai_http_server_t) {
        let (node, options) = (resolve::<Node>(node)?, record::<ServerOptions>("options_json", options_json)?);
        let (served, options) = options.into_parts(served_of(served)?);
        |cancel| async move { node.serve_http(served, options, cancel).await }
    }

    /// Shares exactly this, and no longer what was shared before. `contribution_json` is a JSON object with `blocks`, an
    /// array of objects with `model` and either `start_block` and `end_block`, or the `count` of blocks, or `memory_bytes` for as many as
    /// fit there, or nothing for as many as fit this machine; with `min_tier`; and with `grace_ms`, within which what was shared
    /// before may end, five seconds unless set. NULL ends sharing. Blocks whose place is not given go where the swarm has them least,
    /// and are moved when that helps it. `*out_json` is what is offered now.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `contribution_json` and
    /// `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_node_contribute / kwaai_node_contribute_async(node: *const kwaai_node_t, contribution_json: *const c_char)
        -> (out_json: *mut c_char) {
        let (node, contribution) = (resolve::<Node>(node)?, record("contribution_json", contribution_json)?);
        |cancel| async move { Text::json(&node.contribute(contribution, cancel).await?) }
    }

    /// Stops the node: what is under way may finish within `grace_ms`, five seconds where it is `KWAAI_UNSET`, then it is
    /// aborted. Returns when sockets and directory are free, at most about six seconds after that. Calling it again is
    /// fine. When the wait ends first, the shutdown goes on.
    ///
    /// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
    /// have been freed.
    fn kwaai_node_shutdown / kwaai_node_shutdown_async(node: *const kwaai_node_t, grace_ms: u64) -> () {
        let node = resolve::<Node>(node)?;
        move |cancel| async move { node.shutdown(optional_ms(grace_ms), cancel).await }
    }
}

/// The readable name that peers see. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_name` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
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
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_name", out_name) }?;
        out.set_text(resolve::<Node>(node)?.identity().name.clone())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The PeerId of the node. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_peer_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
/// Lifetime: the handle must not have been freed.
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
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_peer_id", out_peer_id) }?;
        out.set_text(resolve::<Node>(node)?.identity().peer_id.clone())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The DID that signs this node's credentials. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
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
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_did", out_did) }?;
        out.set_text(resolve::<Node>(node)?.identity().did.clone())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Messages as they arrive, each as JSON: `sender`, `text`, `received_at`. The stream ends with the node.
///
/// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
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
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_stream", out_stream) }?;
        out.set_handle(stream(resolve::<Node>(node)?.messages()?))
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// What happens on the network from now on, each as JSON with its `kind`. The stream ends with the node.
///
/// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
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
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_stream", out_stream) }?;
        out.set_handle(stream(resolve::<Node>(node)?.events()?))
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The trust graph of the node. It ends with the node.
///
/// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
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
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_trust", out_trust) }?;
        out.set_shared(resolve::<Node>(node)?.trust())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The shard engine of the node. It ends with the node.
///
/// Ownership: the caller frees `*out_shards` with `kwaai_shards_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_shards(
    node: *const kwaai_node_t,
    out_shards: *mut *mut kwaai_shards_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_shards", out_shards) }?;
        out.set_shared(resolve::<Node>(node)?.shards())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Vectors on other people's machines that these cannot read, and such vectors of others on this one. It ends with the node.
///
/// Ownership: the caller frees `*out_vpk` with `kwaai_vpk_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_vpk(
    node: *const kwaai_node_t,
    out_vpk: *mut *mut kwaai_vpk_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_vpk", out_vpk) }?;
        out.set_shared(resolve::<Node>(node)?.vpk())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// For tests: moves the clock that the node was started with forward. `KWAAI_UNSUPPORTED` for a node that goes by the
/// machine's clock.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
/// freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_node_advance_clock(
    node: *const kwaai_node_t,
    by_ms: u64,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || resolve::<Node>(node)?.advance_clock(by_ms);
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
