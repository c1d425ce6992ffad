//! Credentials on their way to another device.

use serde::{Deserialize, Serialize};

use super::super::credential::{Credential, CredentialSummary};
use super::super::{CredentialFilter, TrustGraph, encode, pledge};
use crate::{Error, Result};

/// The longest bundle that is read, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 64 << 20;

const FORMAT: &str = "kwaainet-credentials";
const VERSION: u32 = 1;

/// The credentials stand in it as text: each is read, and its signature checked, byte for byte as it was.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    format: String,
    version: u32,
    credentials: Vec<String>,
}

/// What became of a bundle.
#[derive(Debug, Clone)]
pub struct ImportedBundle {
    /// The credentials that are kept now, in the bundle's order.
    pub kept: Vec<CredentialSummary>,
    /// Those that were refused: the place in the bundle, from 0, and why.
    pub refused: Vec<(usize, Error)>,
}

impl TrustGraph {
    /// Every credential that this node keeps, as one JSON text for [`import_credentials`](TrustGraph::import_credentials):
    /// `{"format":"kwaainet-credentials","version":1,"credentials":["{…}",…]}`, in the order of their identifiers. It is not
    /// encrypted, whether the wallet is or not.
    ///
    /// # Errors
    /// `permission_denied` when the wallet is locked.
    pub fn export_credentials(&self) -> Result<String> {
        let all = self.wallet.list(&CredentialFilter::default())?;
        let credentials = all.iter().map(Credential::to_json).collect();
        encode(&Bundle { format: FORMAT.into(), version: VERSION, credentials })
    }

    /// Verifies every credential of a bundle, then keeps those that hold, all in one step. A crash leaves the wallet as it
    /// was or with all of them.
    ///
    /// # Errors
    /// `invalid_argument` when it is no bundle; `unsupported` when a newer version wrote it; `resource_exhausted` when it is
    /// longer than [`MAX_BUNDLE_BYTES`], or when one subject would have too many credentials: nothing is kept then. As
    /// [`TrustGraph::import_credential`] for failures of this node itself.
    pub async fn import_credentials(&self, bundle: &str) -> Result<ImportedBundle> {
        if bundle.len() > MAX_BUNDLE_BYTES {
            return Err(Error::resource_exhausted(format!("a bundle has {MAX_BUNDLE_BYTES} bytes at most"))
                .with("limit", MAX_BUNDLE_BYTES));
        }
        let bundle: Bundle = serde_json::from_str(bundle).map_err(|error| {
            Error::invalid_argument(format!("this is no bundle of credentials: {error}")).with_source(error)
        })?;
        if bundle.format != FORMAT {
            return Err(Error::invalid_argument(format!("{:.60?} is no format of a bundle", bundle.format)));
        }
        if bundle.version != VERSION {
            return Err(Error::unsupported(format!(
                "the bundle has the version {}; {VERSION} is read",
                bundle.version
            ))
            .with_remedy("use a newer kwaainet"));
        }
        let now = self.clock.now();
        let mut imported = ImportedBundle { kept: Vec::new(), refused: Vec::new() };
        let mut verified = Vec::new();
        for (place, text) in bundle.credentials.iter().enumerate() {
            match Credential::verify(text, now) {
                Ok(credential) if self.is_withdrawn(credential.id())? => {
                    imported.refused.push((place, pledge::withdrawn()));
                }
                Ok(credential) => {
                    imported.kept.push(credential.summary().clone());
                    verified.push(credential);
                }
                Err(error) => imported.refused.push((place, error)),
            }
        }
        self.wallet.keep_all(verified).await?;
        Ok(imported)
    }
}
