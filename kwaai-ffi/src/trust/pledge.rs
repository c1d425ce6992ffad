//! Fiduciary pledges: asked for, issued, carried, withdrawn.

use std::time::Duration;

use kwaai_core::trust::{PLEDGE_NAME, Pledge};

use super::{Credential, CredentialSummary, TrustGraph};
use crate::{CancelToken, Result, rt, validate};

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
}

fn pledge(text: &str, name: Option<&str>) -> Result<Pledge> {
    Ok(Pledge::named(name.unwrap_or(PLEDGE_NAME), text)?)
}
