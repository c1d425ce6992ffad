//! Whose word counts for what.

use serde::{Deserialize, Serialize};

use super::credential::CredentialType;
use crate::identity::Did;
use crate::{Error, Result};

/// An issuer that this node trusts, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The issuer.
    pub did: Did,
    /// The types for which its credentials count, each once, in the order of [`CredentialType::ALL`].
    pub types: Vec<CredentialType>,
}

/// The issuers that KwaaiNet names. They are roles: KwaaiNet has published no key for any of them, and this library does
/// not invent one. With a DID that you have from its holder, call
/// [`trust_issuer(did, preset.types())`](super::TrustGraph::trust_issuer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IssuerPreset {
    /// The GliaNet Foundation, which keeps the fiduciary pledges.
    GlianetFoundation,
    /// The Kwaai Foundation, which checks nodes.
    KwaaiFoundation,
    /// A bootstrap server, which watches uptime and throughput.
    BootstrapServer,
    /// The server of the Kwaai summit.
    SummitServer,
}

impl IssuerPreset {
    /// Every preset.
    pub const ALL: [IssuerPreset; 4] = [
        IssuerPreset::GlianetFoundation,
        IssuerPreset::KwaaiFoundation,
        IssuerPreset::BootstrapServer,
        IssuerPreset::SummitServer,
    ];

    /// The types that KwaaiNet accepts from this role.
    pub fn types(self) -> &'static [CredentialType] {
        match self {
            IssuerPreset::GlianetFoundation => &[CredentialType::FiduciaryPledge],
            IssuerPreset::KwaaiFoundation => &[CredentialType::VerifiedNode],
            IssuerPreset::BootstrapServer => &[CredentialType::Uptime, CredentialType::Throughput],
            IssuerPreset::SummitServer => &[CredentialType::SummitAttendee],
        }
    }

    /// The role's name for people.
    pub fn title(self) -> &'static str {
        match self {
            IssuerPreset::GlianetFoundation => "GliaNet Foundation",
            IssuerPreset::KwaaiFoundation => "Kwaai Foundation",
            IssuerPreset::BootstrapServer => "KwaaiNet bootstrap server",
            IssuerPreset::SummitServer => "Kwaai summit server",
        }
    }

    /// The DID that this role has published.
    ///
    /// # Errors
    /// `unsupported`, for every role: none has published one.
    pub fn did(self) -> Result<Did> {
        Err(Error::unsupported(format!("the {} has published no did:key to sign credentials with", self.title()))
            .with_remedy("get its DID from its holder, then trust that DID for the types of this preset"))
    }
}
