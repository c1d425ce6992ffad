//! Credentials in the shapes of the Decentralized Trust Graph (Trust over IP, DTG Core Credentials, draft 0.3).
//!
//! A DTG credential names the type `DTGCredential` and exactly one shape. What this library does with each:
//!
//! | Shape | Says | Nearest type of KwaaiNet |
//! |---|---|---|
//! | `MembershipCredential` | the issuer is a community, the subject its member | `VerifiedNodeVC`, `SummitAttendeeVC` |
//! | `RelationshipCredential` | issuer and subject are related; two of them make an edge | `BindingVC` |
//! | `EndorsementCredential` | the issuer endorses the subject, in an object whose members the community defines | `PeerEndorsementVC` |
//! | `WitnessCredential` | the issuer saw something of the subject | `UptimeVC`, `ThroughputVC` |
//!
//! The pledge has no shape there. A shape says less than a type of KwaaiNet: which community, endorsed for what, witnessed
//! how well. So a shape alone counts nowhere, and a credential that names both, such as `EndorsementCredential` and
//! `PeerEndorsementVC`, counts as what KwaaiNet's type says. [`DtgShape::types`] is the table in code.

use serde_json::{Map, Value};

use super::credential::{Credential, CredentialType};
use super::rule::Rule;
use crate::identity::Did;
use crate::{Error, Result};

/// The context of DTG credentials.
pub const DTG_CONTEXT: &str = "https://firstperson.network/credentials/dtg/v1";

const DTG_CREDENTIAL: &str = "DTGCredential";

/// The longest text that is read from a DTG credential, in bytes.
const MAX_TEXT: usize = 1024;

/// The shape of a DTG credential that this library reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DtgShape {
    /// The subject belongs to the issuer's community.
    Membership,
    /// Issuer and subject are related.
    Relationship,
    /// The issuer endorses the subject.
    Endorsement,
    /// The issuer witnessed something about the subject.
    Witness,
}

impl DtgShape {
    /// Every shape.
    pub const ALL: [DtgShape; 4] =
        [DtgShape::Membership, DtgShape::Relationship, DtgShape::Endorsement, DtgShape::Witness];

    /// The shape's name in a credential's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            DtgShape::Membership => "MembershipCredential",
            DtgShape::Relationship => "RelationshipCredential",
            DtgShape::Endorsement => "EndorsementCredential",
            DtgShape::Witness => "WitnessCredential",
        }
    }

    /// KwaaiNet's types that are of this shape.
    pub fn types(self) -> &'static [CredentialType] {
        match self {
            DtgShape::Membership => &[CredentialType::VerifiedNode, CredentialType::SummitAttendee],
            DtgShape::Relationship => &[CredentialType::Binding],
            DtgShape::Endorsement => &[CredentialType::PeerEndorsement],
            DtgShape::Witness => &[CredentialType::Uptime, CredentialType::Throughput],
        }
    }

    /// The shape of a type of KwaaiNet, if it has one.
    pub fn of(kind: CredentialType) -> Option<DtgShape> {
        DtgShape::ALL.into_iter().find(|shape| shape.types().contains(&kind))
    }
}

/// What a DTG credential says.
#[derive(Debug, Clone, PartialEq)]
pub struct DtgCredential {
    /// Its shape.
    pub shape: DtgShape,
    /// The community, the other party, the endorser or the witness.
    pub issuer: Did,
    /// Whom it is about.
    pub subject: Did,
    /// Of an [`Endorsement`](DtgShape::Endorsement): the object as its community defines it; empty otherwise.
    pub endorsement: Map<String, Value>,
    /// Of a [`Witness`](DtgShape::Witness): the digest of the witnessed credential, as it is written.
    pub digest: Option<String>,
    /// Of a [`Witness`](DtgShape::Witness): the circumstances `event`, `sessionId` and `method`, those that are given.
    pub witnessed: Map<String, Value>,
}

impl DtgCredential {
    /// What a credential says as one of the DTG, or `None` when it is none.
    ///
    /// # Errors
    /// `invalid_argument` when it is a DTG credential without its context, of several shapes, about nobody with a did:key, or
    /// without the members of its shape; `unsupported` for a shape that is not read here. The context names the [`Rule`].
    pub fn read(credential: &Credential) -> Result<Option<DtgCredential>> {
        let summary = credential.summary();
        if !summary.types.iter().any(|name| name == DTG_CREDENTIAL) {
            return Ok(None);
        }
        let contexts = credential.document().get("@context").and_then(Value::as_array);
        if !contexts.is_some_and(|contexts| contexts.iter().any(|context| context.as_str() == Some(DTG_CONTEXT))) {
            return Err(malformed(Rule::Context, &format!("does not have the context {DTG_CONTEXT}")));
        }
        let mut shapes =
            DtgShape::ALL.into_iter().filter(|shape| summary.types.iter().any(|name| name == shape.as_str()));
        let shape = shapes.next().ok_or_else(|| {
            Rule::Type.unsupported(format!("no shape of the DTG credential is read here: {:.200?}", summary.types))
        })?;
        if shapes.next().is_some() {
            return Err(malformed(Rule::Type, "has several shapes"));
        }
        let (Some(subject), Some(claims)) = (summary.subject, credential.claims()) else {
            return Err(malformed(Rule::Subject, "is not about one subject with a did:key"));
        };
        let mut read = DtgCredential {
            shape,
            issuer: summary.issuer,
            subject,
            endorsement: Map::new(),
            digest: None,
            witnessed: Map::new(),
        };
        match shape {
            DtgShape::Membership | DtgShape::Relationship => {}
            DtgShape::Endorsement => {
                let endorsement = claims.get("endorsement").and_then(Value::as_object);
                read.endorsement = endorsement.ok_or_else(|| malformed(Rule::Claims, "has no endorsement"))?.clone();
            }
            DtgShape::Witness => {
                read.digest = claims.get("digest").map(text).transpose()?;
                let context = claims.get("witnessContext").map(|context| {
                    context.as_object().ok_or_else(|| malformed(Rule::Claims, "has a witnessContext that is no object"))
                });
                for (name, value) in context.transpose()?.into_iter().flatten() {
                    if ["event", "sessionId", "method"].contains(&name.as_str()) {
                        read.witnessed.insert(name.clone(), text(value)?.into());
                    }
                }
            }
        }
        Ok(Some(read))
    }
}

fn text(value: &Value) -> Result<String> {
    let text = value.as_str().filter(|text| text.len() <= MAX_TEXT);
    text.map(String::from)
        .ok_or_else(|| malformed(Rule::Claims, &format!("has a member that is no text of up to {MAX_TEXT} bytes")))
}

fn malformed(rule: Rule, why: &str) -> Error {
    rule.invalid(format!("the DTG credential {why}"))
}
