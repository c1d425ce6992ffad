//! Credentials that a holder shows to one audience.

use kwaai_core::trust;
use serde::Serialize;

use super::{Credential, Filter, TrustGraph};
use crate::{CancelToken, Result, rt};

/// What a presentation that was checked shows.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct VerifiedPresentation {
    /// The DID of who showed it, and proved to have the key.
    pub holder: String,
    /// The credentials about the holder. All of them verified and are in force.
    pub credentials: Vec<Credential>,
    /// Those about others. They verified too, and say nothing about the holder.
    pub about_others: Vec<Credential>,
    /// From when on the presentation no longer holds, RFC 3339.
    pub expires_at: String,
}

impl TrustGraph {
    /// Shows the kept credentials that fit the filter and are in force, signed for one audience in answer to its challenge:
    /// those about this node unless the filter names another subject. The presentation is JSON text.
    pub async fn present(
        &self,
        audience: String,
        challenge: String,
        filter: Filter,
        cancel: CancelToken,
    ) -> Result<String> {
        let (graph, filter) = (self.handle.get()?, filter.read()?);
        let presented = rt::run(&cancel, async move { graph.present(&audience, &challenge, &filter).await }).await?;
        Ok(presented.to_json())
    }

    /// Checks a presentation that was made for `audience` in answer to `challenge`, and every credential in it. Whether the
    /// challenge is open is the caller's business.
    pub async fn verify_presentation(
        &self,
        presentation: String,
        audience: String,
        challenge: String,
        cancel: CancelToken,
    ) -> Result<VerifiedPresentation> {
        let graph = self.handle.get()?;
        let verify = move || graph.verify_presentation(&presentation, &audience, &challenge);
        rt::blocking(&cancel, verify).await.map(VerifiedPresentation::from)
    }
}

impl From<trust::VerifiedPresentation> for VerifiedPresentation {
    fn from(verified: trust::VerifiedPresentation) -> VerifiedPresentation {
        VerifiedPresentation {
            holder: verified.holder.to_string(),
            credentials: verified.credentials.into_iter().map(Credential::from).collect(),
            about_others: verified.about_others.into_iter().map(Credential::from).collect(),
            expires_at: verified.expires.to_string(),
        }
    }
}
