//! `TrustGraph`, for Kotlin and Swift.

use std::collections::HashMap;
use std::sync::Arc;

use kwaai_core::trust::Thresholds;

use super::number::{maybe, whole};
use super::{Cancel, NativeSigner, Result, token};
use crate::TrustGraph;
use crate::trust::{
    ClaimTest, Credential, CredentialSummary, DtgCredential, Filter, GlobalTrust, IdentityBinding, ImportedCredentials,
    KeptStatusList, LegacyCredential, Measured, Minimum, PledgeWithdrawal, Propagation, Reputation, Score, Sightings,
    Status, TrustOptions, TrustedIssuer, VerifiedPresentation, WantedStatusList,
};

/// Credentials, trusted issuers, scores and minimum tiers.
#[derive(uniffi::Object)]
pub struct NativeTrustGraph(pub(super) Arc<TrustGraph>);

#[uniffi::export]
impl NativeTrustGraph {
    /// A trust graph alone.
    #[uniffi::constructor]
    pub async fn open(
        dir: Option<String>,
        signer: Option<Arc<NativeSigner>>,
        seed: Option<i64>,
        clock: Option<String>,
        cancel: Cancel,
    ) -> Result<Arc<NativeTrustGraph>> {
        let options = TrustOptions { dir, seed: maybe("seed", seed)?, clock };
        let signer = signer.map(|signer| signer.0.clone());
        let graph = TrustGraph::open(options, signer, token(cancel)).await?;
        Ok(Arc::new(NativeTrustGraph(Arc::new(graph))))
    }

    /// The identity that signs what it issues.
    pub fn did(&self) -> String {
        self.0.did().to_string()
    }

    /// Issues a credential; `claims` is a JSON object.
    pub async fn issue(
        &self,
        kind: String,
        subject: String,
        claims: String,
        valid_for_ms: Option<i64>,
        revocable: bool,
        cancel: Cancel,
    ) -> Result<Credential> {
        let valid_for_ms = maybe("valid_for_ms", valid_for_ms)?;
        Ok(self.0.issue(kind, subject, claims, valid_for_ms, revocable, token(cancel)).await?)
    }

    /// Checks a credential without keeping it.
    pub async fn verify(&self, credential: String, cancel: Cancel) -> Result<Credential> {
        Ok(self.0.verify(credential, token(cancel)).await?)
    }

    /// Reads a credential in KwaaiNet's own form.
    pub async fn read_legacy(&self, credential: String, cancel: Cancel) -> Result<LegacyCredential> {
        Ok(self.0.read_legacy(credential, token(cancel)).await?)
    }

    /// Reads a credential of the Decentralized Trust Graph.
    pub async fn read_dtg(&self, credential: String, cancel: Cancel) -> Result<Option<DtgCredential>> {
        Ok(self.0.read_dtg(credential, token(cancel)).await?)
    }

    /// Verifies a credential, then keeps it. What breaks a rule is refused, with the `rule` in the error.
    pub async fn import_credential(&self, credential: String, cancel: Cancel) -> Result<CredentialSummary> {
        Ok(self.0.import_credential(credential, token(cancel)).await?)
    }

    /// The credentials that are kept and fit.
    pub async fn credentials(
        &self,
        subject: Option<String>,
        issuer: Option<String>,
        kind: Option<String>,
        cancel: Cancel,
    ) -> Result<Vec<CredentialSummary>> {
        Ok(self.0.credentials(Filter { subject, issuer, r#type: kind }, token(cancel)).await?)
    }

    /// One kept credential.
    pub async fn credential(&self, id: String, cancel: Cancel) -> Result<Credential> {
        Ok(self.0.credential(id, token(cancel)).await?)
    }

    /// Forgets a credential.
    pub async fn remove_credential(&self, id: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.remove_credential(id, token(cancel)).await?)
    }

    /// Withdraws a credential that was issued here, for good.
    pub async fn revoke(&self, credential_id: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.revoke(credential_id, token(cancel)).await?)
    }

    /// Withdraws a credential that was issued here, for a while.
    pub async fn suspend(&self, credential_id: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.suspend(credential_id, token(cancel)).await?)
    }

    /// Ends a suspension.
    pub async fn reinstate(&self, credential_id: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.reinstate(credential_id, token(cancel)).await?)
    }

    /// Verifies a credential, and says what is known about its withdrawal.
    pub async fn status(&self, credential: String, cancel: Cancel) -> Result<Status> {
        Ok(self.0.status(credential, token(cancel)).await?)
    }

    /// The names of the status lists that are signed here.
    pub async fn status_lists(&self, cancel: Cancel) -> Result<Vec<String>> {
        Ok(self.0.status_lists(token(cancel)).await?)
    }

    /// A signed status list to hand out.
    pub async fn status_list(&self, url: String, cancel: Cancel) -> Result<String> {
        Ok(self.0.status_list(url, token(cancel)).await?)
    }

    /// Checks a status list and keeps it.
    pub async fn keep_status_list(&self, list: String, cancel: Cancel) -> Result<KeptStatusList> {
        Ok(self.0.keep_status_list(list, token(cancel)).await?)
    }

    /// The status lists that are wanted.
    pub async fn wanted_status_lists(&self, cancel: Cancel) -> Result<Vec<WantedStatusList>> {
        Ok(self.0.wanted_status_lists(token(cancel)).await?)
    }

    /// Every kept credential, as one text.
    pub async fn export_credentials(&self, cancel: Cancel) -> Result<String> {
        Ok(self.0.export_credentials(token(cancel)).await?)
    }

    /// Verifies every credential of a bundle, then keeps those that hold.
    pub async fn import_credentials(&self, bundle: String, cancel: Cancel) -> Result<ImportedCredentials> {
        Ok(self.0.import_credentials(bundle, token(cancel)).await?)
    }

    /// Keeps the credentials encrypted under a passphrase.
    pub async fn set_passphrase(&self, passphrase: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.set_passphrase(passphrase, token(cancel)).await?)
    }

    /// Takes the passphrase away.
    pub async fn remove_passphrase(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.remove_passphrase(token(cancel)).await?)
    }

    /// Makes the credentials readable.
    pub async fn unlock(&self, passphrase: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.unlock(passphrase, token(cancel)).await?)
    }

    /// Forgets the key of the passphrase.
    pub async fn lock(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.lock(token(cancel)).await?)
    }

    /// Whether there is a passphrase, and whether it was given.
    pub async fn wallet_state(&self, cancel: Cancel) -> Result<String> {
        Ok(self.0.wallet_state(token(cancel)).await?.to_string())
    }

    /// Asks an issuer to certify a pledge.
    pub async fn request_pledge(
        &self,
        issuer: String,
        text: String,
        name: Option<String>,
        cancel: Cancel,
    ) -> Result<String> {
        Ok(self.0.request_pledge(issuer, text, name, token(cancel)).await?)
    }

    /// Issues the credential that a request asks for.
    pub async fn issue_pledge(
        &self,
        request: String,
        text: String,
        name: Option<String>,
        valid_for_ms: Option<i64>,
        cancel: Cancel,
    ) -> Result<Credential> {
        let valid_for_ms = maybe("valid_for_ms", valid_for_ms)?;
        Ok(self.0.issue_pledge(request, text, name, valid_for_ms, token(cancel)).await?)
    }

    /// Takes the credential of this node's pledge, and carries it.
    pub async fn accept_pledge(
        &self,
        credential: String,
        text: String,
        name: Option<String>,
        cancel: Cancel,
    ) -> Result<CredentialSummary> {
        Ok(self.0.accept_pledge(credential, text, name, token(cancel)).await?)
    }

    /// Takes back a pledge.
    pub async fn withdraw_pledge(&self, credential_id: String, cancel: Cancel) -> Result<String> {
        Ok(self.0.withdraw_pledge(credential_id, token(cancel)).await?)
    }

    /// Takes note that somebody withdrew its pledge.
    pub async fn import_withdrawal(&self, withdrawal: String, cancel: Cancel) -> Result<String> {
        Ok(self.0.import_withdrawal(withdrawal, token(cancel)).await?)
    }

    /// The withdrawals that are known here.
    pub async fn withdrawals(&self, cancel: Cancel) -> Result<Vec<PledgeWithdrawal>> {
        Ok(self.0.withdrawals(token(cancel)).await?)
    }

    /// What an issuer has to revoke.
    pub async fn pledge_to_revoke(&self, withdrawal: String, cancel: Cancel) -> Result<Credential> {
        Ok(self.0.pledge_to_revoke(withdrawal, token(cancel)).await?)
    }

    /// How much an asker of each tier may learn.
    pub async fn disclosures(&self, cancel: Cancel) -> Result<HashMap<String, String>> {
        let disclosures = self.0.disclosures(token(cancel)).await?;
        Ok(disclosures.into_iter().map(|(tier, level)| (tier.to_string(), level.to_string())).collect())
    }

    /// Replaces how much askers may learn.
    pub async fn set_disclosures(&self, disclosures: HashMap<String, String>, cancel: Cancel) -> Result<()> {
        Ok(self.0.set_disclosures(disclosures.into_iter().collect(), token(cancel)).await?)
    }

    /// What credentials must report.
    pub async fn thresholds(&self, cancel: Cancel) -> Result<Thresholds> {
        Ok(self.0.thresholds(token(cancel)).await?)
    }

    /// Replaces what credentials must report.
    pub async fn set_thresholds(&self, thresholds: Thresholds, cancel: Cancel) -> Result<()> {
        Ok(self.0.set_thresholds(thresholds, token(cancel)).await?)
    }

    /// Notes how a dealing with a peer ended.
    pub async fn record(
        &self,
        peer: String,
        outcome: String,
        latency_ms: Option<f64>,
        promised: Option<f64>,
        delivered: Option<f64>,
        cancel: Cancel,
    ) -> Result<()> {
        let measured = Measured { latency_ms, promised, delivered };
        Ok(self.0.record(peer, outcome, measured, token(cancel)).await?)
    }

    /// What was measured of a peer.
    pub async fn reputation(&self, peer: String, cancel: Cancel) -> Result<Option<Reputation>> {
        Ok(self.0.reputation(peer, token(cancel)).await?)
    }

    /// What was measured of each peer.
    pub async fn reputations(&self, cancel: Cancel) -> Result<Vec<Reputation>> {
        Ok(self.0.reputations(token(cancel)).await?)
    }

    /// Notes what one peer says about another.
    pub async fn add_recommendation(
        &self,
        recommender: String,
        about: String,
        good: f64,
        bad: f64,
        at: Option<String>,
        cancel: Cancel,
    ) -> Result<()> {
        Ok(self.0.add_recommendation(recommender, about, good, bad, at, token(cancel)).await?)
    }

    /// Trust that spreads over everybody of whom is known.
    pub async fn propagate(
        &self,
        pretrusted: Option<Vec<String>>,
        alpha: Option<f64>,
        cancel: Cancel,
    ) -> Result<Vec<GlobalTrust>> {
        Ok(self.0.propagate(Propagation { pretrusted, alpha }, token(cancel)).await?)
    }

    /// Writes what was recorded.
    pub async fn flush(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.flush(token(cancel)).await?)
    }

    /// Forgets what was measured of a peer.
    pub async fn reset_reputation(&self, peer: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.reset_reputation(peer, token(cancel)).await?)
    }

    /// The tests of a credential's claim.
    pub async fn tests(&self, credential_id: String, cancel: Cancel) -> Result<Vec<ClaimTest>> {
        Ok(self.0.tests(credential_id, token(cancel)).await?)
    }

    /// Notes whether a peer was up.
    pub async fn sight(&self, peer: String, up: bool, cancel: Cancel) -> Result<()> {
        Ok(self.0.sight(peer, up, token(cancel)).await?)
    }

    /// How often a peer was found up.
    pub async fn sightings(&self, peer: String, cancel: Cancel) -> Result<Option<Sightings>> {
        Ok(self.0.sightings(peer, token(cancel)).await?)
    }

    /// Issues a credential about a peer's uptime.
    pub async fn issue_uptime(&self, peer: String, valid_for_ms: Option<i64>, cancel: Cancel) -> Result<Credential> {
        Ok(self.0.issue_uptime(peer, maybe("valid_for_ms", valid_for_ms)?, token(cancel)).await?)
    }

    /// Issues this identity's side of a link.
    pub async fn issue_binding(
        &self,
        subject: String,
        link_type: String,
        valid_for_ms: Option<i64>,
        cancel: Cancel,
    ) -> Result<Credential> {
        let valid_for_ms = maybe("valid_for_ms", valid_for_ms)?;
        Ok(self.0.issue_binding(subject, link_type, valid_for_ms, token(cancel)).await?)
    }

    /// The links that both keys prove.
    pub async fn bindings(&self, did: String, cancel: Cancel) -> Result<Vec<IdentityBinding>> {
        Ok(self.0.bindings(did, token(cancel)).await?)
    }

    /// Shows credentials to one audience, in answer to its challenge.
    pub async fn present(
        &self,
        audience: String,
        challenge: String,
        subject: Option<String>,
        issuer: Option<String>,
        kind: Option<String>,
        cancel: Cancel,
    ) -> Result<String> {
        let filter = Filter { subject, issuer, r#type: kind };
        Ok(self.0.present(audience, challenge, filter, token(cancel)).await?)
    }

    /// Checks a presentation and every credential in it.
    pub async fn verify_presentation(
        &self,
        presentation: String,
        audience: String,
        challenge: String,
        cancel: Cancel,
    ) -> Result<VerifiedPresentation> {
        Ok(self.0.verify_presentation(presentation, audience, challenge, token(cancel)).await?)
    }

    /// The issuers that are trusted.
    pub async fn issuers(&self, cancel: Cancel) -> Result<Vec<TrustedIssuer>> {
        Ok(self.0.issuers(token(cancel)).await?)
    }

    /// Trusts an issuer for exactly these types.
    pub async fn trust_issuer(&self, did: String, types: Vec<String>, cancel: Cancel) -> Result<()> {
        Ok(self.0.trust_issuer(did, types, token(cancel)).await?)
    }

    /// Trusts an issuer no longer.
    pub async fn distrust_issuer(&self, did: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.distrust_issuer(did, token(cancel)).await?)
    }

    /// How far a peer is trusted.
    pub async fn score(&self, peer: String, cancel: Cancel) -> Result<Score> {
        Ok(self.0.score(peer, token(cancel)).await?)
    }

    /// How far several peers are trusted.
    pub async fn scores(&self, peers: Vec<String>, cancel: Cancel) -> Result<Vec<Score>> {
        Ok(self.0.scores(peers, token(cancel)).await?)
    }

    /// The minimum tier of each purpose.
    pub async fn policy(&self, cancel: Cancel) -> Result<HashMap<String, Minimum>> {
        let policy = self.0.policy(token(cancel)).await?;
        Ok(policy.into_iter().map(|(purpose, minimum)| (purpose.to_string(), minimum)).collect())
    }

    /// Replaces the minimum tier of each purpose.
    pub async fn set_policy(&self, policy: HashMap<String, Minimum>, cancel: Cancel) -> Result<()> {
        Ok(self.0.set_policy(policy.into_iter().collect(), token(cancel)).await?)
    }

    /// Checks that a peer reaches the minimum tier of a purpose.
    pub async fn require(&self, peer: String, purpose: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.require(peer, purpose, token(cancel)).await?)
    }

    /// For tests: moves the clock.
    pub fn advance_clock(&self, by_ms: i64) -> Result<()> {
        Ok(self.0.advance_clock(whole("by_ms", by_ms)?)?)
    }

    /// Lets go of the directory.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}
