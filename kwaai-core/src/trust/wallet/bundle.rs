//! Credentials on their way to another device.

use serde::{Deserialize, Serialize};

use super::super::credential::{Credential, CredentialSummary};
use super::super::{CredentialFilter, TrustGraph, encode};
use crate::blocking::blocking;
use crate::{Error, Result};

/// The longest bundle that is read, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 256 << 20;

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
    /// `permission_denied` when the wallet is locked; `resource_exhausted` when the text would be longer than [`MAX_BUNDLE_BYTES`].
    pub fn export_credentials(&self) -> Result<String> {
        let all = self.wallet.list(&CredentialFilter::default())?;
        let credentials = all.iter().map(Credential::to_json).collect();
        let bundle = encode(&Bundle { format: FORMAT.into(), version: VERSION, credentials })?;
        match bundle.len() {
            0..=MAX_BUNDLE_BYTES => Ok(bundle),
            _ => Err(too_long()),
        }
    }

    /// Verifies every credential of a bundle, then keeps those that hold and that there is room for, all in one step. A crash leaves the wallet as it
    /// was or with all of them.
    ///
    /// # Errors
    /// `invalid_argument` when it is no bundle; `unsupported` when a newer version wrote it; `resource_exhausted` when it is
    /// longer than [`MAX_BUNDLE_BYTES`]: nothing is kept then. As [`TrustGraph::import_credential`] for failures of this node itself.
    pub async fn import_credentials(&self, bundle: &str) -> Result<ImportedBundle> {
        if bundle.len() > MAX_BUNDLE_BYTES {
            return Err(too_long());
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
        let texts = bundle.credentials;
        let verify = move || Ok(texts.iter().map(|text| Credential::verify(text, now)).collect::<Vec<_>>());
        let (mut verified, mut places, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (place, credential) in blocking(verify).await?.into_iter().enumerate() {
            match credential {
                Ok(credential) => {
                    verified.push(credential);
                    places.push(place);
                }
                Err(error) => refused.push((place, error)),
            }
        }
        let mut kept: Vec<Option<CredentialSummary>> = verified.iter().map(|one| Some(one.summary().clone())).collect();
        for (place, error) in self.wallet.keep_fitting(verified, now).await? {
            kept[place] = None;
            refused.push((places[place], error));
        }
        refused.sort_by_key(|(place, _)| *place);
        Ok(ImportedBundle { kept: kept.into_iter().flatten().collect(), refused })
    }
}

fn too_long() -> Error {
    Error::resource_exhausted(format!("a bundle has {MAX_BUNDLE_BYTES} bytes at most")).with("limit", MAX_BUNDLE_BYTES)
}
