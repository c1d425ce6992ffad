//! What lets somebody else than its owner use a collection at a host.
//!
//! A capability is a chain of signed statements, one a line: the owner's, and one of each holder that handed on a part of what
//! it has. The form of a line is that of every statement between nodes (`trust`): `kwaainet/VpkCapability/1` under JCS and
//! Ed25519. It is good at one host, for one collection and one holder, until it ends or its owner revokes one of its lines. It
//! opens nothing: to read what it gets, a holder needs the collection's key.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::CollectionId;
use crate::identity::{Did, Signer};
use crate::trust::json::{hex, unhex};
use crate::trust::statement::{self, Reader, refused};
use crate::{Error, ErrorCode, Result};

const KIND: &str = "VpkCapability";

/// The longest capability, in bytes of text.
pub const MAX_CAPABILITY_BYTES: usize = 8 * 1024;

/// How many lines a capability has at most, the owner's among them.
pub const MAX_LINKS: usize = 4;

/// How long a capability holds at most.
pub const MAX_CAPABILITY_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What a holder may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Ask questions.
    Search,
    /// Take out segments, payloads and the manifest.
    Read,
    /// Add segments and payloads. Nothing that is kept is replaced or removed by it.
    Append,
}

/// What somebody is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who is allowed it.
    pub holder: Did,
    /// At which host.
    pub host: Did,
    /// With which collection.
    pub collection: CollectionId,
    /// What.
    pub rights: BTreeSet<Right>,
    /// How many bytes its holder may add, counted as the host's quotas count; `None` leaves that to these.
    pub quota: Option<u64>,
    /// Until when, to the second.
    pub expires: Timestamp,
}

/// One line of a capability.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    issuer: Did,
    id: [u8; 16],
    issued: Timestamp,
    grant: Grant,
}

/// A capability whose lines are signed by whom they name and allow no more than those before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    links: Vec<Link>,
    text: String,
}

/// The numbers of the bytes that the lines of a capability allow, the owner's first.
pub(super) type Quotas = Vec<([u8; 16], Option<u64>, Timestamp)>;

impl Capability {
    /// Allows somebody to use a collection of who signs. `id` must be 16 random bytes.
    ///
    /// # Errors
    /// With the broken `rule`: `invalid_argument` when nothing is allowed (`rights`) or it lasts longer than
    /// [`MAX_CAPABILITY_LIFETIME`] (`lifetime`); what the signer answers.
    pub async fn issue(signer: &dyn Signer, grant: Grant, id: [u8; 16], now: Timestamp) -> Result<Capability> {
        let (link, text) = Link::sign(signer, grant, id, None, now).await?;
        Ok(Capability { links: vec![link], text })
    }

    /// Hands on a part of what this one allows to somebody else. Only its holder can.
    ///
    /// # Errors
    /// Those of [`Capability::issue`], and `invalid_argument` with the rule `attenuation` when it would allow more than this one,
    /// `chain` when somebody else than its holder signs, or it has [`MAX_LINKS`] lines already.
    pub async fn attenuate(
        &self,
        signer: &dyn Signer,
        grant: Grant,
        id: [u8; 16],
        now: Timestamp,
    ) -> Result<Capability> {
        let (link, line) = Link::sign(signer, grant, id, self.last_line(), now).await?;
        self.last().allows(&link)?;
        let mut links = self.links.clone();
        links.push(link);
        if links.len() > MAX_LINKS {
            return Err(chain());
        }
        Ok(Capability { links, text: format!("{}\n{line}", self.text) })
    }

    /// Reads a capability, and checks its form, its signatures, and that no line allows more than the one before.
    ///
    /// # Errors
    /// With the broken `rule`: those of every statement (`form`, `signature`), `chain` and `attenuation`.
    pub fn read(text: &str) -> Result<Capability> {
        if text.len() > MAX_CAPABILITY_BYTES {
            return Err(refused(ErrorCode::ResourceExhausted, "form", "the capability is too long")
                .with("limit", MAX_CAPABILITY_BYTES));
        }
        let lines: Vec<&str> = text.split('\n').collect();
        if lines.len() > MAX_LINKS {
            return Err(chain());
        }
        let mut links: Vec<Link> = Vec::with_capacity(lines.len());
        for (at, line) in lines.iter().enumerate() {
            let (link, parent) = Link::read(line)?;
            let expected = at.checked_sub(1).map(|before| digest(lines[before]));
            if parent != expected {
                return Err(chain());
            }
            if let Some(before) = links.last() {
                before.allows(&link)?;
            }
            links.push(link);
        }
        Ok(Capability { links, text: text.to_owned() })
    }

    /// Whose collection it is about.
    pub fn owner(&self) -> Did {
        self.links[0].issuer
    }

    /// What it allows, and whom.
    pub fn grant(&self) -> &Grant {
        &self.last().grant
    }

    /// What its owner names to revoke it; of the last line.
    pub fn id(&self) -> [u8; 16] {
        self.last().id
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn quotas(&self) -> Quotas {
        self.links.iter().map(|link| (link.id, link.grant.quota, link.grant.expires)).collect()
    }

    /// Checks that `caller` may do this at `host` now, as far as the capability itself says.
    ///
    /// # Errors
    /// `permission_denied` with the broken `rule`: `holder`, `audience`, `collection`, `rights`, `not_yet`, `expired`.
    pub fn check(&self, caller: Did, host: Did, collection: CollectionId, right: Right, now: Timestamp) -> Result<()> {
        let grant = self.grant();
        let begun = self.links.iter().all(|link| statement::is_past(link.issued, now));
        for (holds, rule, why) in [
            (grant.holder == caller, "holder", "the capability is somebody else's"),
            (grant.host == host, "audience", "the capability is for another host"),
            (grant.collection == collection, "collection", "the capability is for another collection"),
            (grant.rights.contains(&right), "rights", "the capability does not allow this"),
            (begun, "not_yet", "the capability comes from the future"),
            (grant.expires > now, "expired", "the capability has ended"),
        ] {
            if !holds {
                return Err(refused(ErrorCode::PermissionDenied, rule, why));
            }
        }
        Ok(())
    }

    fn last(&self) -> &Link {
        // There is always a first line.
        self.links.last().unwrap_or(&self.links[0])
    }

    fn last_line(&self) -> Option<&str> {
        self.text.rsplit('\n').next()
    }
}

impl Link {
    async fn sign(
        signer: &dyn Signer,
        mut grant: Grant,
        id: [u8; 16],
        parent: Option<&str>,
        now: Timestamp,
    ) -> Result<(Link, String)> {
        grant.expires = seconds(grant.expires)?;
        let link = Link { issuer: signer.did(), id, issued: seconds(now)?, grant };
        link.check_form()?;
        let mut members = Map::new();
        members.insert("issuer".into(), link.issuer.to_string().into());
        members.insert("holder".into(), link.grant.holder.to_string().into());
        members.insert("host".into(), link.grant.host.to_string().into());
        members.insert("collection".into(), link.grant.collection.to_string().into());
        members.insert("id".into(), hex(&id).into());
        let rights = serde_json::to_value(&link.grant.rights)
            .map_err(|error| Error::internal("rights cannot be written").with_source(error))?;
        members.insert("rights".into(), rights);
        if let Some(quota) = link.grant.quota {
            members.insert("quota".into(), quota.into());
        }
        members.insert("issued".into(), link.issued.to_string().into());
        members.insert("expires".into(), link.grant.expires.to_string().into());
        if let Some(parent) = parent {
            members.insert("parent".into(), hex(&digest(parent)).into());
        }
        let text = statement::sign(KIND, members, signer).await?;
        Ok((link, text))
    }

    /// The line, and the digest of the one before it.
    fn read(line: &str) -> Result<(Link, Option<[u8; 32]>)> {
        let (mut reader, issuer) = Reader::open(KIND, line, MAX_CAPABILITY_BYTES, "issuer")?;
        let (holder, host) = (reader.did("holder")?, reader.did("host")?);
        let collection = CollectionId(reader.bytes("collection")?);
        let id = reader.bytes("id")?;
        let listed: Vec<Right> = reader.optional("rights")?.unwrap_or_default();
        let rights: BTreeSet<Right> = listed.iter().copied().collect();
        if rights.len() != listed.len() {
            return Err(reader.malformed("rights"));
        }
        let quota = reader.optional("quota")?;
        let (issued, expires) = (reader.time("issued")?, reader.time("expires")?);
        let parent = match reader.optional::<Value>("parent")? {
            None => None,
            Some(Value::String(text)) => Some(unhex(&text).ok_or_else(|| reader.malformed("parent"))?),
            Some(_) => return Err(reader.malformed("parent")),
        };
        reader.end()?;
        let link = Link { issuer, id, issued, grant: Grant { holder, host, collection, rights, quota, expires } };
        link.check_form()?;
        Ok((link, parent))
    }

    fn check_form(&self) -> Result<()> {
        if self.grant.rights.is_empty() {
            return Err(refused(ErrorCode::InvalidArgument, "rights", "the capability allows nothing"));
        }
        let lifetime = self.grant.expires.as_second().saturating_sub(self.issued.as_second());
        if lifetime <= 0 || lifetime as u64 > MAX_CAPABILITY_LIFETIME.as_secs() {
            return Err(refused(
                ErrorCode::InvalidArgument,
                "lifetime",
                "the capability ends too late, or before it begins",
            ));
        }
        // Beyond this, JSON's numbers are not exact.
        if self.grant.quota.is_some_and(|quota| quota > 1 << 53) {
            return Err(refused(ErrorCode::InvalidArgument, "quota", "the quota is no number of bytes"));
        }
        Ok(())
    }

    /// Whether the next line stays within this one.
    fn allows(&self, next: &Link) -> Result<()> {
        let (own, other) = (&self.grant, &next.grant);
        if next.issuer != own.holder {
            return Err(chain());
        }
        let quota = match (own.quota, other.quota) {
            (Some(own), Some(other)) => other <= own,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let within = own.host == other.host
            && own.collection == other.collection
            && other.rights.is_subset(&own.rights)
            && other.expires <= own.expires
            && quota;
        if within {
            return Ok(());
        }
        Err(refused(
            ErrorCode::InvalidArgument,
            "attenuation",
            "a line of the capability allows more than the one before",
        ))
    }
}

fn chain() -> Error {
    refused(ErrorCode::InvalidArgument, "chain", "the lines of the capability do not follow from each other")
}

fn digest(line: &str) -> [u8; 32] {
    Sha256::digest(line).into()
}

fn seconds(instant: Timestamp) -> Result<Timestamp> {
    Timestamp::from_second(instant.as_second())
        .map_err(|error| Error::invalid_argument("an instant out of range").with_source(error))
}
