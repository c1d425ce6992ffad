//! did:peer with numalgo 2: keys with their purposes, and services, one behind the other; and numalgo 3, the hash of it
//! (Peer DID Method Specification, "Method 2" and "Method 3").

use multibase::Base;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::document::{DidDocument, Relation, Service};
use super::multikey::Multikey;
use super::refusal::{INVALID_DID, INVALID_DOCUMENT, INVALID_RELATION};
use crate::Result;
use crate::trust::json;

pub(super) const PREFIX: &str = "did:peer:2";

/// The contexts that the method prescribes.
const CONTEXTS: [&str; 2] = ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"];

/// The most keys and services that one DID carries.
const MAX_ELEMENTS: usize = 32;

/// Member names with their abbreviations; `dm` stands for a type alone.
const ABBREVIATIONS: [(&str, &str); 4] =
    [("type", "t"), ("serviceEndpoint", "s"), ("routingKeys", "r"), ("accept", "a")];
const DIDCOMM: (&str, &str) = ("DIDCommMessaging", "dm");

/// What a `did:peer:2` is made of.
#[derive(Clone)]
pub(super) struct Elements {
    keys: Vec<(Relation, Multikey)>,
    services: Vec<Service>,
}

impl Elements {
    /// Reads what stands behind `did:peer:2`, which begins with a dot.
    pub(super) fn parse(text: &str) -> Result<Elements> {
        let elements =
            text.strip_prefix('.').ok_or_else(|| INVALID_DID.invalid("a did:peer:2 has a dot behind the 2"))?;
        let mut keys = Vec::new();
        let mut services = Vec::new();
        for (index, element) in elements.split('.').enumerate() {
            if index == MAX_ELEMENTS {
                let message = format!("the DID has more than {MAX_ELEMENTS} keys and services");
                return Err(INVALID_DID.too_large(message, MAX_ELEMENTS));
            }
            let purpose = element.chars().next();
            match purpose.and_then(Relation::of_purpose) {
                Some(relation) => {
                    let key = Multikey::parse(&element[1..])?;
                    check_use(relation, &key)?;
                    keys.push((relation, key));
                }
                None if purpose == Some('S') => services.push(decode_service(&element[1..])?),
                None => {
                    return Err(
                        INVALID_DID.invalid("an element of a did:peer:2 begins with one of A, D, E, I, S and V")
                    );
                }
            }
        }
        let mut unnamed = 0;
        for service in &mut services {
            if !service.contains_key("id") {
                let id = if unnamed == 0 { "#service".to_string() } else { format!("#service-{unnamed}") };
                service.insert("id".into(), id.into());
                unnamed += 1;
            }
        }
        let services = services.into_iter().map(Service::new).collect::<Result<Vec<_>>>()?;
        let elements = Elements { keys, services };
        elements.check_ids()?;
        Ok(elements)
    }

    pub(super) fn services(&self) -> &[Service] {
        &self.services
    }

    pub(super) fn document(&self, id: &str, also_known_as: &str) -> DidDocument {
        let mut document = DidDocument::empty(&CONTEXTS, id, &[also_known_as]);
        for (index, (relation, key)) in self.keys.iter().enumerate() {
            document.add_key(&key_id(index), id, key, &[*relation]);
        }
        for service in &self.services {
            document.add_service(service);
        }
        document
    }

    fn check_ids(&self) -> Result<()> {
        let mut ids: Vec<String> = (0..self.keys.len()).map(key_id).collect();
        for service in &self.services {
            if ids.iter().any(|id| id == service.id()) {
                return Err(INVALID_DOCUMENT.invalid(format!("two parts of the DID have the id {:.80?}", service.id())));
            }
            ids.push(service.id().to_string());
        }
        Ok(())
    }
}

/// The text of a `did:peer:2` with these keys, in this order, and these services.
pub(super) fn write(keys: &[(Relation, Multikey)], services: &[Map<String, Value>]) -> Result<String> {
    let mut text = String::from(PREFIX);
    for (relation, key) in keys {
        check_use(*relation, key)?;
        text.push('.');
        text.push(relation.purpose());
        text.push_str(&key.to_string());
    }
    for service in services {
        text.push_str(".S");
        text.push_str(&encode_service(service));
    }
    Ok(text)
}

/// The `did:peer:3` of a `did:peer:2`: the hash of what stands behind the 2, the first dot with it.
pub(super) fn short_form(long: &str) -> String {
    format!("did:peer:3{}", multihash(&long[PREFIX.len()..]))
}

/// The SHA-256 of a text as a multihash in base58btc, `zQm…`.
pub(super) fn multihash(text: &str) -> String {
    let mut bytes = vec![0x12, 0x20];
    bytes.extend_from_slice(&Sha256::digest(text));
    format!("z{}", bs58::encode(bytes).into_string())
}

fn key_id(index: usize) -> String {
    format!("#key-{}", index + 1)
}

fn check_use(relation: Relation, key: &Multikey) -> Result<()> {
    let fits = if relation == Relation::KeyAgreement { key.kind().agrees() } else { key.kind().signs() };
    if fits {
        return Ok(());
    }
    Err(INVALID_RELATION.invalid(format!("a key of the kind {} is of no use under {relation}", key.kind())))
}

fn encode_service(service: &Map<String, Value>) -> String {
    Base::Base64Url.encode(json::sorted(abbreviate(service)))
}

fn decode_service(encoded: &str) -> Result<Map<String, Value>> {
    let malformed = || INVALID_DID.invalid("a service of the DID is not unpadded base64url of JSON");
    let bytes = Base::Base64Url.decode(encoded).map_err(|error| malformed().with_source(error))?;
    let text = String::from_utf8(bytes).map_err(|error| malformed().with_source(error))?;
    match json::parse(&text).map_err(|error| INVALID_DID.error(error.code(), error.message()).with_source(error))? {
        Value::Object(service) => expand(service),
        _ => {
            Err(INVALID_DID.invalid("a service of the DID is not a JSON object; each stands in an element of its own"))
        }
    }
}

fn abbreviate(members: &Map<String, Value>) -> Map<String, Value> {
    let short =
        |name: &str| ABBREVIATIONS.iter().find(|(long, _)| *long == name).map_or(name, |(_, short)| *short).to_string();
    members
        .iter()
        .map(|(name, value)| match value {
            Value::String(kind) if name == "type" && kind == DIDCOMM.0 => (short(name), DIDCOMM.1.into()),
            other => (short(name), abbreviate_value(other)),
        })
        .collect()
}

fn abbreviate_value(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(abbreviate(members)),
        Value::Array(list) => list.iter().map(abbreviate_value).collect(),
        other => other.clone(),
    }
}

fn expand(members: Map<String, Value>) -> Result<Map<String, Value>> {
    let mut expanded = Map::new();
    for (name, value) in members {
        let long = ABBREVIATIONS.iter().find(|(_, short)| *short == name).map_or(name.as_str(), |(long, _)| *long);
        let value = match value {
            Value::String(kind) if long == "type" && kind == DIDCOMM.1 => DIDCOMM.0.into(),
            other => expand_value(other)?,
        };
        if expanded.contains_key(long) {
            return Err(
                INVALID_DID.invalid(format!("a service of the DID has the member {long:.80?} twice, once abbreviated"))
            );
        }
        expanded.insert(long.to_string(), value);
    }
    Ok(expanded)
}

fn expand_value(value: Value) -> Result<Value> {
    Ok(match value {
        Value::Object(members) => Value::Object(expand(members)?),
        Value::Array(list) => Value::Array(list.into_iter().map(expand_value).collect::<Result<_>>()?),
        other => other,
    })
}
