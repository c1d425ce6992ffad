//! Credentials in the shapes of the Decentralized Trust Graph.

use kwaai_core::trust;
use serde::Serialize;
use serde_json::{Map, Value};

use super::TrustGraph;
use crate::{CancelToken, Result, rt};

/// What a credential of the Decentralized Trust Graph says. Its shape alone counts nowhere.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct DtgCredential {
    /// `MembershipCredential`, `RelationshipCredential`, `EndorsementCredential` or `WitnessCredential`.
    pub shape: String,
    /// KwaaiNet's types that are of this shape. A credential counts as one of them only when it names that type too.
    pub nearest_types: Vec<String>,
    /// The DID of the community, the other party, the endorser or the witness.
    pub issuer: String,
    /// The DID of whom it is about.
    pub subject: String,
    /// Of an endorsement: the object as its community defines it; empty otherwise.
    pub endorsement: Map<String, Value>,
    /// Of a witness: the digest of the witnessed credential, as it is written.
    pub digest: Option<String>,
    /// Of a witness: the circumstances `event`, `sessionId` and `method`, those that are given.
    pub witnessed: Map<String, Value>,
}

impl TrustGraph {
    /// Checks a credential like [`TrustGraph::verify`], and says what it says as one of the Decentralized Trust Graph; nothing
    /// when it is none. It is not kept.
    ///
    /// # Errors
    /// Those of [`TrustGraph::verify`]; `invalid_argument` when it breaks a rule of its shape, `unsupported` for a shape that
    /// is not read here.
    pub async fn read_dtg(&self, json: String, cancel: CancelToken) -> Result<Option<DtgCredential>> {
        let graph = self.handle.get()?;
        let read = move || trust::DtgCredential::read(&graph.verify(&json)?);
        Ok(rt::blocking(&cancel, read).await?.map(DtgCredential::from))
    }
}

impl From<trust::DtgCredential> for DtgCredential {
    fn from(read: trust::DtgCredential) -> DtgCredential {
        DtgCredential {
            shape: read.shape.as_str().into(),
            nearest_types: read.shape.types().iter().map(ToString::to_string).collect(),
            issuer: read.issuer.to_string(),
            subject: read.subject.to_string(),
            endorsement: read.endorsement,
            digest: read.digest,
            witnessed: read.witnessed,
        }
    }
}
