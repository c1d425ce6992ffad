//! Credentials: W3C Verifiable Credentials Data Model 2.0, with KwaaiNet's types.

mod kind;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{json, proof};
use crate::identity::{Did, Signer};
use crate::{Error, Result};

pub use kind::CredentialType;

/// The first context of every credential of the data model's version 2.0 (§4.3).
pub const CREDENTIALS_V2: &str = "https://www.w3.org/ns/credentials/v2";

/// The W3C's context for terms that have no published definition, as KwaaiNet's claims have none. A definition inside
/// the credential would do in theory; widespread verifiers compare contexts as strings and refuse it.
const UNDEFINED_TERMS_V2: &str = "https://www.w3.org/ns/credentials/undefined-terms/v2";

/// Identifiers that are the SHA-256 of what they identify begin with this.
const CONTENT_ID: &str = "urn:kwaai:vc:";

/// Where an instant stands to a credential's `validFrom` and `validUntil`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Before `validFrom`.
    NotYet,
    /// In between; both ends are part of it.
    InForce,
    /// After `validUntil`.
    Expired,
}

/// A credential whose form has been checked and whose proof held when it was read. Members that this library does not
/// know are kept as they are: they are under the signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    document: Map<String, Value>,
    summary: CredentialSummary,
    revocable: bool,
}

/// What a credential says, without its claims and its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSummary {
    /// The identifier in this wallet, `urn:kwaai:vc:` and the SHA-256 of the canonical content in hexadecimal digits.
    pub id: String,
    /// KwaaiNet's type, when it has one.
    pub kind: Option<CredentialType>,
    /// Every type that the credential names.
    pub types: Vec<String>,
    /// Who issued and signed it.
    pub issuer: Did,
    /// Whom it is about, when that is one subject with a did:key.
    pub subject: Option<Did>,
    /// From when on it holds; its age counts from here.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds.
    pub valid_until: Option<Timestamp>,
}

impl CredentialSummary {
    /// Whether the credential holds at `now`. One without dates always does (data model §4.9).
    pub fn validity(&self, now: Timestamp) -> Validity {
        if self.valid_from.is_some_and(|from| now < from) {
            Validity::NotYet
        } else if self.valid_until.is_some_and(|until| now > until) {
            Validity::Expired
        } else {
            Validity::InForce
        }
    }
}

impl Credential {
    /// Issues a credential, valid from `now` on; see [`TrustGraph::issue`](super::TrustGraph::issue).
    pub(super) async fn issue(
        signer: &dyn Signer,
        kind: CredentialType,
        subject: Did,
        claims: Map<String, Value>,
        valid_for: Option<Duration>,
        status: Option<Value>,
        now: Timestamp,
    ) -> Result<Credential> {
        if let Some(name) = claims.keys().find(|name| *name == "id" || name.starts_with('@')) {
            return Err(Error::invalid_argument(format!("a claim cannot be called {name:.60?}"))
                .with_remedy("`id` is the subject, and names with @ belong to JSON-LD; choose another name"));
        }
        // The claims stand two levels deep in the credential, inside `credentialSubject`.
        claims.values().try_for_each(|claim| json::check_depth(claim, json::MAX_DOCUMENT_DEPTH - 2))?;
        let valid_from = proof::whole_seconds(now)?;
        let mut about = claims;
        about.insert("id".into(), subject.to_string().into());
        let mut document = Map::new();
        document.insert("@context".into(), serde_json::json!([CREDENTIALS_V2, UNDEFINED_TERMS_V2]));
        document.insert("type".into(), serde_json::json!(["VerifiableCredential", kind.as_str()]));
        document.insert("issuer".into(), signer.did().to_string().into());
        document.insert("validFrom".into(), valid_from.to_string().into());
        if let Some(lifetime) = valid_for.or(kind.default_lifetime()) {
            document.insert("validUntil".into(), end_of(valid_from, lifetime)?.to_string().into());
        }
        if let Some(status) = status {
            document.insert("credentialStatus".into(), status);
        }
        document.insert("credentialSubject".into(), Value::Object(about));
        document.insert("id".into(), content_id(&document)?.into());
        let signed = proof::sign(&document, signer, now).await?;
        // Reading it back as a stranger catches claims that nobody could check, and a signer with another key.
        Credential::verify(&Value::Object(signed).to_string(), now)
    }

    /// Reads a credential and checks its form and its proof. Whether it is in force is a question for
    /// [`validity`](CredentialSummary::validity): a credential may be kept before and after.
    ///
    /// # Errors
    /// `invalid_argument` when it is malformed or its proof has expired; `resource_exhausted` when it is too long or nested
    /// too deeply; `unsupported` for an older data model, other suites and other DIDs; `corrupt_data` when anything in it
    /// was changed, or when someone else than its issuer signed it.
    pub fn verify(text: &str, now: Timestamp) -> Result<Credential> {
        let credential = Credential::parse(text)?;
        credential.check_proof(now)?;
        Ok(credential)
    }

    /// Reads a credential and checks its form alone.
    pub(super) fn parse(text: &str) -> Result<Credential> {
        let Value::Object(document) = json::parse(text)? else {
            return Err(Error::invalid_argument("a credential is a JSON object"));
        };
        let mut summary = CredentialSummary {
            id: content_id(&document)?,
            kind: None,
            types: types(&document)?,
            issuer: issuer(&document)?,
            subject: subject(&document)?,
            valid_from: date(&document, "validFrom")?,
            valid_until: date(&document, "validUntil")?,
        };
        check_context(&document)?;
        check_id(&document, &summary.id)?;
        let mut kinds = summary.types.iter().filter_map(|name| name.parse().ok());
        summary.kind = kinds.next();
        // A credential may name the summit's type in both of its spellings.
        if kinds.any(|other| Some(other) != summary.kind) {
            return Err(Error::invalid_argument("a credential has one of KwaaiNet's types, not several"));
        }
        if let (Some(from), Some(until)) = (summary.valid_from, summary.valid_until)
            && until < from
        {
            return Err(Error::invalid_argument("validUntil lies before validFrom"));
        }
        let revocable = document.contains_key("credentialStatus");
        Ok(Credential { document, summary, revocable })
    }

    /// Checks that the issuer signed all of it. Stricter than the suite: contexts that are not signed are refused too.
    pub(super) fn check_proof(&self, now: Timestamp) -> Result<()> {
        let verified = proof::verify(&self.document, now)?;
        if verified.signer != self.summary.issuer {
            return Err(Error::corrupt_data("someone else than its issuer signed the credential")
                .with("issuer", self.summary.issuer)
                .with("signer", verified.signer));
        }
        if verified.document.get("@context") != self.document.get("@context") {
            return Err(Error::corrupt_data("the credential has contexts that its issuer did not sign"));
        }
        Ok(())
    }

    /// What the credential says, without claims and proof.
    pub fn summary(&self) -> &CredentialSummary {
        &self.summary
    }

    /// The identifier in this wallet; see [`CredentialSummary::id`].
    pub fn id(&self) -> &str {
        &self.summary.id
    }

    /// KwaaiNet's type, when it has one.
    pub fn kind(&self) -> Option<CredentialType> {
        self.summary.kind
    }

    /// Who issued and signed it.
    pub fn issuer(&self) -> Did {
        self.summary.issuer
    }

    /// Whom it is about, when that is one subject with a did:key.
    pub fn subject(&self) -> Option<Did> {
        self.summary.subject
    }

    /// Whether it names a place where its issuer may revoke it.
    pub fn is_revocable(&self) -> bool {
        self.revocable
    }

    /// What it says about its one subject, `id` included; `None` when it has several subjects.
    pub fn claims(&self) -> Option<&Map<String, Value>> {
        self.document.get("credentialSubject").and_then(only_object)
    }

    /// The whole document with its proof.
    pub fn document(&self) -> &Map<String, Value> {
        &self.document
    }

    /// The whole document with its proof, as compact JSON text that reads back the same.
    pub fn to_json(&self) -> String {
        Value::Object(self.document.clone()).to_string()
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// The SHA-256 of the canonical content, as an identifier. The proof is left out, so that a renewed proof replaces the
/// old one; an identifier of this very form is left out because it cannot contain itself.
fn content_id(document: &Map<String, Value>) -> Result<String> {
    let mut content = document.clone();
    content.remove("proof");
    if content.get("id").and_then(Value::as_str).is_some_and(|id| id.starts_with(CONTENT_ID)) {
        content.remove("id");
    }
    Ok(format!("{CONTENT_ID}{}", json::hex(&json::digest(&content)?)))
}

fn check_id(document: &Map<String, Value>, content_id: &str) -> Result<()> {
    match document.get("id") {
        None => Ok(()),
        Some(Value::String(id)) if id.starts_with(CONTENT_ID) && id != content_id => {
            Err(Error::corrupt_data("the credential's id is not the hash of its content"))
        }
        Some(Value::String(id)) if !id.is_empty() => Ok(()),
        Some(_) => Err(Error::invalid_argument("the credential's id is no text")),
    }
}

fn check_context(document: &Map<String, Value>) -> Result<()> {
    let first = match document.get("@context") {
        Some(Value::Array(list)) => list.first(),
        single => single,
    };
    match first.and_then(Value::as_str) {
        Some(CREDENTIALS_V2) => Ok(()),
        Some("https://www.w3.org/2018/credentials/v1") => {
            Err(Error::unsupported("the credential follows version 1.1 of the data model; version 2.0 is read here")
                .with_remedy("ask its issuer for one of version 2.0"))
        }
        _ => Err(Error::invalid_argument(format!("the credential's first context is not {CREDENTIALS_V2}"))),
    }
}

fn types(document: &Map<String, Value>) -> Result<Vec<String>> {
    let invalid = || Error::invalid_argument("the credential's type does not name VerifiableCredential");
    let names: Vec<String> = match document.get("type") {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().map(String::from)).collect::<Option<_>>().ok_or_else(invalid)?
        }
        _ => return Err(invalid()),
    };
    if names.iter().any(|name| name == "VerifiableCredential") { Ok(names) } else { Err(invalid()) }
}

fn issuer(document: &Map<String, Value>) -> Result<Did> {
    let id = match document.get("issuer") {
        Some(Value::Object(issuer)) => issuer.get("id"),
        plain => plain,
    };
    let id = id.and_then(Value::as_str).ok_or_else(|| Error::invalid_argument("the credential names no issuer"))?;
    if !id.starts_with("did:key:") {
        return Err(Error::unsupported(format!("the credential's issuer {id:.80?} is not a did:key")));
    }
    id.parse()
}

/// The one subject, when it has a did:key. Others are legal, and about nobody that this node can meet.
fn subject(document: &Map<String, Value>) -> Result<Option<Did>> {
    let invalid = || Error::invalid_argument("the credential's credentialSubject is no object with a textual id");
    let subjects = match document.get("credentialSubject") {
        Some(Value::Array(list)) if !list.is_empty() => list.as_slice(),
        Some(single @ Value::Object(_)) => std::slice::from_ref(single),
        _ => return Err(invalid()),
    };
    let mut found = None;
    for subject in subjects {
        match subject.as_object().ok_or_else(invalid)?.get("id") {
            None => {}
            Some(Value::String(id)) => found = id.parse().ok(),
            Some(_) => return Err(invalid()),
        }
    }
    Ok(found.filter(|_| subjects.len() == 1))
}

fn only_object(subject: &Value) -> Option<&Map<String, Value>> {
    match subject {
        Value::Array(list) if list.len() == 1 => list[0].as_object(),
        other => other.as_object(),
    }
}

fn date(document: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>> {
    document.get(name).map(|value| proof::date_time(name, value)).transpose()
}

fn end_of(start: Timestamp, lifetime: Duration) -> Result<Timestamp> {
    let seconds = lifetime.as_secs();
    if seconds == 0 {
        return Err(Error::invalid_argument("a credential holds for a second at least"));
    }
    start
        .checked_add(Duration::from_secs(seconds))
        .map_err(|error| Error::invalid_argument("the credential would end after the year 9999").with_source(error))
}
