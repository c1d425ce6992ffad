//! Links between a node and its person or organisation.

use std::time::Duration;

use kwaai_core::Error;
use kwaai_core::trust::{self, LinkType};
use serde::Serialize;

use super::{Credential, TrustGraph};
use crate::{CancelToken, Result, rt, validate};

/// The names of what an identity may be.
const LINK_TYPES: [(&str, LinkType); 4] = [
    ("person", LinkType::Person),
    ("organisation", LinkType::Organisation),
    ("passkey", LinkType::Passkey),
    ("node", LinkType::Node),
];

/// A link between a node and a person or organisation that both keys prove.
///
/// `Binding` alone would be taken for what SwiftUI calls so.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct IdentityBinding {
    /// The DID of the node.
    pub node: String,
    /// The DID of the person or organisation.
    pub identity: String,
    /// What the identity is: `person`, `organisation` or `passkey`.
    pub link_type: String,
    /// Since when both sides hold, RFC 3339.
    pub since: String,
}

impl TrustGraph {
    /// Issues this identity's side of a link with a subject. `link_type` says what this identity is: `person`,
    /// `organisation`, `passkey` or `node`. It is returned and not kept.
    pub async fn issue_binding(
        &self,
        subject: String,
        link_type: String,
        valid_for_ms: Option<u64>,
        cancel: CancelToken,
    ) -> Result<Credential> {
        let (graph, subject, link_type) = (self.handle.get()?, validate::did(&subject)?, typed(&link_type)?);
        let valid_for = valid_for_ms.map(Duration::from_millis);
        let issue = async move { graph.issue_binding(subject, link_type, valid_for).await };
        rt::run(&cancel, issue).await.map(Credential::from)
    }

    /// The links of a node, or of a person or organisation, of which both sides are kept and in force: the oldest first.
    pub async fn bindings(&self, did: String, cancel: CancelToken) -> Result<Vec<IdentityBinding>> {
        let (graph, did) = (self.handle.get()?, validate::did(&did)?);
        let bindings = rt::blocking(&cancel, move || graph.bindings(&did)).await?;
        Ok(bindings.into_iter().map(IdentityBinding::from).collect())
    }
}

fn named(link_type: LinkType) -> &'static str {
    LINK_TYPES.into_iter().find(|(_, known)| *known == link_type).map_or("", |(name, _)| name)
}

fn typed(text: &str) -> kwaai_core::Result<LinkType> {
    LINK_TYPES.into_iter().find(|(name, _)| *name == text).map(|(_, link_type)| link_type).ok_or_else(|| {
        let known = LINK_TYPES.map(|(name, _)| name).join(", ");
        Error::invalid_argument(format!("{text:.60?} is no type of link; types are {known}"))
    })
}

impl From<trust::Binding> for IdentityBinding {
    fn from(binding: trust::Binding) -> IdentityBinding {
        IdentityBinding {
            node: binding.node.to_string(),
            identity: binding.identity.to_string(),
            link_type: named(binding.link_type).into(),
            since: binding.since.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_link_has_a_name() {
        for link_type in LinkType::ALL {
            assert_eq!(typed(named(link_type)).unwrap(), link_type);
        }
    }
}
