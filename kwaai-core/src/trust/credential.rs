//! Credentials: W3C Verifiable Credentials Data Model 2.0, and 1.1 on reading, with KwaaiNet's types.

mod kind;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::proof::{Expected, Verified};
use super::rule::Rule;
use super::{json, proof, status_list};
use crate::identity::{Did, Signer};
use crate::{Error, ErrorCode, Result};

pub use kind::CredentialType;

/// The first context of every credential of the data model's version 2.0 (§4.3).
pub const CREDENTIALS_V2: &str = "https://www.w3.org/ns/credentials/v2";

/// The first context of every credential of the data model's version 1.1 (§4.1).
pub const CREDENTIALS_V1: &str = "https://www.w3.org/2018/credentials/v1";

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
            return Err(Rule::Subject
                .invalid(format!("a claim cannot be called {name:.60?}"))
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
        Credential::verify(&json::sorted(signed), now)
    }

    /// Reads a credential and checks its form and its proofs. All of them must hold, and the issuer's key must have made
    /// one of them; the others may be of anybody. It must not be from the future; whether it is still in force is a
    /// question for [`validity`](CredentialSummary::validity), because a credential may be kept when it has ended.
    ///
    /// Credentials of the data model 1.1 are read too, with the same proofs.
    ///
    /// # Errors
    /// `invalid_argument` when it is malformed or from the future, or when its proof has expired; `resource_exhausted` when it
    /// is too long or nested too deeply; `unsupported` for other suites and other DIDs; `corrupt_data` when anything in it
    /// was changed, or when its issuer did not sign it. The context names the [`Rule`].
    pub fn verify(text: &str, now: Timestamp) -> Result<Credential> {
        Credential::parse(text)?.verified(now)
    }

    /// The credential, once its proofs hold and it is not from the future.
    pub(super) fn verified(self, now: Timestamp) -> Result<Credential> {
        if let Some(from) = self.summary.valid_from.filter(|from| proof::is_future(*from, now)) {
            return Err(Rule::Dates
                .invalid(format!("the credential is from the future: it holds only from {from}"))
                .with_remedy("read it again when it holds, or set this machine's clock"));
        }
        // Nobody could ever say whether such a one was withdrawn. Entries of a type that is not known here are another matter.
        match status_list::entries(&self) {
            Err(error) if error.code() == ErrorCode::InvalidArgument => return Err(error),
            _ => {}
        }
        self.check_proof(now)?;
        Claims::check(&self)?;
        Ok(self)
    }

    /// Its proofs as they are written, unchecked.
    pub(super) fn written_proofs(&self) -> &[Value] {
        match self.document().get("proof") {
            Some(Value::Array(proofs)) => proofs,
            Some(single) => std::slice::from_ref(single),
            None => &[],
        }
    }

    /// The earliest end of its proofs; `None` when they do not end.
    pub(super) fn proof_until(&self) -> Option<Timestamp> {
        let expires = self.written_proofs().iter().filter_map(|proof| proof.get("expires"));
        expires.filter_map(|expires| proof::date_time("expires", expires).ok()).min()
    }

    /// Reads a credential and checks its form alone.
    pub(super) fn parse(text: &str) -> Result<Credential> {
        match json::parse(text)? {
            Value::Object(document) => Credential::read(document),
            _ => Err(Rule::Json.invalid("a credential is a JSON object")),
        }
    }

    /// Checks the form of a document whose JSON was read strictly.
    pub(super) fn read(document: Map<String, Value>) -> Result<Credential> {
        let (valid_from, valid_until) = dates(&document, model(&document)?)?;
        let mut summary = CredentialSummary {
            id: content_id(&document)?,
            kind: None,
            types: types(&document, "VerifiableCredential")?,
            issuer: issuer(&document)?,
            subject: subject(&document)?,
            valid_from,
            valid_until,
        };
        check_id(&document, &summary.id)?;
        let mut kinds = summary.types.iter().filter_map(|name| name.parse().ok());
        summary.kind = kinds.next();
        // A credential may name the summit's type in both of its spellings.
        if kinds.any(|other| Some(other) != summary.kind) {
            return Err(Rule::Type.invalid("a credential has one of KwaaiNet's types, not several"));
        }
        let revocable = document.contains_key("credentialStatus");
        Ok(Credential { document, summary, revocable })
    }

    /// Checks that the issuer signed all of it. Stricter than the suite: contexts that are not signed are refused too.
    pub(super) fn check_proof(&self, now: Timestamp) -> Result<()> {
        self.proofs(now).map(|_| ())
    }

    /// Checks every proof, and returns what each says, in their order: the issuer's, and those of others that stand beside
    /// it or build on it.
    ///
    /// # Errors
    /// As [`Credential::verify`].
    pub fn proofs(&self, now: Timestamp) -> Result<Vec<Verified>> {
        let proofs = proof::verify(&self.document, &Expected::assertion(now))?;
        if proofs.iter().all(|proof| proof.signer != self.summary.issuer) {
            return Err(Rule::Controller
                .corrupt("someone else than its issuer signed the credential")
                .with("issuer", self.summary.issuer)
                .with("signer", proofs.iter().map(|proof| proof.signer.to_string()).collect::<Vec<_>>().join(", ")));
        }
        check_contexts_signed(&self.document, &proofs)?;
        Ok(proofs)
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
        json::sorted(self.document.clone())
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
    let names_content = document.get("id").and_then(Value::as_str).is_some_and(|id| id.starts_with(CONTENT_ID));
    let left_out: &[&str] = if names_content { &["proof", "id"] } else { &["proof"] };
    Ok(format!("{CONTENT_ID}{}", json::hex(&json::digest_without(document, left_out)?)))
}

fn check_id(document: &Map<String, Value>, content_id: &str) -> Result<()> {
    match document.get("id") {
        None => Ok(()),
        Some(Value::String(id)) if id.starts_with(CONTENT_ID) && id != content_id => {
            Err(Rule::Id.corrupt("the credential's id is not the hash of its content"))
        }
        Some(Value::String(id)) if !id.is_empty() => Ok(()),
        Some(_) => Err(Rule::Id.invalid("the credential's id is no text")),
    }
}

/// A version of the W3C's data model, and what its members are called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    context: &'static str,
    valid_from: &'static str,
    valid_until: &'static str,
}

pub(super) const MODEL_2: Model = Model { context: CREDENTIALS_V2, valid_from: "validFrom", valid_until: "validUntil" };
const MODEL_1: Model = Model { context: CREDENTIALS_V1, valid_from: "issuanceDate", valid_until: "expirationDate" };

/// The version of the data model, which the first context tells. A document that has contexts or dates of both is refused,
/// because readers of one version would not see what the other says.
pub(super) fn model(document: &Map<String, Value>) -> Result<Model> {
    let contexts = match document.get("@context") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    let (model, other) = match contexts.first().and_then(Value::as_str) {
        Some(CREDENTIALS_V2) => (MODEL_2, MODEL_1),
        Some(CREDENTIALS_V1) => (MODEL_1, MODEL_2),
        _ => {
            return Err(Rule::Context
                .invalid(format!("the document's first context is neither {CREDENTIALS_V2} nor {CREDENTIALS_V1}")));
        }
    };
    if contexts.iter().any(|context| !context.is_string() && !context.is_object()) {
        return Err(Rule::Context.invalid("one of the document's contexts is neither a URL nor an object"));
    }
    if contexts[1..].iter().any(|context| context == other.context) {
        return Err(Rule::Version.invalid("the document has the contexts of two versions of the data model"));
    }
    match [other.valid_from, other.valid_until].into_iter().find(|name| document.contains_key(*name)) {
        Some(name) => Err(Rule::Version.invalid(format!(
            "{name} belongs to another version of the data model than the context {}",
            model.context
        ))),
        None => Ok(model),
    }
}

/// Refuses a document with contexts that one of its proofs does not cover.
pub(super) fn check_contexts_signed(document: &Map<String, Value>, proofs: &[Verified]) -> Result<()> {
    if proofs.iter().any(|proof| proof.document.get("@context") != document.get("@context")) {
        return Err(Rule::Context.corrupt("the document has contexts that were not signed"));
    }
    Ok(())
}

/// The types of a document, one of which must say what it is.
pub(super) fn types(document: &Map<String, Value>, wanted: &str) -> Result<Vec<String>> {
    let invalid = || Rule::Type.invalid(format!("the document's type does not name {wanted}"));
    let names: Vec<String> = match document.get("type") {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().map(String::from)).collect::<Option<_>>().ok_or_else(invalid)?
        }
        _ => return Err(invalid()),
    };
    if names.iter().any(|name| name == wanted) { Ok(names) } else { Err(invalid()) }
}

fn issuer(document: &Map<String, Value>) -> Result<Did> {
    party(document, "issuer", Rule::Issuer)
}

/// Somebody who signs the document: a did:key, or an object with one as its `id`.
pub(super) fn party(document: &Map<String, Value>, name: &str, rule: Rule) -> Result<Did> {
    let id = match document.get(name) {
        Some(Value::Object(party)) => party.get("id"),
        plain => plain,
    };
    let id = id.and_then(Value::as_str).ok_or_else(|| rule.invalid(format!("the document names no {name}")))?;
    if !id.starts_with("did:key:") {
        return Err(rule.unsupported(format!("the document's {name} {id:.80?} is not a did:key")));
    }
    id.parse().map_err(|error: Error| error.with("rule", rule))
}

/// The one subject, when it has a did:key. Others are legal, and about nobody that this node can meet.
fn subject(document: &Map<String, Value>) -> Result<Option<Did>> {
    let invalid = || Rule::Subject.invalid("the credential's credentialSubject is no object with a textual id");
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

/// From when until when the credential holds. Version 1.1 requires the first date (§4.6).
fn dates(document: &Map<String, Value>, model: Model) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let date = |name: &str| document.get(name).map(|value| proof::date_time(name, value)).transpose();
    let (from, until) = (date(model.valid_from)?, date(model.valid_until)?);
    if from.is_none() && model == MODEL_1 {
        return Err(Rule::Dates.invalid(format!("the credential has no {}", model.valid_from)));
    }
    if from.zip(until).is_some_and(|(from, until)| until < from) {
        let message = format!("{} lies before {}", model.valid_until, model.valid_from);
        return Err(Rule::Dates.invalid(message));
    }
    Ok((from, until))
}

fn end_of(start: Timestamp, lifetime: Duration) -> Result<Timestamp> {
    let seconds = lifetime.as_secs();
    if seconds == 0 {
        return Err(Rule::Dates.invalid("a credential holds for a second at least"));
    }
    start
        .checked_add(Duration::from_secs(seconds))
        .map_err(|error| Rule::Dates.invalid("the credential would end after the year 9999").with_source(error))
}
