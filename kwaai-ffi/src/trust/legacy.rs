//! Credentials in the form of KwaaiNet's own software, read and never counted.

use kwaai_core::trust::{self, LegacyProof};
use serde::Serialize;
use serde_json::{Map, Value};

use super::TrustGraph;
use crate::{CancelToken, Result, rt};

/// A credential in KwaaiNet's own form, with the verdict on its proof. It counts nowhere.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct LegacyCredential {
    /// KwaaiNet's type, when it has one: of several, the first.
    pub r#type: Option<String>,
    /// Every type that it names.
    pub types: Vec<String>,
    /// Whom it names as its issuer, as it is written there.
    pub issuer: String,
    /// Whom it is about, as it is written there.
    pub subject: String,
    /// When it was issued, by its own account, RFC 3339.
    pub issued: String,
    /// When it ends, if it does, RFC 3339.
    pub expires: Option<String>,
    /// What it says about its subject, without the subject's `id`.
    pub claims: Map<String, Value>,
    /// The DID of the issuer, when its key signed what stands there.
    pub signer: Option<String>,
    /// Why nobody can tell, when there is no `signer`.
    pub why: Option<String>,
}

impl TrustGraph {
    /// Reads a credential in KwaaiNet's own form and tries its proof on every order of up to six claims. It is not kept, and
    /// nothing can make it count; its issuer can say the same again with [`TrustGraph::issue`].
    ///
    /// # Errors
    /// `invalid_argument` when it is malformed or of another form, `resource_exhausted` when it is too long or nested too
    /// deeply. A proof that does not hold is no error.
    pub async fn read_legacy(&self, json: String, cancel: CancelToken) -> Result<LegacyCredential> {
        self.handle.get()?;
        let read = move || trust::LegacyCredential::read(&json);
        rt::blocking(&cancel, read).await.map(LegacyCredential::from)
    }
}

impl From<trust::LegacyCredential> for LegacyCredential {
    fn from(read: trust::LegacyCredential) -> LegacyCredential {
        let (signer, why) = match read.proof {
            LegacyProof::Verified { signer } => (Some(signer.to_string()), None),
            LegacyProof::Unverifiable { why } => (None, Some(why)),
        };
        LegacyCredential {
            r#type: read.kind.map(|kind| kind.to_string()),
            types: read.types,
            issuer: read.issuer,
            subject: read.subject,
            issued: read.issued.to_string(),
            expires: read.expires.map(|at| at.to_string()),
            claims: read.claims,
            signer,
            why,
        }
    }
}
