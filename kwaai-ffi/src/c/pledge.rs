//! Fiduciary pledges, for C. Records come as JSON.

use std::ffi::c_char;

use super::call::{self, optional_ms, optional_text, resolve, text};
use super::reply::Text;
use super::trust::kwaai_trust_t;
use crate::TrustGraph;

waiting! {
    /// Asks an issuer, a DID or a PeerId, to certify that this node pledges a text. `*out_request` is signed, to be given
    /// to the issuer. `name` is what people call the pledge; NULL takes KwaaiNet's.
    ///
    /// Ownership: the caller frees `*out_request` with `kwaai_string_free`. Threads: any. NULL: `name` and `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_trust_request_pledge / kwaai_trust_request_pledge_async(
        trust: *const kwaai_trust_t,
        issuer: *const c_char,
        text: *const c_char,
        name: *const c_char,
    ) -> (out_request: *mut c_char) {
        let (trust, issuer) = (resolve::<TrustGraph>(trust)?, call::text("issuer", issuer)?);
        let (text, name) = (call::text("text", text)?, optional_text("name", name)?);
        |cancel| async move { trust.request_pledge(issuer, text, name, cancel).await.map(Text) }
    }

    /// Issues the credential that a request asks for, when it asks for exactly this pledge. `valid_for_ms` is a second at
    /// least, and `KWAAI_UNSET` takes the type's own span. `*out_credential` is the signed document, to be given to who
    /// asked. It is not kept.
    ///
    /// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `name` and `error` may
    /// be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_trust_issue_pledge / kwaai_trust_issue_pledge_async(
        trust: *const kwaai_trust_t,
        request: *const c_char,
        text: *const c_char,
        name: *const c_char,
        valid_for_ms: u64,
    ) -> (out_credential: *mut c_char) {
        let (trust, request) = (resolve::<TrustGraph>(trust)?, call::text("request", request)?);
        let (text, name) = (call::text("text", text)?, optional_text("name", name)?);
        let valid_for = optional_ms(valid_for_ms);
        move |cancel| async move { Ok(Text(trust.issue_pledge(request, text, name, valid_for, cancel).await?.json)) }
    }

    /// Takes the credential, the signed document, that an issuer made of this node's pledge, and carries it from now on.
    /// `*out_json` is a summary.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `name` and `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_trust_accept_pledge / kwaai_trust_accept_pledge_async(
        trust: *const kwaai_trust_t,
        credential: *const c_char,
        text: *const c_char,
        name: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (trust, credential) = (resolve::<TrustGraph>(trust)?, call::text("credential", credential)?);
        let (text, name) = (call::text("text", text)?, optional_text("name", name)?);
        |cancel| async move { Text::json(&trust.accept_pledge(credential, text, name, cancel).await?) }
    }

    /// Takes back a pledge that this node carries. `*out_withdrawal` is signed, to be given to the issuer and to peers.
    ///
    /// Ownership: the caller frees `*out_withdrawal` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_withdraw_pledge / kwaai_trust_withdraw_pledge_async(
        trust: *const kwaai_trust_t,
        credential_id: *const c_char,
    ) -> (out_withdrawal: *mut c_char) {
        let (trust, credential_id) = (resolve::<TrustGraph>(trust)?, text("credential_id", credential_id)?);
        |cancel| async move { trust.withdraw_pledge(credential_id, cancel).await.map(Text) }
    }

    /// Takes note that somebody withdrew its pledge: the credential is forgotten and taken no more. `*out_id` is its
    /// identifier.
    ///
    /// Ownership: the caller frees `*out_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
    /// the handle must not have been freed.
    fn kwaai_trust_import_withdrawal / kwaai_trust_import_withdrawal_async(
        trust: *const kwaai_trust_t,
        withdrawal: *const c_char,
    ) -> (out_id: *mut c_char) {
        let (trust, withdrawal) = (resolve::<TrustGraph>(trust)?, text("withdrawal", withdrawal)?);
        |cancel| async move { trust.import_withdrawal(withdrawal, cancel).await.map(Text) }
    }

    /// The withdrawals that are known here, of this node and of others, as a JSON array in the order of their credentials. Each
    /// has the `pledger`, the `credential_id`, when it was `withdrawn`, and the signed `json`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_withdrawals / kwaai_trust_withdrawals_async(trust: *const kwaai_trust_t) -> (out_json: *mut c_char) {
        let trust = resolve::<TrustGraph>(trust)?;
        |cancel| async move { Text::json(&trust.withdrawals(cancel).await?) }
    }

    /// Reads the withdrawal of a pledge that this node issued, and says what the credential says: what to revoke, by its `id`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_trust_pledge_to_revoke / kwaai_trust_pledge_to_revoke_async(
        trust: *const kwaai_trust_t,
        withdrawal: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (trust, withdrawal) = (resolve::<TrustGraph>(trust)?, text("withdrawal", withdrawal)?);
        |cancel| async move { Text::json(&trust.pledge_to_revoke(withdrawal, cancel).await?) }
    }
}
