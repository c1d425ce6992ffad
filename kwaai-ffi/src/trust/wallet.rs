//! Credentials on their way to another device, and the passphrase that they are kept under.

use kwaai_core::Error;
use kwaai_core::trust::{self, WalletState};
use serde::Serialize;

use super::{CredentialSummary, TrustGraph};
use crate::{CancelToken, Result, rt};

/// What became of a bundle of credentials.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct ImportedCredentials {
    /// Those that are kept now, in the bundle's order.
    pub kept: Vec<CredentialSummary>,
    /// Those that were refused.
    pub refused: Vec<RefusedCredential>,
}

/// A credential of a bundle that was refused, and why.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct RefusedCredential {
    /// Its place in the bundle, from 0.
    pub place: u64,
    /// The code of the error.
    pub code: String,
    /// What is wrong with it, for people.
    pub message: String,
}

impl TrustGraph {
    /// Every credential that is kept, as one JSON text for [`TrustGraph::import_credentials`]. It is not encrypted.
    pub async fn export_credentials(&self, cancel: CancelToken) -> Result<String> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.export_credentials()).await
    }

    /// Verifies every credential of a bundle, then keeps those that hold, all in one step.
    pub async fn import_credentials(&self, bundle: String, cancel: CancelToken) -> Result<ImportedCredentials> {
        let graph = self.handle.get()?;
        let imported = rt::run(&cancel, async move { graph.import_credentials(&bundle).await }).await?;
        Ok(ImportedCredentials::from(imported))
    }

    /// Keeps the credentials encrypted under a passphrase from now on, or under another one than before.
    pub async fn set_passphrase(&self, passphrase: String, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::run(&cancel, async move { graph.set_passphrase(&passphrase).await }).await
    }

    /// Takes the passphrase away: the credentials lie in the clear again.
    pub async fn remove_passphrase(&self, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::run(&cancel, async move { graph.remove_passphrase().await }).await
    }

    /// Makes the credentials readable until [`TrustGraph::lock`] or the end.
    pub async fn unlock(&self, passphrase: String, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::run(&cancel, async move { graph.unlock(&passphrase).await }).await
    }

    /// Forgets the key of the passphrase: whatever needs the credentials answers `permission_denied` from now on.
    pub async fn lock(&self, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.lock()).await
    }

    /// `plain` without a passphrase; with one `locked`, or `unlocked` once it was given.
    pub async fn wallet_state(&self, cancel: CancelToken) -> Result<&'static str> {
        let graph = self.handle.get()?;
        Ok(match rt::blocking(&cancel, move || graph.wallet_state()).await? {
            WalletState::Plain => "plain",
            WalletState::Locked => "locked",
            WalletState::Unlocked => "unlocked",
        })
    }
}

impl From<trust::ImportedBundle> for ImportedCredentials {
    fn from(imported: trust::ImportedBundle) -> ImportedCredentials {
        let refused = |(place, error): (usize, Error)| RefusedCredential {
            place: place as u64,
            code: error.code().as_str().into(),
            message: error.to_string(),
        };
        ImportedCredentials {
            kept: imported.kept.iter().map(CredentialSummary::from).collect(),
            refused: imported.refused.into_iter().map(refused).collect(),
        }
    }
}
