//! `TrustGraph`, for Kotlin and Swift.

use std::collections::HashMap;
use std::sync::Arc;

use super::number::{maybe, whole};
use super::{Cancel, NativeSigner, Result, token};
use crate::TrustGraph;
use crate::trust::{Credential, CredentialSummary, Filter, Score, TrustOptions, TrustedIssuer};

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
        cancel: Cancel,
    ) -> Result<Credential> {
        let valid_for_ms = maybe("valid_for_ms", valid_for_ms)?;
        Ok(self.0.issue(kind, subject, claims, valid_for_ms, token(cancel)).await?)
    }

    /// Checks a credential without keeping it.
    pub async fn verify(&self, credential: String, cancel: Cancel) -> Result<Credential> {
        Ok(self.0.verify(credential, token(cancel)).await?)
    }

    /// Verifies a credential, then keeps it.
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

    /// The minimum tier of each purpose.
    pub async fn policy(&self, cancel: Cancel) -> Result<HashMap<String, String>> {
        let policy = self.0.policy(token(cancel)).await?;
        Ok(policy.into_iter().map(|(purpose, tier)| (purpose.to_string(), tier.to_string())).collect())
    }

    /// Replaces the minimum tier of each purpose.
    pub async fn set_policy(&self, policy: HashMap<String, String>, cancel: Cancel) -> Result<()> {
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
