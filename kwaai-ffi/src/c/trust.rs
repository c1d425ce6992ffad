//! Trust, for C. Records come as JSON.

use std::ffi::c_char;

use super::call::{Out, boundary, free, optional, optional_ms, optional_text, record, resolve, text};
use super::provide::kwaai_signer_t;
use super::reply::{Scored, Text};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::provide::Signer;
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

waiting! {
    /// Opens a trust graph alone, without a network: in a directory, or in memory when `dir` is NULL. It signs with the
    /// key of its directory, with a new one in memory, or through `signer`. `options_json` is for tests, an object with
    /// any of `seed` and `clock`.
    ///
    /// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`; `signer` stays the caller's and may be freed at
    /// once. Threads: any. NULL: `dir`, `options_json`, `signer` and `error` may be NULL. Lifetime: the directory is
    /// locked until the handle is freed or shut down.
    fn kwaai_trust_open / kwaai_trust_open_async(
        dir: *const c_char,
        options_json: *const c_char,
        signer: *const kwaai_signer_t,
    ) -> (out_trust: *mut kwaai_trust_t) {
        let (dir, options) = (optional_text("dir", dir)?, record::<TrustOptions>("options_json", options_json)?);
        let signer = optional::<Signer>(signer)?.map(|signer| Signer::clone(&signer));
        let options = TrustOptions { dir: dir.or(options.dir), ..options };
        |cancel| TrustGraph::open(options, signer, cancel)
    }

    /// Issues a credential of a type, for example "VerifiedNodeVC", about a subject, a DID or a PeerId. `claims_json` is
    /// a JSON object, or NULL for none. `valid_for_ms` is a second at least, and `KWAAI_UNSET` takes the type's own span.
    /// Only a `revocable` one can be withdrawn later. `*out_credential` is the signed document, to be given to others. It is
    /// not kept.
    ///
    /// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `claims_json` and
    /// `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_trust_issue / kwaai_trust_issue_async(
        trust: *const kwaai_trust_t,
        r#type: *const c_char,
        subject: *const c_char,
        claims_json: *const c_char,
        valid_for_ms: u64,
        revocable: bool,
    ) -> (out_credential: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        let (kind, subject) = (text("type", r#type)?, text("subject", subject)?);
        let claims = optional_text("claims_json", claims_json)?.unwrap_or_else(|| "{}".into());
        let valid_for = optional_ms(valid_for_ms);
        move |cancel| async move {
            Ok(Text(trust.issue(kind, subject, claims, valid_for, revocable, cancel).await?.json))
        }
    }

    /// Checks the form and the proof of a credential, the signed document, and says what it says. It is not kept.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_verify / kwaai_trust_verify_async(trust: *const kwaai_trust_t, credential: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, credential) = (resolve::<TrustGraph>(trust)?, text("credential", credential)?);
        |cancel| async move { Text::json(&trust.verify(credential, cancel).await?) }
    }

    /// Reads a credential in the form of KwaaiNet's own software, and says what it says: `type`, `types`, `issuer`, `subject`,
    /// `issued`, `expires` and `claims`. The `signer` is the issuer when its key signed that, with its claims in some order;
    /// otherwise it is null, and `why` says why nobody can tell. It is not kept, and counts nowhere; its issuer can say the same
    /// again with `kwaai_trust_issue`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_read_legacy / kwaai_trust_read_legacy_async(trust: *const kwaai_trust_t, credential: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, credential) = (resolve::<TrustGraph>(trust)?, text("credential", credential)?);
        |cancel| async move { Text::json(&trust.read_legacy(credential, cancel).await?) }
    }

    /// Checks a credential like `kwaai_trust_verify`, and says what it says as one of the Decentralized Trust Graph, as a JSON
    /// object: its `shape`, the `nearest_types` of KwaaiNet, `issuer` and `subject`, and what the shapes add, `endorsement`,
    /// `digest` and `witnessed`. The text is null when it is none. It is not kept.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_read_dtg / kwaai_trust_read_dtg_async(trust: *const kwaai_trust_t, credential: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, credential) = (resolve::<TrustGraph>(trust)?, text("credential", credential)?);
        |cancel| async move { Text::json(&trust.read_dtg(credential, cancel).await?) }
    }

    /// Verifies a credential, the signed document, then keeps it. `*out_json` is a summary.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_import_credential / kwaai_trust_import_credential_async(
        trust: *const kwaai_trust_t,
        credential: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (trust, credential) = (resolve::<TrustGraph>(trust)?, text("credential", credential)?);
        |cancel| async move { Text::json(&trust.import_credential(credential, cancel).await?) }
    }

    /// The credentials that are kept and fit the filter, as a JSON array of summaries. The filter is a JSON object with
    /// any of `subject`, `issuer` and `type`; NULL wants all.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `filter_json` and `error`
    /// may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_trust_credentials / kwaai_trust_credentials_async(trust: *const kwaai_trust_t, filter_json: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, filter) = (resolve::<TrustGraph>(trust)?, record("filter_json", filter_json)?);
        |cancel| async move { Text::json(&trust.credentials(filter, cancel).await?) }
    }

    /// One kept credential with its claims, and with the signed document as `json`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_credential / kwaai_trust_credential_async(trust: *const kwaai_trust_t, id: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, id) = (resolve::<TrustGraph>(trust)?, text("id", id)?);
        |cancel| async move { Text::json(&trust.credential(id, cancel).await?) }
    }

    /// Forgets a credential.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_remove_credential / kwaai_trust_remove_credential_async(
        trust: *const kwaai_trust_t,
        id: *const c_char,
    ) -> () {
        let (trust, id) = (resolve::<TrustGraph>(trust)?, text("id", id)?);
        |cancel| async move { trust.remove_credential(id, cancel).await }
    }

    /// The issuers that this node trusts, as a JSON array, each with its `did` and `types`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_issuers / kwaai_trust_issuers_async(trust: *const kwaai_trust_t) -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Text::json(&trust.issuers(cancel).await?) }
    }

    /// Trusts an issuer for exactly these types from now on. `types_json` is a JSON array of type names.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_trust_issuer / kwaai_trust_trust_issuer_async(
        trust: *const kwaai_trust_t,
        did: *const c_char,
        types_json: *const c_char,
    ) -> () {
        let (trust, did) = (resolve::<TrustGraph>(trust)?, text("did", did)?);
        let types = validate::json("types_json", &text("types_json", types_json)?)?;
        |cancel| async move { trust.trust_issuer(did, types, cancel).await }
    }

    /// Trusts an issuer no longer.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_distrust_issuer / kwaai_trust_distrust_issuer_async(trust: *const kwaai_trust_t, did: *const c_char)
        -> () {
        let (trust, did) = (resolve::<TrustGraph>(trust)?, text("did", did)?);
        |cancel| async move { trust.distrust_issuer(did, cancel).await }
    }

    /// How far this node trusts a peer, a DID or a PeerId: `*out_value` from 0 to 1, and as JSON `value`, `tier` and
    /// `reasons`, the arithmetic.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_score / kwaai_trust_score_async(trust: *const kwaai_trust_t, peer: *const c_char)
        -> (out_value: f64, out_json: *mut c_char) {
        let (trust, peer) = (resolve::<TrustGraph>(trust)?, text("peer", peer)?);
        |cancel| async move {
            let score = trust.score(peer, cancel).await?;
            Ok(Scored(score.value, Text::json(&score)?))
        }
    }

    /// How far this node trusts several peers, from one view of what it knows: `peers_json` is a JSON array of DIDs or PeerIds, and
    /// `*out_json` an array of objects as `kwaai_trust_score` has them, in the same order.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_scores / kwaai_trust_scores_async(trust: *const kwaai_trust_t, peers_json: *const c_char)
        -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        let peers = validate::json("peers_json", &text("peers_json", peers_json)?)?;
        |cancel| async move { Text::json(&trust.scores(peers, cancel).await?) }
    }

    /// The minimum of each purpose, as a JSON object from purposes to names of tiers or scores from 0 to 1.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_policy / kwaai_trust_policy_async(trust: *const kwaai_trust_t) -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Text::json(&trust.policy(cancel).await?) }
    }

    /// Replaces the minimum of each purpose, durably. `policy_json` is a JSON object from purposes to names of tiers or
    /// scores from 0 to 1; a purpose that is left out gets its default.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_set_policy / kwaai_trust_set_policy_async(trust: *const kwaai_trust_t, policy_json: *const c_char)
        -> () {
        let trust = resolve::<TrustGraph>(trust)?;
        let policy = validate::json("policy_json", &text("policy_json", policy_json)?)?;
        |cancel| async move { trust.set_policy(policy, cancel).await }
    }

    /// Checks that a peer reaches the minimum of a purpose: "message", "serve_blocks" or "use_blocks". Answers
    /// `KWAAI_UNTRUSTED_PEER` when it does not.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_require / kwaai_trust_require_async(
        trust: *const kwaai_trust_t,
        peer: *const c_char,
        purpose: *const c_char,
    ) -> () {
        let trust = resolve::<TrustGraph>(trust)?;
        let (peer, purpose) = (text("peer", peer)?, text("purpose", purpose)?);
        |cancel| async move { trust.require(peer, purpose, cancel).await }
    }

    /// Withdraws a credential that this node issued as a revocable one, for good. Doing it twice changes nothing.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_revoke / kwaai_trust_revoke_async(trust: *const kwaai_trust_t, credential_id: *const c_char) -> () {
        let (trust, credential_id) = (resolve::<TrustGraph>(trust)?, text("credential_id", credential_id)?);
        |cancel| async move { trust.revoke(credential_id, cancel).await }
    }

    /// Withdraws a revocable credential of this node until `kwaai_trust_reinstate`.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_suspend / kwaai_trust_suspend_async(trust: *const kwaai_trust_t, credential_id: *const c_char)
        -> () {
        let (trust, credential_id) = (resolve::<TrustGraph>(trust)?, text("credential_id", credential_id)?);
        |cancel| async move { trust.suspend(credential_id, cancel).await }
    }

    /// Ends the suspension of a credential. `KWAAI_INVALID_ARGUMENT` when it was revoked, which is for good.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_reinstate / kwaai_trust_reinstate_async(trust: *const kwaai_trust_t, credential_id: *const c_char)
        -> () {
        let (trust, credential_id) = (resolve::<TrustGraph>(trust)?, text("credential_id", credential_id)?);
        |cancel| async move { trust.reinstate(credential_id, cancel).await }
    }

    /// Verifies a credential, the signed document, and says what is known about its withdrawal: `state` is
    /// "not_revocable", "clear" since `as_of`, "revoked", "suspended", or "unknown" with the reason as `why`. It is not
    /// kept.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_status / kwaai_trust_status_async(trust: *const kwaai_trust_t, credential: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, credential) = (resolve::<TrustGraph>(trust)?, text("credential", credential)?);
        |cancel| async move { Text::json(&trust.status(credential, cancel).await?) }
    }

    /// The names of the status lists of this node, as a JSON array: none before the first revocable credential.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_status_lists / kwaai_trust_status_lists_async(trust: *const kwaai_trust_t)
        -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Text::json(&trust.status_lists(cancel).await?) }
    }

    /// A signed status list to hand out: one of this node's own, or one that it keeps. `url` is a name as
    /// `kwaai_trust_status_lists` and `kwaai_trust_wanted_status_lists` give them, "urn:kwaai:status:..."; a list with a
    /// web address is fetched there.
    ///
    /// Ownership: the caller frees `*out_list` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_status_list / kwaai_trust_status_list_async(trust: *const kwaai_trust_t, url: *const c_char)
        -> (out_list: *mut c_char) {
        let (trust, url) = (resolve::<TrustGraph>(trust)?, text("url", url)?);
        |cancel| async move { trust.status_list(url, cancel).await.map(Text) }
    }

    /// Checks a signed status list and keeps it, wherever it came from, when a kept credential names it. As JSON:
    /// `issuer`, `url`, `purposes`, since when it holds as `as_of`, `fresh_until`, and the number of its `entries`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_keep_status_list / kwaai_trust_keep_status_list_async(
        trust: *const kwaai_trust_t,
        list: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (trust, list) = (resolve::<TrustGraph>(trust)?, text("list", list)?);
        |cancel| async move { Text::json(&trust.keep_status_list(list, cancel).await?) }
    }

    /// The status lists that this node wants, because its credentials name them and it has no fresh copy: a JSON array,
    /// each with its `issuer` and `url`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_wanted_status_lists / kwaai_trust_wanted_status_lists_async(trust: *const kwaai_trust_t)
        -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Text::json(&trust.wanted_status_lists(cancel).await?) }
    }

    /// Every credential that is kept, as one text for `kwaai_trust_import_credentials`. It is not encrypted.
    ///
    /// Ownership: the caller frees `*out_bundle` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_export_credentials / kwaai_trust_export_credentials_async(trust: *const kwaai_trust_t)
        -> (out_bundle: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { trust.export_credentials(cancel).await.map(Text) }
    }

    /// Verifies every credential of a bundle, then keeps those that hold, all in one step. As JSON: summaries of those
    /// that are `kept`, and those that were `refused`, each with its place in the bundle, the code of the error and a
    /// message.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_import_credentials / kwaai_trust_import_credentials_async(
        trust: *const kwaai_trust_t,
        bundle: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (trust, bundle) = (resolve::<TrustGraph>(trust)?, text("bundle", bundle)?);
        |cancel| async move { Text::json(&trust.import_credentials(bundle, cancel).await?) }
    }

    /// Keeps the credentials encrypted under a passphrase from now on, or under another one than before. A forgotten one
    /// cannot be recovered.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_set_passphrase / kwaai_trust_set_passphrase_async(
        trust: *const kwaai_trust_t,
        passphrase: *const c_char,
    ) -> () {
        let (trust, passphrase) = (resolve::<TrustGraph>(trust)?, text("passphrase", passphrase)?);
        |cancel| async move { trust.set_passphrase(passphrase, cancel).await }
    }

    /// Takes the passphrase away: the credentials lie in the clear again.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_remove_passphrase / kwaai_trust_remove_passphrase_async(trust: *const kwaai_trust_t) -> () {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { trust.remove_passphrase(cancel).await }
    }

    /// Makes the credentials readable until `kwaai_trust_lock` or the end. `KWAAI_PERMISSION_DENIED` for a wrong
    /// passphrase.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_unlock / kwaai_trust_unlock_async(trust: *const kwaai_trust_t, passphrase: *const c_char) -> () {
        let (trust, passphrase) = (resolve::<TrustGraph>(trust)?, text("passphrase", passphrase)?);
        |cancel| async move { trust.unlock(passphrase, cancel).await }
    }

    /// Forgets the key of the passphrase: whatever needs the credentials, scores included, answers
    /// `KWAAI_PERMISSION_DENIED` from now on.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_lock / kwaai_trust_lock_async(trust: *const kwaai_trust_t) -> () {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { trust.lock(cancel).await }
    }

    /// "plain" without a passphrase; with one "locked", or "unlocked" once it was given.
    ///
    /// Ownership: the caller frees `*out_state` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_wallet_state / kwaai_trust_wallet_state_async(trust: *const kwaai_trust_t)
        -> (out_state: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Ok(Text(trust.wallet_state(cancel).await?.into())) }
    }

    /// How much an asker of each tier may learn of this node's scores, as a JSON object from tiers to "nothing",
    /// "threshold", "tier", "value" or "experience".
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_disclosures / kwaai_trust_disclosures_async(trust: *const kwaai_trust_t) -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Text::json(&trust.disclosures(cancel).await?) }
    }

    /// Replaces how much askers may learn, durably. `disclosures_json` is a JSON object from tiers to levels; who has a
    /// tier learns what it and those below it allow, and nothing where none is named.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_set_disclosures / kwaai_trust_set_disclosures_async(
        trust: *const kwaai_trust_t,
        disclosures_json: *const c_char,
    ) -> () {
        let trust = resolve::<TrustGraph>(trust)?;
        let disclosures = validate::json("disclosures_json", &text("disclosures_json", disclosures_json)?)?;
        |cancel| async move { trust.set_disclosures(disclosures, cancel).await }
    }

    /// What credentials about uptime and throughput must report to count, as JSON: `uptime_min_share` of the time and
    /// `uptime_min_days` observed; `throughput_tolerance`, how far the measured throughput may stay below the announced one,
    /// as a share of that; `require_claims`, whether a credential that reports nothing counts for nothing.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_thresholds / kwaai_trust_thresholds_async(trust: *const kwaai_trust_t) -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Text::json(&trust.thresholds(cancel).await?) }
    }

    /// Replaces what credentials must report, durably. `thresholds_json` is a JSON object as `kwaai_trust_thresholds` has
    /// it; what is left out gets its default. Shares are from 0 to 1.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_set_thresholds / kwaai_trust_set_thresholds_async(
        trust: *const kwaai_trust_t,
        thresholds_json: *const c_char,
    ) -> () {
        let trust = resolve::<TrustGraph>(trust)?;
        let thresholds = validate::json("thresholds_json", &text("thresholds_json", thresholds_json)?)?;
        |cancel| async move { trust.set_thresholds(thresholds, cancel).await }
    }

    /// Notes how a dealing with a peer, a DID or a PeerId, ended just now: "good", "bad", or "transport_fault" when no whole
    /// answer came. `measured_json` is a JSON object with any of `latency_ms`, and `promised` and `delivered` throughput in
    /// one unit of the app's choice; from 0 to 10^9. It is written with others after 30 seconds, and when the graph ends.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `measured_json` and `error` may be NULL. Lifetime: the handle
    /// must not have been freed.
    fn kwaai_trust_record / kwaai_trust_record_async(
        trust: *const kwaai_trust_t,
        peer: *const c_char,
        outcome: *const c_char,
        measured_json: *const c_char,
    ) -> () {
        let (trust, measured) = (resolve::<TrustGraph>(trust)?, record("measured_json", measured_json)?);
        let (peer, outcome) = (text("peer", peer)?, text("outcome", outcome)?);
        |cancel| async move { trust.record(peer, outcome, measured, cancel).await }
    }

    /// What this node measured of a `peer`, as JSON; null when it never dealt with it. `good` and `bad` answers and
    /// `transport_faults` weigh half after 30 days. `success` is the share of good answers, one good and one bad one being
    /// supposed beforehand, and `success_lower_bound` its bound at about 90 %. `reliability` is the share of dealings that did
    /// not fail in transport, `uptime` the share of days on which it answered, `latency_ms` the mean, `throughput` what was
    /// delivered of what was promised; null where nothing was measured. `standing` falls below 1 after many bad answers
    /// among the newest. `last` is when the newest dealing ended.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_reputation / kwaai_trust_reputation_async(trust: *const kwaai_trust_t, peer: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, peer) = (resolve::<TrustGraph>(trust)?, text("peer", peer)?);
        |cancel| async move { Text::json(&trust.reputation(peer, cancel).await?) }
    }

    /// What this node measured of each peer that it dealt with, as a JSON array of objects as `kwaai_trust_reputation` has
    /// them, in the order of the peers' keys.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_reputations / kwaai_trust_reputations_async(trust: *const kwaai_trust_t)
        -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Text::json(&trust.reputations(cancel).await?) }
    }

    /// Notes what one peer says about another, in place of what it said before: the weights, from 0 to 10^9, of the good and
    /// of the bad answers that it saw, and the instant `at` which it said so, RFC 3339, or NULL for now. Whose word it is was
    /// checked by the caller. It is written with others after 30 seconds, and when the graph ends.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `at` and `error` may be NULL. Lifetime: the handle must not have
    /// been freed.
    fn kwaai_trust_add_recommendation / kwaai_trust_add_recommendation_async(
        trust: *const kwaai_trust_t,
        recommender: *const c_char,
        about: *const c_char,
        good: f64,
        bad: f64,
        at: *const c_char,
    ) -> () {
        let (trust, at) = (resolve::<TrustGraph>(trust)?, optional_text("at", at)?);
        let (recommender, about) = (text("recommender", recommender)?, text("about", about)?);
        move |cancel| async move { trust.add_recommendation(recommender, about, good, bad, at, cancel).await }
    }

    /// Trust that spreads over everybody of whom this node knows (EigenTrust), from its own experience and from recommendations,
    /// as a JSON array of objects with `peer` and `value`, the greatest value first. The values sum to 1, and this node is among the
    /// peers. No score contains it.
    ///
    /// `options_json` is an object with any of `pretrusted`, an array of DIDs or PeerIds, this node unless set; `alpha`, how much of
    /// the trust goes to them at each step, from 0.01 to 1, 0.1 unless set.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_trust_propagate / kwaai_trust_propagate_async(trust: *const kwaai_trust_t, options_json: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, options) = (resolve::<TrustGraph>(trust)?, record("options_json", options_json)?);
        |cancel| async move { Text::json(&trust.propagate(options, cancel).await?) }
    }

    /// Writes now what was recorded of peers, and what they recommended, and was not written yet.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_flush / kwaai_trust_flush_async(trust: *const kwaai_trust_t) -> () {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { trust.flush(cancel).await }
    }

    /// Forgets what this node measured of a peer, durably. `KWAAI_NOT_FOUND` when it never dealt with it.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_reset_reputation / kwaai_trust_reset_reputation_async(
        trust: *const kwaai_trust_t,
        peer: *const c_char,
    ) -> () {
        let (trust, peer) = (resolve::<TrustGraph>(trust)?, text("peer", peer)?);
        |cancel| async move { trust.reset_reputation(peer, cancel).await }
    }

    /// The tests of a credential's claim that are kept, the last 64 of them, as a JSON array of objects as
    /// `kwaai_node_test_credential` has them, the oldest first.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_tests / kwaai_trust_tests_async(trust: *const kwaai_trust_t, credential_id: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, credential_id) = (resolve::<TrustGraph>(trust)?, text("credential_id", credential_id)?);
        |cancel| async move { Text::json(&trust.tests(credential_id, cancel).await?) }
    }

    /// Notes whether a peer was up just now, durably: a sample of its sightings, for an app that looks by its own means.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_trust_sight / kwaai_trust_sight_async(trust: *const kwaai_trust_t, peer: *const c_char, up: bool) -> () {
        let (trust, peer) = (resolve::<TrustGraph>(trust)?, text("peer", peer)?);
        move |cancel| async move { trust.sight(peer, up, cancel).await }
    }

    /// How often this node found a peer up over the last 128 days, as a JSON object: `since` and `until` of the looks, how many
    /// `looks`, how many of them found it `up`, and the `up_share`. The text is null when it never looked.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_sightings / kwaai_trust_sightings_async(trust: *const kwaai_trust_t, peer: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, peer) = (resolve::<TrustGraph>(trust)?, text("peer", peer)?);
        |cancel| async move { Text::json(&trust.sightings(peer, cancel).await?) }
    }

    /// Issues an UptimeVC about a peer from what this node saw of it. `valid_for_ms` is a second at least, and `KWAAI_UNSET`
    /// takes the type's own span. `*out_credential` is the signed document. It is not kept. `KWAAI_NOT_FOUND` when this node did
    /// not look at the peer at two instants at least, or on fewer than half of the days between.
    ///
    /// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_issue_uptime / kwaai_trust_issue_uptime_async(
        trust: *const kwaai_trust_t,
        peer: *const c_char,
        valid_for_ms: u64,
    ) -> (out_credential: *mut c_char) {
        let (trust, peer) = (resolve::<TrustGraph>(trust)?, text("peer", peer)?);
        let valid_for = optional_ms(valid_for_ms);
        move |cancel| async move { Ok(Text(trust.issue_uptime(peer, valid_for, cancel).await?.json)) }
    }

    /// Issues this identity's side of a link with a subject, a DID or a PeerId. `link_type` says what this identity is:
    /// "person", "organisation", "passkey" or "node". `valid_for_ms` is a second at least, and `KWAAI_UNSET` takes the type's
    /// own span. `*out_credential` is the signed document, to be given to others. It is not kept.
    ///
    /// The link is proven where both sides are kept: the node's, which says "node", and that of its person or organisation.
    ///
    /// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_issue_binding / kwaai_trust_issue_binding_async(
        trust: *const kwaai_trust_t,
        subject: *const c_char,
        link_type: *const c_char,
        valid_for_ms: u64,
    ) -> (out_credential: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        let (subject, link_type) = (text("subject", subject)?, text("link_type", link_type)?);
        let valid_for = optional_ms(valid_for_ms);
        move |cancel| async move { Ok(Text(trust.issue_binding(subject, link_type, valid_for, cancel).await?.json)) }
    }

    /// The links of a node, or of a person or organisation, that both keys prove by kept credentials in force, as a JSON array,
    /// the oldest first. Each has the `node`, the `identity`, its `link_type` ("person", "organisation" or "passkey") and
    /// `since` when both sides hold.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_bindings / kwaai_trust_bindings_async(trust: *const kwaai_trust_t, did: *const c_char)
        -> (out_json: *mut c_char) {
        let (trust, did) = (resolve::<TrustGraph>(trust)?, text("did", did)?);
        |cancel| async move { Text::json(&trust.bindings(did, cancel).await?) }
    }

    /// Shows the kept credentials that fit the filter and are in force, signed for one audience in answer to its challenge,
    /// texts of 1 to 1024 bytes. The filter is a JSON object with any of `subject`, `issuer` and `type`; without a subject
    /// they are those about this node. The presentation is the signed document, and holds for five minutes.
    ///
    /// Ownership: the caller frees `*out_presentation` with `kwaai_string_free`. Threads: any. NULL: `filter_json` and
    /// `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_trust_present / kwaai_trust_present_async(
        trust: *const kwaai_trust_t,
        audience: *const c_char,
        challenge: *const c_char,
        filter_json: *const c_char,
    ) -> (out_presentation: *mut c_char) {
        let (trust, filter) = (resolve::<TrustGraph>(trust)?, record("filter_json", filter_json)?);
        let (audience, challenge) = (text("audience", audience)?, text("challenge", challenge)?);
        |cancel| async move { trust.present(audience, challenge, filter, cancel).await.map(Text) }
    }

    /// Checks a presentation, the signed document, and every credential in it. As JSON: the `holder` who signed it, its own
    /// `credentials` and those `about_others`, whole, and `expires_at`. `KWAAI_PERMISSION_DENIED` when it was made for
    /// another audience or answers another challenge.
    ///
    /// Whether the challenge was given out, and was not answered before, is the caller's business.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_verify_presentation / kwaai_trust_verify_presentation_async(
        trust: *const kwaai_trust_t,
        presentation: *const c_char,
        audience: *const c_char,
        challenge: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (trust, presentation) = (resolve::<TrustGraph>(trust)?, text("presentation", presentation)?);
        let (audience, challenge) = (text("audience", audience)?, text("challenge", challenge)?);
        |cancel| async move { Text::json(&trust.verify_presentation(presentation, audience, challenge, cancel).await?) }
    }
}

/// The DID that signs what this trust graph issues. It stays readable after the shutdown.
///
/// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
/// the handle must not have been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_did(
    trust: *const kwaai_trust_t,
    out_did: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_did", out_did) }?;
        out.set_text(resolve::<TrustGraph>(trust)?.did().to_string())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// For tests: moves the clock that it was opened with, or that of its node, forward. `KWAAI_UNSUPPORTED` for one that
/// goes by the machine's clock.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
/// freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_advance_clock(
    trust: *const kwaai_trust_t,
    by_ms: u64,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || resolve::<TrustGraph>(trust)?.advance_clock(by_ms);
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Lets go of the directory. The trust graph of a node stays open with the node. Calling it again is fine.
///
/// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
/// been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_trust_shutdown(
    trust: *const kwaai_trust_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        resolve::<TrustGraph>(trust)?.shutdown();
        Ok(())
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
