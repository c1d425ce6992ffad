//! did:peer with numalgo 4: a whole document in the identifier, and the hash of it as a short form (Peer DID Method
//! Specification, "Method 4"); and the hash that numalgo 1, 3 and 4 have in common.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Did;
use super::document::{DID_CONTEXT, DidDocument, Relation, Service, multikey_method, relative_id};
use super::multikey::Multikey;
use super::peer2::multihash;
use super::refusal::{INVALID_DID, INVALID_DOCUMENT};
use crate::trust::json;
use crate::{ErrorCode, Result};

pub(super) const PREFIX: &str = "did:peer:4";

/// The multicodec `json` as a varint.
const JSON: [u8; 2] = [0x80, 0x04];

/// 34 bytes never need more characters of base58 than this.
const MAX_HASH: usize = 47;

/// The most methods, references and services in one document.
const MAX_PARTS: usize = 64;

/// The document of a `did:peer:4` before it knows its own DID, checked.
#[derive(Clone)]
pub(super) struct InputDocument(Map<String, Value>);

impl InputDocument {
    /// Reads both parts of a long form: the hash and the encoded document, each in base58btc behind a `z`.
    pub(super) fn parse(hash_text: &str, encoded: &str) -> Result<InputDocument> {
        hash(hash_text)?;
        let digits = encoded
            .strip_prefix('z')
            .ok_or_else(|| INVALID_DID.invalid("the document of the DID is not in base58btc, which begins with z"))?;
        if multihash(encoded) != hash_text {
            return Err(
                INVALID_DID.error(ErrorCode::CorruptData, "the DID's document and its hash do not belong together")
            );
        }
        let bytes = bs58::decode(digits)
            .into_vec()
            .map_err(|error| INVALID_DID.invalid("the document of the DID is not base58btc").with_source(error))?;
        let text = bytes
            .strip_prefix(&JSON)
            .and_then(|text| std::str::from_utf8(text).ok())
            .ok_or_else(|| INVALID_DID.invalid("the document of the DID is not JSON by its multicodec"))?;
        match json::parse(text).map_err(|error| INVALID_DID.error(error.code(), error.message()).with_source(error))? {
            Value::Object(document) => InputDocument::new(document),
            _ => Err(INVALID_DOCUMENT.invalid("the document of the DID is not a JSON object")),
        }
    }

    pub(super) fn new(document: Map<String, Value>) -> Result<InputDocument> {
        if document.is_empty() || document.contains_key("id") {
            return Err(INVALID_DOCUMENT.invalid("the document of a did:peer:4 has members, and no id of its own"));
        }
        if document.get("alsoKnownAs").is_some_and(|names| !is_list_of_texts(names)) {
            return Err(INVALID_DOCUMENT.invalid("alsoKnownAs is not a list of texts"));
        }
        let mut ids = BTreeSet::new();
        let mut parts = 0;
        let relations = Relation::ALL.map(Relation::as_str);
        for member in ["verificationMethod", "service"].into_iter().chain(relations) {
            let list = match document.get(member) {
                None => continue,
                Some(Value::Array(list)) => list,
                Some(_) => return Err(INVALID_DOCUMENT.invalid(format!("{member} is not a list"))),
            };
            parts += list.len();
            if parts > MAX_PARTS {
                let message = format!("the document of the DID has more than {MAX_PARTS} parts");
                return Err(INVALID_DOCUMENT.too_large(message, MAX_PARTS));
            }
            for part in list {
                match part {
                    Value::Object(part) => {
                        let id = relative_id(part)?;
                        if !ids.insert(id) {
                            return Err(INVALID_DOCUMENT.invalid(format!("two parts of the DID have the id {id:.80?}")));
                        }
                        if member == "service" {
                            Service::new(part.clone())?;
                        } else if !part.get("type").is_some_and(Value::is_string) {
                            return Err(INVALID_DOCUMENT.invalid("a verification method has no type"));
                        }
                    }
                    Value::String(_) if relations.contains(&member) => {}
                    _ => return Err(INVALID_DOCUMENT.invalid(format!("{member} lists something that it cannot"))),
                }
            }
        }
        Ok(InputDocument(document))
    }

    /// The document of an identity that is one key.
    pub(super) fn of_key(did: &Did, service: Option<Map<String, Value>>) -> Result<InputDocument> {
        let mut document = Map::new();
        document.insert("@context".into(), vec![DID_CONTEXT].into());
        let methods: Vec<Value> = [("#key-1", Multikey::from(did)), ("#key-2", Multikey::agreement_of(did)?)]
            .iter()
            .map(|(id, key)| Value::Object(multikey_method(id, key)))
            .collect();
        document.insert("verificationMethod".into(), methods.into());
        for relation in Relation::SIGNING {
            document.insert(relation.as_str().into(), vec!["#key-1"].into());
        }
        document.insert(Relation::KeyAgreement.as_str().into(), vec!["#key-2"].into());
        if let Some(service) = service {
            document.insert("service".into(), vec![Value::Object(service)].into());
        }
        InputDocument::new(document)
    }

    /// The long form.
    pub(super) fn long_form(&self) -> String {
        let mut bytes = JSON.to_vec();
        bytes.extend_from_slice(json::sorted(self.0.clone()).as_bytes());
        let encoded = format!("z{}", bs58::encode(bytes).into_string());
        format!("{PREFIX}{}:{encoded}", multihash(&encoded))
    }

    pub(super) fn services(&self) -> Vec<Service> {
        let listed = self.0.get("service").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        listed.iter().filter_map(Value::as_object).filter_map(|members| Service::new(members.clone()).ok()).collect()
    }

    /// The document of `did`, which is also known as `other`: the long and the short form, one way or the other.
    pub(super) fn contextualised(&self, did: &str, other: &str) -> DidDocument {
        let mut document = self.0.clone();
        document.insert("id".into(), did.into());
        if let Value::Array(names) = document.entry("alsoKnownAs").or_insert_with(|| Value::Array(Vec::new())) {
            names.push(other.into());
        }
        for member in std::iter::once("verificationMethod").chain(Relation::ALL.map(Relation::as_str)) {
            for method in document.get_mut(member).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Value::Object(method) = method {
                    method.entry("controller").or_insert_with(|| did.into());
                }
            }
        }
        DidDocument::checked(document)
    }
}

/// The short form of a long one: the text before the second colon of its own part.
pub(super) fn short_form(long: &str) -> &str {
    long[PREFIX.len()..].find(':').map_or(long, |at| &long[..PREFIX.len() + at])
}

/// Checks a SHA-256 multihash in base58btc, `zQm…`.
pub(super) fn hash(text: &str) -> Result<()> {
    let invalid = || INVALID_DID.invalid("the hash of the DID is not a SHA-256 multihash in base58btc");
    let digits = text.strip_prefix('z').filter(|digits| digits.len() <= MAX_HASH).ok_or_else(invalid)?;
    let bytes = bs58::decode(digits).into_vec().map_err(|error| invalid().with_source(error))?;
    if bytes.len() == 34 && bytes.starts_with(&[0x12, 0x20]) { Ok(()) } else { Err(invalid()) }
}

fn is_list_of_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
}
