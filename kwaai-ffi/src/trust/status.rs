//! Credentials that are withdrawn, and the lists that say so.

use kwaai_core::node;
use kwaai_core::trust::{self, StatusListUrl};
use serde::Serialize;

use super::TrustGraph;
use crate::{CancelToken, Result, rt};

/// What is known about a credential's withdrawal.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Status {
    /// `not_revocable`, `clear`, `revoked`, `suspended` or `unknown`.
    pub state: String,
    /// With `clear`, when the oldest list that says so was signed, RFC 3339.
    pub as_of: Option<String>,
    /// With `unknown`, the reason in a short phrase.
    pub why: Option<String>,
}

/// A list of another issuer that this node keeps.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct KeptStatusList {
    /// Who signed it.
    pub issuer: String,
    /// Its name, as credentials write it.
    pub url: String,
    /// What its bits may mean: `revocation`, `suspension`.
    pub purposes: Vec<String>,
    /// Since when it holds, RFC 3339.
    pub as_of: String,
    /// Until when it is fresh, RFC 3339.
    pub fresh_until: String,
    /// How many entries it has.
    pub entries: u64,
}

/// A list that this node has no fresh copy of, and that one of its credentials names.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct WantedStatusList {
    /// Who signs it.
    pub issuer: String,
    /// Its name.
    pub url: String,
}

/// What looking for status lists brought.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct StatusRefresh {
    /// How many lists came and were kept.
    pub fetched: usize,
    /// Those of which nobody had a young copy.
    pub missing: Vec<WantedStatusList>,
}

impl TrustGraph {
    /// Withdraws a credential that this node issued as a revocable one, for good.
    pub async fn revoke(&self, credential_id: String, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.revoke(&credential_id)).await
    }

    /// Withdraws such a credential until it is reinstated.
    pub async fn suspend(&self, credential_id: String, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.suspend(&credential_id)).await
    }

    /// Ends the suspension of a credential.
    pub async fn reinstate(&self, credential_id: String, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.reinstate(&credential_id)).await
    }

    /// Verifies a credential, and says what is known about its withdrawal. It is not kept.
    pub async fn status(&self, json: String, cancel: CancelToken) -> Result<Status> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.status(&graph.verify(&json)?)).await.map(Status::from)
    }

    /// The names of the lists of this node, in order.
    pub async fn status_lists(&self, cancel: CancelToken) -> Result<Vec<String>> {
        let graph = self.handle.get()?;
        let lists = rt::blocking(&cancel, move || graph.status_lists()).await?;
        Ok(lists.iter().map(ToString::to_string).collect())
    }

    /// A signed list to hand out: one of this node's own, or one that it keeps. It goes by names that say who signed the
    /// list, which those of kwaainet do; whoever wants a list with a web address fetches it there.
    pub async fn status_list(&self, url: String, cancel: CancelToken) -> Result<String> {
        let graph = self.handle.get()?;
        let issuer = url.parse::<StatusListUrl>()?.issuer;
        rt::run(&cancel, async move { graph.status_list(&issuer, &url).await }).await
    }

    /// Checks a status list and keeps it, wherever it came from, when a kept credential names it.
    pub async fn keep_status_list(&self, list: String, cancel: CancelToken) -> Result<KeptStatusList> {
        let graph = self.handle.get()?;
        rt::run(&cancel, async move { graph.keep_status_list(&list).await }).await.map(KeptStatusList::from)
    }

    /// The lists that this node wants: those that its credentials name and of which it has no fresh copy.
    pub async fn wanted_status_lists(&self, cancel: CancelToken) -> Result<Vec<WantedStatusList>> {
        let graph = self.handle.get()?;
        let wanted = rt::blocking(&cancel, move || graph.wanted_status_lists()).await?;
        Ok(wanted.into_iter().map(WantedStatusList::from).collect())
    }
}

impl From<trust::Status> for Status {
    fn from(status: trust::Status) -> Status {
        let (state, as_of, why) = match status {
            trust::Status::NotRevocable => ("not_revocable", None, None),
            trust::Status::Clear { as_of } => ("clear", Some(as_of.to_string()), None),
            trust::Status::Revoked => ("revoked", None, None),
            trust::Status::Suspended => ("suspended", None, None),
            trust::Status::Unknown { why } => ("unknown", None, Some(why)),
        };
        Status { state: state.into(), as_of, why }
    }
}

impl From<trust::WantedStatusList> for WantedStatusList {
    fn from(list: trust::WantedStatusList) -> WantedStatusList {
        WantedStatusList { issuer: list.issuer.to_string(), url: list.url }
    }
}

impl From<node::StatusRefresh> for StatusRefresh {
    fn from(refresh: node::StatusRefresh) -> StatusRefresh {
        let missing = refresh.missing.into_iter().map(WantedStatusList::from).collect();
        StatusRefresh { fetched: refresh.fetched, missing }
    }
}

impl From<trust::KeptStatusList> for KeptStatusList {
    fn from(list: trust::KeptStatusList) -> KeptStatusList {
        KeptStatusList {
            issuer: list.issuer.to_string(),
            url: list.url,
            purposes: list.purposes.iter().map(ToString::to_string).collect(),
            as_of: list.as_of.to_string(),
            fresh_until: list.fresh_until.to_string(),
            entries: list.entries,
        }
    }
}
