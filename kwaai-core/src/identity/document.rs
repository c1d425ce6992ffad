//! DID documents: which keys an identity has, what each may be used for, and where it can be reached (DID 1.1 §5,
//! Controlled Identifiers 1.0 §2).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

use super::multikey::{KeyKind, Multikey};
use super::refusal::{INVALID_DID, INVALID_DOCUMENT, INVALID_RELATION, INVALID_URL, NOT_FOUND, UNSUPPORTED_KEY};
use super::text::{MAX_DID_BYTES, Spelling};
use super::{Did, DidText};
use crate::trust::json;
use crate::{Error, Result};

/// The context of DID 1.1, which defines `Multikey` too.
pub(super) const DID_CONTEXT: &str = "https://www.w3.org/ns/did/v1.1";

/// The longest fragment of a DID URL, in bytes. The longest of ours is a key in base58btc.
const MAX_FRAGMENT: usize = 1024;

/// What a key of an identity may be used for (Controlled Identifiers 1.0 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// To prove control of the identity.
    Authentication,
    /// To say something, as a credential does.
    AssertionMethod,
    /// To agree on a secret.
    KeyAgreement,
    /// To use a capability.
    CapabilityInvocation,
    /// To pass a capability on.
    CapabilityDelegation,
}

impl Relation {
    /// Every relation.
    pub const ALL: [Relation; 5] = [
        Relation::Authentication,
        Relation::AssertionMethod,
        Relation::KeyAgreement,
        Relation::CapabilityInvocation,
        Relation::CapabilityDelegation,
    ];

    /// The relations whose keys sign.
    pub(super) const SIGNING: [Relation; 4] = [
        Relation::Authentication,
        Relation::AssertionMethod,
        Relation::CapabilityInvocation,
        Relation::CapabilityDelegation,
    ];

    /// The member of a DID document that lists its keys, which is also what a proof calls its purpose.
    pub fn as_str(self) -> &'static str {
        match self {
            Relation::Authentication => "authentication",
            Relation::AssertionMethod => "assertionMethod",
            Relation::KeyAgreement => "keyAgreement",
            Relation::CapabilityInvocation => "capabilityInvocation",
            Relation::CapabilityDelegation => "capabilityDelegation",
        }
    }

    /// The purpose code of `did:peer:2`.
    pub(super) fn purpose(self) -> char {
        match self {
            Relation::Authentication => 'V',
            Relation::AssertionMethod => 'A',
            Relation::KeyAgreement => 'E',
            Relation::CapabilityInvocation => 'I',
            Relation::CapabilityDelegation => 'D',
        }
    }

    pub(super) fn of_purpose(code: char) -> Option<Relation> {
        Relation::ALL.into_iter().find(|relation| relation.purpose() == code)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Relation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Relation> {
        Relation::ALL
            .into_iter()
            .find(|relation| relation.as_str() == text)
            .ok_or_else(|| INVALID_RELATION.invalid(format!("{text:.60?} is no relation of a key to its identity")))
    }
}

/// A service of a DID document, checked: a relative id, a type, an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Service(Map<String, Value>);

impl Service {
    pub(super) fn new(members: Map<String, Value>) -> Result<Service> {
        relative_id(&members)?;
        let typed = match members.get("type") {
            Some(Value::String(kind)) => !kind.is_empty(),
            Some(Value::Array(kinds)) => !kinds.is_empty() && kinds.iter().all(Value::is_string),
            _ => false,
        };
        if !typed {
            return Err(INVALID_DOCUMENT.invalid("a service has no type"));
        }
        match members.get("serviceEndpoint") {
            Some(Value::String(_) | Value::Object(_) | Value::Array(_)) => Ok(Service(members)),
            _ => Err(INVALID_DOCUMENT.invalid("a service has no serviceEndpoint")),
        }
    }

    /// The id, relative to the DID: `#service`.
    pub fn id(&self) -> &str {
        self.0.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is of this type.
    pub fn is_of_type(&self, name: &str) -> bool {
        match self.0.get("type") {
            Some(Value::Array(names)) => names.iter().any(|one| one == name),
            Some(one) => one == name,
            None => false,
        }
    }

    /// Where it is: a URI, a map, or a list of them.
    pub fn endpoint(&self) -> &Value {
        self.0.get("serviceEndpoint").unwrap_or(&Value::Null)
    }

    /// All of its members.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// A DID document. As JSON it has its members in the order of their names, so one DID gives the same bytes always.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct DidDocument(Map<String, Value>);

impl DidDocument {
    pub(super) fn empty(contexts: &[&str], id: &str, also_known_as: &[&str]) -> DidDocument {
        let mut members = Map::new();
        members.insert("@context".into(), contexts.into());
        members.insert("id".into(), id.into());
        members.insert("alsoKnownAs".into(), also_known_as.into());
        DidDocument(members)
    }

    /// A document as its method made it, whose parts were checked.
    pub(super) fn checked(members: Map<String, Value>) -> DidDocument {
        DidDocument(members)
    }

    /// The document of a DID that is nothing but an Ed25519 key (did:key "Document Creation Algorithm" with encryption
    /// key derivation), which holds for `did:peer:0` alike and is made after the same pattern for KwaaiNet's form.
    pub(super) fn of_key(text: &str, spelling: Spelling, did: &Did) -> Result<DidDocument> {
        let names = [did.to_text()?, did.to_peer_0()?, did.to_kwaainet()?];
        let others: Vec<&str> = names.iter().filter(|name| name.spelling() != spelling).map(DidText::as_str).collect();
        let (key, agreement) = (Multikey::from(did), Multikey::agreement_of(did)?);
        let mut document = DidDocument::empty(&[DID_CONTEXT], text, &others);
        let id = |key: &Multikey, number: u32| match spelling {
            Spelling::KwaaiNet => format!("{text}#key-{number}"),
            _ => format!("{text}#{key}"),
        };
        document.add_key(&id(&key, 1), text, &key, &Relation::SIGNING);
        document.add_key(&id(&agreement, 2), text, &agreement, &[Relation::KeyAgreement]);
        Ok(document)
    }

    pub(super) fn add_key(&mut self, id: &str, controller: &str, key: &Multikey, relations: &[Relation]) {
        let mut method = multikey_method(id, key);
        method.insert("controller".into(), controller.into());
        self.push("verificationMethod", Value::Object(method));
        for relation in relations {
            self.push(relation.as_str(), id.into());
        }
    }

    pub(super) fn add_service(&mut self, service: &Service) {
        self.push("service", Value::Object(service.0.clone()));
    }

    fn push(&mut self, member: &str, value: Value) {
        if let Value::Array(list) = self.0.entry(member).or_insert_with(|| Value::Array(Vec::new())) {
            list.push(value);
        }
    }

    /// The DID that it is the document of.
    pub fn id(&self) -> &str {
        self.0.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// The members of the document.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The document as JSON text.
    pub fn to_json(&self) -> String {
        json::sorted(self.0.clone())
    }

    /// The key of a verification method, given as a DID URL of this document or as its fragment, `#key-1`. Ids are
    /// compared as text, byte for byte.
    ///
    /// # Errors
    /// `invalid_argument` when the document has no such method or does not list it under the relation; `unsupported`
    /// when another DID controls it, or it is of a type or kind that is not read.
    pub fn key(&self, method: &str, relation: Relation) -> Result<Multikey> {
        let wanted = self.absolute(method);
        let listed = self.list(relation.as_str()).iter().find(|entry| match entry {
            Value::String(reference) => self.absolute(reference) == wanted,
            Value::Object(embedded) => self.is_method(embedded, &wanted),
            _ => false,
        });
        match listed {
            Some(entry) => self.key_of(self.method(entry)?),
            None if self.methods().any(|found| self.is_method(found, &wanted)) => {
                Err(INVALID_RELATION.invalid(format!("the verification method is not listed under {relation}")))
            }
            None => Err(INVALID_URL.invalid("the verification method names a key that its DID does not have")),
        }
    }

    /// The one Ed25519 key that everything signed for this identity is signed with; see [`DidText::did`].
    pub(super) fn sole_signer(&self) -> Result<Did> {
        let mut signers = BTreeSet::new();
        for relation in Relation::SIGNING {
            for entry in self.list(relation.as_str()) {
                signers.insert(self.key_of(self.method(entry)?)?);
            }
        }
        let speaks = [Relation::Authentication, Relation::AssertionMethod]
            .iter()
            .any(|relation| !self.list(relation.as_str()).is_empty());
        match (signers.len(), signers.first()) {
            (1, Some(key)) if speaks => key.ed25519(),
            (0 | 1, _) => Err(NOT_FOUND.unsupported("the DID lists no key under authentication or assertionMethod")),
            (several, _) => Err(UNSUPPORTED_KEY.unsupported(format!(
                "the DID lists {several} keys that sign, and an identity is one of them; nothing says which"
            ))),
        }
    }

    fn list(&self, member: &str) -> &[Value] {
        self.0.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn methods(&self) -> impl Iterator<Item = &Map<String, Value>> {
        let members = std::iter::once("verificationMethod").chain(Relation::ALL.map(Relation::as_str));
        members.flat_map(|member| self.list(member)).filter_map(Value::as_object)
    }

    fn is_method(&self, method: &Map<String, Value>, absolute: &str) -> bool {
        method.get("id").and_then(Value::as_str).is_some_and(|id| self.absolute(id) == absolute)
    }

    /// What an entry under a relation stands for: itself, or the method that it refers to.
    fn method<'a>(&'a self, entry: &'a Value) -> Result<&'a Map<String, Value>> {
        match entry {
            Value::Object(embedded) => Ok(embedded),
            Value::String(reference) => {
                let wanted = self.absolute(reference);
                self.methods().find(|found| self.is_method(found, &wanted)).ok_or_else(|| {
                    NOT_FOUND.unsupported("the DID lists a key by a reference to somewhere else, which is not followed")
                })
            }
            _ => Err(INVALID_DOCUMENT.invalid("an entry under a relation is neither a reference nor a method")),
        }
    }

    fn key_of(&self, method: &Map<String, Value>) -> Result<Multikey> {
        let text = |name: &str| method.get(name).and_then(Value::as_str);
        if text("controller") != Some(self.id()) {
            return Err(INVALID_RELATION.unsupported("the verification method is under the control of another DID"));
        }
        let only = match text("type") {
            Some("Multikey") => None,
            Some("Ed25519VerificationKey2020") => Some(KeyKind::Ed25519),
            Some("X25519KeyAgreementKey2020") => Some(KeyKind::X25519),
            other => {
                let kind = other.unwrap_or_default();
                return Err(
                    UNSUPPORTED_KEY.unsupported(format!("a verification method of the type {kind:.60?} is not read"))
                );
            }
        };
        let encoded = text("publicKeyMultibase")
            .ok_or_else(|| INVALID_DOCUMENT.invalid("a verification method has no publicKeyMultibase"))?;
        let key = Multikey::parse(encoded)?;
        if only.is_some_and(|only| only != key.kind()) {
            return Err(INVALID_DOCUMENT.invalid("a verification method's type and its key are of different kinds"));
        }
        Ok(key)
    }

    fn absolute(&self, reference: &str) -> String {
        if reference.starts_with('#') { format!("{}{reference}", self.id()) } else { reference.to_string() }
    }
}

/// The Ed25519 key behind a verification method: a DID URL in any spelling whose text carries the key. The fragment is
/// what the method of the DID makes it: the key itself in multibase for `did:key` and `did:peer:0`, `#key-1` and so on
/// for `did:peer:2`, the id in its document for `did:peer:4`, and `#key-1` for KwaaiNet's form. The document must list
/// the method under `relation`.
///
/// # Errors
/// `invalid_argument` when the text is no DID URL with a fragment, its DID is malformed, or its document has no such
/// method under that relation; `unsupported` when the DID carries no document, or the key is another kind than Ed25519;
/// `resource_exhausted` when the text is longer than is read; `corrupt_data` when a `did:peer:4` and its hash differ.
pub fn verification_key(url: &str, relation: Relation) -> Result<Did> {
    let limit = MAX_DID_BYTES + MAX_FRAGMENT;
    if url.len() > limit {
        return Err(INVALID_URL.too_large(format!("the DID URL has {} bytes, {limit} are the limit", url.len()), limit));
    }
    let (did, _) = url
        .split_once('#')
        .filter(|(_, fragment)| !fragment.is_empty())
        .ok_or_else(|| INVALID_URL.invalid("the verification method names no key of its DID, behind a #"))?;
    did.parse::<DidText>()?.document()?.key(url, relation)?.ed25519()
}

/// A verification method of the type Multikey, without its controller.
pub(super) fn multikey_method(id: &str, key: &Multikey) -> Map<String, Value> {
    let mut method = Map::new();
    method.insert("id".into(), id.into());
    method.insert("type".into(), "Multikey".into());
    method.insert("publicKeyMultibase".into(), key.to_string().into());
    method
}

/// The id of a part of a document, which is a fragment.
pub(super) fn relative_id(members: &Map<String, Value>) -> Result<&str> {
    let id = members.get("id").and_then(Value::as_str).filter(|id| id.len() > 1 && id.len() <= MAX_FRAGMENT);
    id.filter(|id| id.starts_with('#'))
        .ok_or_else(|| INVALID_DID.invalid("a part of the DID's document has no id that begins with #"))
}
