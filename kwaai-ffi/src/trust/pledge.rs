//! Fiduciary pledges: asked for, issued, carried, withdrawn.

use std::time::Duration;

use kwaai_core::trust::{self, PLEDGE_NAME, Pledge};
use serde::Serialize;

use super::{Credential, CredentialSummary, TrustGraph};
use crate::{CancelToken, Result, rt, validate};

/// A subject's signed word that it takes its pledge back.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct PledgeWithdrawal {
    /// The DID of who pledged and takes it back.
    pub pledger: String,
    /// The identifier of the credential that counts no more.
    pub credential_id: String,
    /// When it was withdrawn, RFC 3339.
    pub withdrawn: String,
    /// The signed text, to be given to the issuer and to peers.
    pub json: String,
}

impl TrustGraph {
    /// Asks an issuer to certify that this node pledges a text. The signed request is returned, to be given to the
    /// issuer. The pledge has KwaaiNet's name unless it is given another.
    pub async fn request_pledge(
        &self,
        issuer: String,
        text: String,
        name: Option<String>,
        cancel: CancelToken,
    ) -> Result<String> {
        let graph = self.handle.get()?;
        let (issuer, pledge) = (validate::did(&issuer)?, pledge(&text, name.as_deref())?);
        let request = rt::run(&cancel, async move { graph.request_pledge(issuer, &pledge).await }).await?;
        Ok(request.to_json().to_owned())
    }

    /// Issues the credential that a request asks for, when it asks for exactly this pledge. It is returned and not kept.
    pub async fn issue_pledge(
        &self,
        request: String,
        text: String,
        name: Option<String>,
        valid_for_ms: Option<u64>,
        cancel: CancelToken,
    ) -> Result<Credential> {
        let (graph, pledge) = (self.handle.get()?, pledge(&text, name.as_deref())?);
        let valid_for = valid_for_ms.map(Duration::from_millis);
        let issue = async move { graph.issue_pledge(&request, &pledge, valid_for).await };
        rt::run(&cancel, issue).await.map(Credential::from)
    }

    /// Takes the credential that an issuer made of this node's pledge, and carries it from now on.
    pub async fn accept_pledge(
        &self,
        json: String,
        text: String,
        name: Option<String>,
        cancel: CancelToken,
    ) -> Result<CredentialSummary> {
        let (graph, pledge) = (self.handle.get()?, pledge(&text, name.as_deref())?);
        let kept = rt::run(&cancel, async move { graph.accept_pledge(&json, &pledge).await }).await?;
        Ok(CredentialSummary::from(&kept))
    }

    /// Takes back a pledge that this node carries. The signed withdrawal is returned, to be given to the issuer and to
    /// peers.
    pub async fn withdraw_pledge(&self, credential_id: String, cancel: CancelToken) -> Result<String> {
        let graph = self.handle.get()?;
        let withdrawal = rt::run(&cancel, async move { graph.withdraw_pledge(&credential_id).await }).await?;
        Ok(withdrawal.to_json().to_owned())
    }

    /// Takes note that somebody withdrew its pledge, and returns the credential's identifier.
    pub async fn import_withdrawal(&self, withdrawal: String, cancel: CancelToken) -> Result<String> {
        let graph = self.handle.get()?;
        let withdrawal = rt::run(&cancel, async move { graph.import_withdrawal(&withdrawal).await }).await?;
        Ok(withdrawal.credential.id().to_owned())
    }

    /// The withdrawals that are known here, of this node and of others, in the order of their credentials' identifiers.
    pub async fn withdrawals(&self, cancel: CancelToken) -> Result<Vec<PledgeWithdrawal>> {
        let graph = self.handle.get()?;
        let known = rt::blocking(&cancel, move || graph.withdrawals()).await?;
        Ok(known.into_iter().map(PledgeWithdrawal::from).collect())
    }

    /// Reads the withdrawal of a pledge that this node issued, and returns the credential: what it has to revoke.
    pub async fn pledge_to_revoke(&self, withdrawal: String, cancel: CancelToken) -> Result<Credential> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.pledge_to_revoke(&withdrawal)).await.map(Credential::from)
    }
}

fn pledge(text: &str, name: Option<&str>) -> Result<Pledge> {
    Ok(Pledge::named(name.unwrap_or(PLEDGE_NAME), text)?)
}

impl From<trust::PledgeWithdrawal> for PledgeWithdrawal {
    fn from(withdrawal: trust::PledgeWithdrawal) -> PledgeWithdrawal {
        PledgeWithdrawal {
            pledger: withdrawal.pledger.to_string(),
            credential_id: withdrawal.credential.id().to_owned(),
            withdrawn: withdrawal.withdrawn.to_string(),
            json: withdrawal.to_json().to_owned(),
        }
    }
}
