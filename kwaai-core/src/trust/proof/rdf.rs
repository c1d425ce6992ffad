//! The canonical form of a document as RDF: JSON-LD 1.1 to N-Quads in the order and with the blank nodes of RDF Dataset
//! Canonicalization 1.0.
//!
//! Contexts decide what a document says, so only those that are pinned here count, and nothing is ever loaded.
//!
//! JSON-LD leaves out what its contexts do not define: a claim under an unknown name, an identifier that is no IRI. Such
//! a claim would stand in the document and not under its signature. So the statements are counted: the document has as
//! many as its values, or it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;

use affinidi_rdf_encoding::jsonld::bundled::get_bundled_context;
use oxjsonld::{JsonLdParser, JsonLdRemoteDocument};
use oxrdf::dataset::{CanonicalizationAlgorithm, CanonicalizationHashAlgorithm};
use oxrdf::vocab::rdf;
use oxrdf::{BlankNodeRef, Dataset, GraphNameRef, NamedNodeRef, NamedOrBlankNodeRef, QuadRef, TermRef};
use serde_json::{Map, Value};

use crate::Result;
use crate::trust::json;
use crate::trust::rule::Rule;

const EXAMPLES_V2: &str = "https://www.w3.org/ns/credentials/examples/v2";
const UNDEFINED_TERMS_V2: &str = "https://www.w3.org/ns/credentials/undefined-terms/v2";
const ED25519_2020: &str = "https://w3id.org/security/suites/ed25519-2020/v1";

const CITIZENSHIP_V4: &str = "https://w3id.org/citizenship/v4rc1";

const RDF_JSON: NamedNodeRef<'static> = NamedNodeRef::new_unchecked("http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON");

/// So many blank nodes may look alike from where they stand. Telling such apart takes time that grows with their
/// permutations, which an attacker could make endless (RDF Dataset Canonicalization 1.0 §7.1).
const MAX_ALIKE: usize = 6;
const MAX_BLANK_NODES: usize = 256;

/// Documents name a few; each costs its reader as much as all that it defines.
const MAX_CONTEXTS: usize = 8;

/// The canonical N-Quads of a JSON-LD document (RDF Dataset Canonicalization 1.0, with SHA-256).
///
/// # Errors
/// `unsupported` for contexts that are not pinned, keywords, JSON literals, lists, null and empty values; `corrupt_data`
/// when the contexts do not define everything in the document; `invalid_argument` when it is no JSON-LD, or names a context twice;
/// `resource_exhausted` when it names more than 8 contexts, or too many nodes without an id are alike. The context names the [`Rule`].
pub fn canonical(document: &Map<String, Value>) -> Result<String> {
    check_contexts(document)?;
    let expected = statements(document)?;
    let text = json::sorted(document.clone());
    let parser = JsonLdParser::new().for_slice(&text).with_load_document_callback(|url, _| pinned(url));
    let (mut dataset, mut found) = (Dataset::new(), 0);
    for quad in parser {
        let quad = quad.map_err(|error| Rule::Context.invalid("the document is no JSON-LD").with_source(error))?;
        let is_literal_json = matches!(&quad.object, oxrdf::Term::Literal(text) if text.datatype() == RDF_JSON);
        if is_literal_json || quad.predicate == rdf::FIRST {
            return Err(
                Rule::Context.unsupported("the document has JSON literals or lists, which are not checked here")
            );
        }
        found += 1;
        dataset.insert(&quad);
    }
    if found != expected {
        return Err(Rule::Context
            .corrupt("the document's contexts do not define everything in it, so that part of it is not signed")
            .with("statements", found)
            .with("values", expected));
    }
    check_blank_nodes(&dataset)?;
    dataset.canonicalize(CanonicalizationAlgorithm::Rdfc10 { hash_algorithm: CanonicalizationHashAlgorithm::Sha256 });
    let mut lines: Vec<String> = dataset.iter().map(line).collect();
    lines.sort_unstable();
    Ok(lines.concat())
}

fn line(quad: QuadRef<'_>) -> String {
    let QuadRef { subject, predicate, object, graph_name } = quad;
    match graph_name {
        GraphNameRef::DefaultGraph => format!("{subject} {predicate} {object} .\n"),
        graph => format!("{subject} {predicate} {object} {graph} .\n"),
    }
}

/// Contexts stand at the top, and each is the name of a pinned one.
fn check_contexts(document: &Map<String, Value>) -> Result<()> {
    let contexts = match document.get("@context") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => return Err(Rule::Context.invalid("a document that is signed as RDF has contexts")),
    };
    if contexts.len() > MAX_CONTEXTS {
        return Err(Rule::Size.exceeded(MAX_CONTEXTS, format!("the document has {} contexts", contexts.len())));
    }
    for (place, context) in contexts.iter().enumerate() {
        // Each is processed again, at the reader's expense.
        if contexts[..place].contains(context) {
            return Err(Rule::Context.invalid("a context stands there twice"));
        }
        let Value::String(url) = context else {
            return Err(Rule::Context.unsupported("a context that is not named by its address is not read"));
        };
        if context_of(url).is_none() {
            return Err(Rule::Context
                .unsupported(format!("the context {url:.120?} is not among those that are pinned here"))
                .with_remedy("ask for a credential in contexts of the W3C, or one signed with eddsa-jcs-2022"));
        }
    }
    Ok(())
}

/// How many statements an object makes, those of the objects in it included.
fn statements(object: &Map<String, Value>) -> Result<usize> {
    let mut count = 0;
    for (name, value) in object {
        match name.as_str() {
            "@context" | "id" => {}
            // A term under its full name, or a keyword for its alias, says the same in RDF and is not found by who reads JSON.
            keyword if keyword.starts_with('@') || keyword.contains(':') => {
                return Err(Rule::Context.unsupported(format!("the name {keyword:.80} is not read here")));
            }
            _ => count += values(value)?,
        }
    }
    Ok(count)
}

fn values(value: &Value) -> Result<usize> {
    match value {
        Value::Array(list) if !list.is_empty() => {
            // Two objects without an id are two things, however alike.
            let thing = |value: &Value| value.as_object().is_some_and(|members| !members.contains_key("id"));
            let mut said = BTreeSet::new();
            for one in list.iter().filter(|one| !thing(one)) {
                if !said.insert(json::canonical(one)?) {
                    return Err(Rule::Context.unsupported("what is said twice is said once in RDF"));
                }
            }
            list.iter().map(values).sum()
        }
        // Without a language it says what the plain value says.
        Value::Object(members) if members.contains_key("@value") => {
            match members.len() == 2 && members.contains_key("@language") {
                true => Ok(1),
                false => {
                    Err(Rule::Context.unsupported("a value that is neither plain nor in a language is not read here"))
                }
            }
        }
        Value::Object(members) if members.contains_key("@context") => {
            Err(Rule::Context.unsupported("contexts inside of a document are not read"))
        }
        Value::Object(members) if !members.is_empty() => Ok(1 + statements(members)?),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(1),
        Value::Array(_) | Value::Object(_) | Value::Null => {
            Err(Rule::Context.unsupported("null and empty values say nothing in RDF, so that no signature covers them"))
        }
    }
}

/// Refuses a dataset in which many blank nodes have the same surroundings.
fn check_blank_nodes(dataset: &Dataset) -> Result<()> {
    let mut surroundings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for QuadRef { subject, predicate, object, graph_name } in dataset {
        let places: [Option<BlankNodeRef<'_>>; 3] = [
            if let NamedOrBlankNodeRef::BlankNode(node) = subject { Some(node) } else { None },
            if let TermRef::BlankNode(node) = object { Some(node) } else { None },
            if let GraphNameRef::BlankNode(node) = graph_name { Some(node) } else { None },
        ];
        let names = [subject.to_string(), object.to_string(), graph_name.to_string()];
        for node in places.into_iter().flatten() {
            let seen = |place: usize| match places[place] {
                Some(other) if other == node => "_:a",
                Some(_) => "_:z",
                None => &*names[place],
            };
            let statement = format!("{} {predicate} {} {}", seen(0), seen(1), seen(2));
            surroundings.entry(node.as_str().to_owned()).or_default().push(statement);
        }
    }
    if surroundings.len() > MAX_BLANK_NODES {
        return Err(Rule::Size.exceeded(MAX_BLANK_NODES, "the document has too many nodes without an id"));
    }
    let mut alike: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (_, mut statements) in surroundings {
        statements.sort_unstable();
        *alike.entry(statements).or_default() += 1;
    }
    let ambiguous: usize = alike.values().filter(|count| **count > 1).sum();
    if ambiguous > MAX_ALIKE {
        return Err(Rule::Size.exceeded(MAX_ALIKE, "too many nodes of the document cannot be told apart"));
    }
    Ok(())
}

fn pinned(url: &str) -> std::result::Result<JsonLdRemoteDocument, Box<dyn StdError + Send + Sync>> {
    let context = context_of(url).ok_or("the context is not pinned")?;
    Ok(JsonLdRemoteDocument { document: context.to_string().into_bytes(), document_url: url.to_owned() })
}

/// A pinned context, whole, by its address.
fn context_of(url: &str) -> Option<Value> {
    match url {
        EXAMPLES_V2 => Some(serde_json::json!({"@context": {"@vocab": "https://www.w3.org/ns/credentials/examples#"}})),
        UNDEFINED_TERMS_V2 => {
            Some(serde_json::json!({"@context": {"@vocab": "https://www.w3.org/ns/credentials/undefined-terms#"}}))
        }
        ED25519_2020 => Some(ed25519_2020()),
        CITIZENSHIP_V4 => Some(employment()),
        "https://www.w3.org/ns/credentials/v2"
        | "https://www.w3.org/2018/credentials/v1"
        | "https://w3id.org/security/data-integrity/v2" => get_bundled_context(url).cloned(),
        _ => None,
    }
}

/// The context of the suite Ed25519Signature2020, as its specification defines the terms.
fn ed25519_2020() -> Value {
    let security = |name: &str| format!("https://w3id.org/security#{name}");
    let purpose = |name: &str| serde_json::json!({"@id": security(name), "@type": "@id", "@container": "@set"});
    let plain = ["domain", "challenge", "nonce"].map(|name| (name.to_owned(), Value::from(security(name))));
    let mut proof = Map::from_iter(plain);
    proof.insert(
        "created".into(),
        serde_json::json!({"@id": "http://purl.org/dc/terms/created", "@type": "http://www.w3.org/2001/XMLSchema#dateTime"}),
    );
    proof.insert(
        "verificationMethod".into(),
        serde_json::json!({"@id": security("verificationMethod"), "@type": "@id"}),
    );
    proof.insert("signature".into(), serde_json::json!({"@id": security("proofValue")}));
    proof.insert(
        "proofValue".into(),
        serde_json::json!({"@id": security("proofValue"), "@type": security("multibase")}),
    );
    let purposes = serde_json::json!({
        "assertionMethod": purpose("assertionMethod"), "authentication": purpose("authenticationMethod"),
    });
    proof.insert(
        "proofPurpose".into(),
        serde_json::json!({"@id": security("proofPurpose"), "@type": "@vocab", "@context": purposes}),
    );
    serde_json::json!({"@context": {
        "@protected": true,
        "id": "@id",
        "type": "@type",
        "Ed25519VerificationKey2020": {
            "@id": security("Ed25519VerificationKey2020"),
            "@context": {"publicKeyMultibase": security("publicKeyMultibase")},
        },
        "Ed25519Signature2020": {"@id": security("Ed25519Signature2020"), "@context": proof},
    }})
}

/// What the W3C's example of an employment document needs of the citizenship vocabulary. A document that uses more of it is
/// refused, because the rest of its terms is not defined here.
fn employment() -> Value {
    let date = |id: &str| serde_json::json!({"@id": id, "@type": "http://www.w3.org/2001/XMLSchema#dateTime"});
    let mut terms = Map::new();
    for name in ["Person", "givenName", "familyName", "additionalName", "gender", "identifier"] {
        terms.insert(name.into(), format!("https://schema.org/{name}").into());
    }
    let citizenship = |name: &str| format!("https://w3id.org/citizenship#{name}");
    for name in [
        "EmployablePerson",
        "EmploymentAuthorizationDocument",
        "EmploymentAuthorizationDocumentCredential",
        "birthCountry",
        "employmentAuthorizationDocument",
        "lprCategory",
        "lprNumber",
    ] {
        terms.insert(name.into(), citizenship(name).into());
    }
    terms.insert("image".into(), serde_json::json!({"@id": "https://schema.org/image", "@type": "@id"}));
    terms.insert("birthDate".into(), date("https://schema.org/birthDate"));
    terms.insert("residentSince".into(), date(&citizenship("residentSince")));
    serde_json::json!({"@context": terms})
}

#[cfg(test)]
#[path = "../../../tests/support/shared.rs"]
mod shared;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_of_ed25519signature2020_is_the_published_one() {
        let Some(path) = shared::shared("vectors/vc-di-eddsa/contexts/lds-ed25519-2020-v1.json") else { return };
        let published: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(ed25519_2020(), published);
    }
}
