//! Credentials that travel with an announcement: as digests, and whole only to those who ask.
//!
//! A node announces the content ids of up to [`MAX_ANNOUNCED`] credentials about itself. A reader that lacks one and
//! wants to know fetches it, verifies it, and keeps it when it counts. A digest itself counts for nothing.
//!
//! KwaaiNet's nodes announce whole credentials instead, in the member `trust_attestations` of their records: an array of
//! JSON texts in the shape of data model 1.1. Their signatures do not survive being stored and read again, so
//! [`read_attestations`] turns them into claims to be checked by other means; no score counts them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::credential::{Credential, CredentialSummary, CredentialType};
use super::{TrustGraph, json, proof};
use crate::identity::Did;
use crate::{Error, ErrorCode, Result};

/// The most digests that travel with one announcement.
pub const MAX_ANNOUNCED: usize = 8;

/// The most elements of KwaaiNet's `trust_attestations` that are read.
pub const MAX_ATTESTATIONS: usize = 64;

const CONTENT_ID: &str = "urn:kwaai:vc:";
const CREDENTIALS_V1: &str = "https://www.w3.org/2018/credentials/v1";

/// A type of KwaaiNet's documents that its software never had; it is the summit's.
const EVENT_ATTENDEE: &str = "EventAttendeeVC";

/// The content id of a credential, as it is announced: `urn:kwaai:vc:` and a SHA-256 in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialDigest([u8; 32]);

impl fmt::Display for CredentialDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CONTENT_ID}{}", json::hex(&self.0))
    }
}

impl fmt::Debug for CredentialDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CredentialDigest {
    type Err = Error;

    fn from_str(text: &str) -> Result<CredentialDigest> {
        text.strip_prefix(CONTENT_ID).and_then(json::unhex).map(CredentialDigest).ok_or_else(|| {
            Error::invalid_argument(format!("{text:.90?} is not {CONTENT_ID} and 64 lower-case hexadecimal digits"))
        })
    }
}

impl TryFrom<String> for CredentialDigest {
    type Error = Error;

    fn try_from(text: String) -> Result<CredentialDigest> {
        text.parse()
    }
}

impl From<CredentialDigest> for String {
    fn from(digest: CredentialDigest) -> String {
        digest.to_string()
    }
}

/// Something that an announcement says about its node's trustworthiness. None of it counts as it stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Attestation {
    /// The content id of a credential that can be fetched.
    Digest(CredentialDigest),
    /// A credential of data model 2.0 whose form was checked and whose proof was not: import it to have it verified.
    Credential {
        /// Its content id.
        digest: CredentialDigest,
        /// Its text.
        json: String,
    },
    /// A credential in KwaaiNet's shape: a claim that nobody can verify.
    Legacy(LegacyAttestation),
}

/// What a credential in KwaaiNet's shape claims. Anybody can have written it.
#[derive(Debug, Clone, PartialEq)]
pub struct LegacyAttestation {
    /// KwaaiNet's type, when this library knows it.
    pub kind: Option<CredentialType>,
    /// Every type that it names.
    pub types: Vec<String>,
    /// Whom it names as its issuer, as it stands there.
    pub issuer: String,
    /// The same as a key, where the spelling holds one.
    pub issuer_did: Option<Did>,
    /// Whom it is about.
    pub subject: Did,
    /// When it says that it was issued.
    pub issued: Timestamp,
    /// When it says that it ends.
    pub expires: Option<Timestamp>,
    /// What it says about its subject, `id` left out.
    pub claims: Map<String, Value>,
    /// Whether something that looks like a signature came with it.
    pub has_proof: bool,
}

/// Reads the `trust_attestations` of a node's record: for each element what it is, or why it is refused. `announcer` is
/// the node whose record it is; what it says about others is refused.
///
/// # Errors
/// For the whole: `invalid_argument` unless it is an array, `resource_exhausted` for more than [`MAX_ATTESTATIONS`]
/// elements. For an element, with the broken `rule`: `invalid_argument` when it is malformed (`form`), of no credential
/// type (`type`), without issuer (`issuer`), or without dates (`date`) or with such as have passed (`expired`);
/// `corrupt_data` when it is about somebody else (`subject`) or stands there twice (`twice`); `resource_exhausted` when
/// it is too long or nested too deeply (`form`).
pub fn read_attestations(record: &Value, announcer: &Did, now: Timestamp) -> Result<Vec<Result<Attestation>>> {
    let Value::Array(elements) = record else {
        return Err(Error::invalid_argument("trust_attestations is no array"));
    };
    if elements.len() > MAX_ATTESTATIONS {
        return Err(Error::resource_exhausted(format!("{} attestations are too many for one record", elements.len()))
            .with("limit", MAX_ATTESTATIONS));
    }
    let mut seen = BTreeSet::new();
    let read = |element: &Value| {
        let text = match element {
            Value::String(text) => text.clone(),
            // Written by others than KwaaiNet's own software: the same document, but not as a text.
            Value::Object(_) => {
                json::check_depth(element, json::MAX_DOCUMENT_DEPTH).map_err(|error| error.with("rule", "form"))?;
                element.to_string()
            }
            _ => return Err(malformed("form", "an attestation is a credential or the digest of one")),
        };
        let attestation = read_attestation(&text, announcer, now)?;
        match seen.insert(text) {
            true => Ok(attestation),
            false => Err(Error::corrupt_data("the attestation stands there twice").with("rule", "twice")),
        }
    };
    Ok(elements.iter().map(read).collect())
}

fn read_attestation(text: &str, announcer: &Did, now: Timestamp) -> Result<Attestation> {
    if text.starts_with(CONTENT_ID) {
        return text.parse().map(Attestation::Digest).map_err(|error: Error| error.with("rule", "form"));
    }
    let Value::Object(document) = json::parse(text).map_err(|error| error.with("rule", "form"))? else {
        return Err(malformed("form", "an attestation is a JSON object"));
    };
    let contexts = document.get("@context").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if contexts.first().and_then(Value::as_str) != Some(CREDENTIALS_V1) {
        let credential = Credential::parse(text).map_err(|error| error.with("rule", "form"))?;
        return match credential.subject() == Some(*announcer) {
            true => Ok(Attestation::Credential { digest: credential.id().parse()?, json: text.to_owned() }),
            false => Err(about_another()),
        };
    }
    legacy(&document, announcer, now).map(Attestation::Legacy)
}

fn legacy(document: &Map<String, Value>, announcer: &Did, now: Timestamp) -> Result<LegacyAttestation> {
    let types: Option<Vec<String>> = document
        .get("type")
        .and_then(Value::as_array)
        .and_then(|names| names.iter().map(|name| name.as_str().map(String::from)).collect());
    let types = types
        .filter(|names| names.iter().any(|name| name == "VerifiableCredential"))
        .ok_or_else(|| malformed("type", "the attestation's type does not name VerifiableCredential"))?;
    let kind = types.iter().find_map(|name| match name.as_str() {
        EVENT_ATTENDEE => Some(CredentialType::SummitAttendee),
        name => name.parse().ok(),
    });
    let issuer = document
        .get("issuer")
        .and_then(Value::as_str)
        .ok_or_else(|| malformed("issuer", "the attestation names no issuer"))?;
    let mut claims = document
        .get("credentialSubject")
        .and_then(Value::as_object)
        .cloned()
        .ok_or_else(|| malformed("subject", "the attestation has no credentialSubject"))?;
    let subject = match claims.remove("id") {
        Some(Value::String(id)) => key_of(&id),
        _ => None,
    };
    let subject = subject.filter(|subject| subject == announcer).ok_or_else(about_another)?;
    let date = |name: &str| {
        let value = document.get(name).map(|value| proof::date_time(name, value)).transpose();
        value.map_err(|error| error.with("rule", "date"))
    };
    let issued = date("issuanceDate")?.ok_or_else(|| malformed("date", "the attestation has no issuanceDate"))?;
    let expires = date("expirationDate")?;
    if let Some(expires) = expires.filter(|expires| *expires <= now) {
        return Err(malformed("expired", &format!("the attestation ended at {expires}")));
    }
    Ok(LegacyAttestation {
        kind,
        types,
        issuer: issuer.to_owned(),
        issuer_did: key_of(issuer),
        subject,
        issued,
        expires,
        claims,
        has_proof: document.get("proof").is_some_and(Value::is_object),
    })
}

/// The key behind a DID, also in KwaaiNet's own form: `did:peer:` and a PeerId.
fn key_of(did: &str) -> Option<Did> {
    did.parse().ok().or_else(|| {
        let peer: PeerId = did.strip_prefix("did:peer:")?.parse().ok()?;
        Did::from_peer_id(&peer).ok()
    })
}

fn malformed(rule: &'static str, why: &str) -> Error {
    Error::invalid_argument(why).with("rule", rule)
}

fn about_another() -> Error {
    Error::corrupt_data("the attestation is not about the node that announces it").with("rule", "subject")
}

impl TrustGraph {
    /// The digests of the credentials that this node shows, as they travel with its announcements, at most
    /// [`MAX_ANNOUNCED`]: the newest of each type, the heaviest type first, then older ones.
    pub fn announced(&self) -> Result<Vec<CredentialDigest>> {
        let shown = self.presentable()?.iter().map(|text| Credential::parse(text)).collect::<Result<Vec<_>>>()?;
        let mut ranked = Vec::with_capacity(shown.len());
        for credential in &shown {
            let summary = credential.summary();
            // Of several credentials of a type a reader counts one, so that the others can wait.
            let before = |other: &&Credential| {
                let other = other.summary();
                other.kind == summary.kind && (other.valid_from, &summary.id) > (summary.valid_from, &other.id)
            };
            let rank = shown.iter().filter(before).count();
            ranked.push((rank, summary.kind.is_none(), summary.kind, summary.id.parse()?));
        }
        ranked.sort();
        Ok(ranked.into_iter().take(MAX_ANNOUNCED).map(|(.., digest)| digest).collect())
    }

    /// The credentials that this node shows and that bear one of these digests, as JSON texts. Credentials about others
    /// are shown to nobody.
    pub fn presentable_of(&self, digests: &[CredentialDigest]) -> Result<Vec<String>> {
        let wanted: BTreeSet<String> = digests.iter().take(MAX_ANNOUNCED).map(CredentialDigest::to_string).collect();
        let shown = self.presentable()?;
        Ok(shown
            .into_iter()
            .filter(|text| Credential::parse(text).is_ok_and(|own| wanted.contains(own.id())))
            .collect())
    }

    /// Those of a peer's digests, at most [`MAX_ANNOUNCED`], whose credentials this node does not keep.
    pub fn lacking(&self, digests: &[CredentialDigest]) -> Result<Vec<CredentialDigest>> {
        let mut lacking = Vec::new();
        for digest in digests.iter().take(MAX_ANNOUNCED) {
            match self.credential(&digest.to_string()) {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::NotFound => lacking.push(*digest),
                Err(error) => return Err(error),
            }
        }
        Ok(lacking)
    }

    /// Keeps, of what a peer sent for its digests, what was asked for and can count; see
    /// [`TrustGraph::import_presented`].
    ///
    /// # Errors
    /// Only failures of this node itself, such as a full disk.
    pub async fn import_fetched(
        &self,
        peer: &Did,
        asked: &[CredentialDigest],
        fetched: &[String],
    ) -> Result<Vec<CredentialSummary>> {
        let asked: BTreeSet<String> = asked.iter().map(CredentialDigest::to_string).collect();
        let bears = |text: &&String| Credential::parse(text).is_ok_and(|credential| asked.contains(credential.id()));
        let fitting: Vec<String> = fetched.iter().take(MAX_ANNOUNCED).filter(bears).cloned().collect();
        self.import_presented(peer, &fitting).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::identity::Keypair;

    fn announcer() -> Keypair {
        Keypair::from_seed([5; 32])
    }

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    /// A credential as KwaaiNet's software writes it.
    fn kwaainets() -> Value {
        json!({
            "@context": ["https://www.w3.org/2018/credentials/v1", "https://kwaai.ai/credentials/v1"],
            "type": ["VerifiableCredential", "SummitAttendeeVC"],
            "issuer": format!("did:peer:{}", Keypair::from_seed([6; 32]).peer_id()),
            "issuanceDate": "2026-03-15T10:00:00.123456789Z",
            "expirationDate": "2028-03-14T10:00:00Z",
            "credentialSubject": {
                "id": format!("did:peer:{}", announcer().peer_id()),
                "eventName": "Kwaai Personal AI Summit 2026",
                "eventDate": "2026-03-15",
            },
            "proof": {"type": "Ed25519Signature2020", "proofValue": "AAAA"},
        })
    }

    fn read(element: Value) -> Result<Attestation> {
        read_attestations(&json!([element]), &announcer().did().unwrap(), now()).unwrap().pop().unwrap()
    }

    #[test]
    fn what_kwaainet_announces_is_read_as_a_claim_with_both_keys() {
        for element in [kwaainets(), kwaainets().to_string().into()] {
            let Attestation::Legacy(claim) = read(element).unwrap() else { panic!("not KwaaiNet's shape") };
            assert_eq!(claim.kind, Some(CredentialType::SummitAttendee));
            assert_eq!(claim.subject, announcer().did().unwrap());
            assert_eq!(claim.issuer_did, Some(Keypair::from_seed([6; 32]).did().unwrap()));
            assert_eq!(claim.claims["eventDate"], "2026-03-15");
            assert!(claim.has_proof && !claim.claims.contains_key("id"));
        }
    }

    #[test]
    fn an_attestation_that_breaks_a_rule_is_refused_by_its_name() {
        let changes: [(&str, &str, Value); 11] = [
            ("form", "/@context/0", "https://www.w3.org/ns/other".into()),
            ("type", "/type", "VerifiableCredential".into()),
            ("type", "/type", json!(["SummitAttendeeVC"])),
            ("type", "/type/1", 5.into()),
            ("issuer", "/issuer", json!({"id": "x"})),
            ("subject", "/credentialSubject", json!([])),
            ("subject", "/credentialSubject/id", "did:peer:12D3KooW".into()),
            ("subject", "/credentialSubject/id", Keypair::from_seed([7; 32]).did().unwrap().to_string().into()),
            ("date", "/issuanceDate", "yesterday".into()),
            ("date", "/expirationDate", 5.into()),
            ("expired", "/expirationDate", "2026-06-01T00:00:00Z".into()),
        ];
        for (rule, place, value) in changes {
            let mut changed = kwaainets();
            *changed.pointer_mut(place).unwrap() = value.clone();
            assert_eq!(read(changed).unwrap_err().context()["rule"], rule, "{place} {value}");
        }
        for text in ["", "x", "[]", "5", "urn:kwaai:vc:12", &format!("{}1", "[".repeat(40))] {
            assert_eq!(read(text.into()).unwrap_err().context()["rule"], "form", "{text}");
        }
        assert_eq!(read(5.into()).unwrap_err().context()["rule"], "form");
        let twice = read_attestations(&json!([kwaainets(), kwaainets()]), &announcer().did().unwrap(), now()).unwrap();
        assert!(twice[0].is_ok());
        assert_eq!(twice[1].as_ref().unwrap_err().context()["rule"], "twice");
    }

    #[test]
    fn a_record_is_bounded() {
        let read = |record: &Value| read_attestations(record, &announcer().did().unwrap(), now()).unwrap_err().code();
        assert_eq!(read(&json!({})), ErrorCode::InvalidArgument);
        assert_eq!(read(&json!(vec![0; MAX_ATTESTATIONS + 1])), ErrorCode::ResourceExhausted);
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let text = format!("urn:kwaai:vc:{}", "0f".repeat(32));
        assert_eq!(text.parse::<CredentialDigest>().unwrap().to_string(), text);
        assert_eq!(read(text.clone().into()).unwrap(), Attestation::Digest(text.parse().unwrap()));
        for wrong in [text.to_uppercase(), format!("{text}0"), text.replace("vc", "vp"), "0f".repeat(32)] {
            assert!(wrong.parse::<CredentialDigest>().is_err(), "{wrong}");
        }
    }
}
