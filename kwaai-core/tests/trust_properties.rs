//! What holds for every credential, whatever it says.

#[path = "trust/claims.rs"]
mod claims;

use std::sync::Arc;

use jiff::Timestamp;
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::proof::{self, ProofOptions, ProofPurpose};
use kwaai_core::trust::{Credential, CredentialType, Rule, TrustGraph, formula, json};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value};

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn issuer() -> TrustGraph {
    let clock = ManualClock::at(now());
    assert_eq!(clock.now(), now());
    TrustGraph::open(Store::in_memory().unwrap(), Keypair::from_seed([1; 32]).signer().unwrap(), Arc::new(clock))
        .unwrap()
}

fn subject() -> Did {
    Keypair::from_seed([2; 32]).did().unwrap()
}

fn issue(claims: Map<String, Value>) -> Credential {
    futures::executor::block_on(issuer().issue(CredentialType::Uptime, subject(), claims, None)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_credential_reads_back_the_same(claims in claims::claims()) {
        let credential = issue(claims.clone());
        let again = Credential::verify(&credential.to_json(), now()).unwrap();
        prop_assert_eq!(&again, &credential);
        let mut said = again.claims().unwrap().clone();
        said.remove("id");
        prop_assert_eq!(json::canonical(&said).unwrap(), json::canonical(&claims).unwrap());
        let canonical = String::from_utf8(json::canonical(credential.document()).unwrap()).unwrap();
        let spaced = serde_json::to_string_pretty(credential.document()).unwrap();
        let respelt = Credential::verify(&spaced, now()).unwrap();
        prop_assert_eq!(respelt.id(), credential.id());
        let reparsed: Value = serde_json::from_str(&canonical).unwrap();
        prop_assert_eq!(json::canonical(&reparsed).unwrap(), canonical.into_bytes());
    }

    #[test]
    fn a_flipped_byte_anywhere_fails(claims in claims::claims(), places in prop::collection::vec((any::<Index>(), 1u8..), 48)) {
        let text = issue(claims).to_json();
        let original: Value = serde_json::from_str(&text).unwrap();
        for (place, flip) in places {
            let mut bytes = text.clone().into_bytes();
            let at = place.index(bytes.len());
            bytes[at] ^= flip;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            // `1e30` and `1E30` are two spellings of one document; nothing was changed then.
            if serde_json::from_str::<Value>(&changed).is_ok_and(|value| same(&value, &original)) {
                continue;
            }
            prop_assert!(Credential::verify(&changed, now()).is_err(), "byte {at}: {changed}");
        }
    }

    #[test]
    fn every_byte_of_a_signature_counts(claims in claims::claims()) {
        let credential = issue(claims);
        let value = credential.document()["proof"]["proofValue"].as_str().unwrap().to_string();
        for at in 0..value.len() {
            for other in [b'1', b'z', b'0', b' ', value.as_bytes()[at] ^ 1] {
                let mut bytes = value.clone().into_bytes();
                if std::mem::replace(&mut bytes[at], other) == other {
                    continue;
                }
                let mut changed = credential.document().clone();
                changed["proof"]["proofValue"] = String::from_utf8(bytes).unwrap().into();
                prop_assert_eq!(rule(&changed), Rule::Signature.as_str(), "character {}", at);
            }
        }
    }

    #[test]
    fn every_claim_and_every_member_counts(claims in claims::claims(), value in claims::value()) {
        let credential = issue(claims);
        for pointer in places(credential.document(), "") {
            if pointer == "/proof/proofValue" {
                continue;
            }
            let original = Value::Object(credential.document().clone());
            let mut changed = original.clone();
            *changed.pointer_mut(&pointer).unwrap() = value.clone();
            if !same(&changed, &original) {
                prop_assert!(Credential::verify(&changed.to_string(), now()).is_err(), "{} replaced", pointer);
            }
            let mut changed = original.clone();
            remove(&mut changed, &pointer);
            prop_assert!(Credential::verify(&changed.to_string(), now()).is_err(), "{} taken away", pointer);
            let mut changed = original.clone();
            if insert(&mut changed, &pointer, &value) {
                prop_assert!(Credential::verify(&changed.to_string(), now()).is_err(), "{} added to", pointer);
            }
        }
    }

    #[test]
    fn contexts_in_another_order_or_number_are_refused(extra in "https://[a-z]{1,9}\\.example/v[12]", at in 0usize..4) {
        let document = issue(Map::new()).document().clone();
        let contexts = document["@context"].as_array().unwrap().clone();
        let mut turned = contexts.clone();
        turned.reverse();
        let mut longer = contexts.clone();
        longer.insert(at.min(contexts.len()), extra.into());
        let mut twice = contexts.clone();
        twice.insert(at.min(contexts.len()), contexts[at % contexts.len()].clone());
        let mut shorter = contexts.clone();
        shorter.remove(at % contexts.len());
        for other in [turned, longer, twice, shorter, Vec::new()] {
            let mut changed = document.clone();
            changed["@context"] = other.clone().into();
            // The contexts are part of the content that the identifier is the hash of.
            prop_assert!(["context", "id"].contains(&rule(&changed).as_str()));
            // Nor does it help to change what the proof says of them.
            changed["proof"]["@context"] = other.into();
            prop_assert!(["context", "id", "signature"].contains(&rule(&changed).as_str()));
        }
    }

    #[test]
    fn a_chain_of_any_shape_verifies_and_breaks_with_any_of_its_links(shape in shape(), at in any::<Index>()) {
        let document = futures::executor::block_on(chain(issue(Map::new()).document().clone(), &shape));
        let text = Value::Object(document.clone()).to_string();
        prop_assert_eq!(Credential::verify(&text, now()).unwrap().proofs(now()).unwrap().len(), shape.len());
        let built_on: Vec<usize> = (0..shape.len()).filter(|at| shape.iter().any(|links| links.contains(at))).collect();
        if !built_on.is_empty() {
            let mut changed = document.clone();
            changed["proof"].as_array_mut().unwrap().remove(*at.get(&built_on));
            prop_assert_eq!(rule(&changed), Rule::PreviousProof.as_str());
            let mut changed = document;
            changed["proof"][*at.get(&built_on)]["proofValue"] = format!("z{}", "1".repeat(64)).into();
            prop_assert_eq!(rule(&changed), Rule::Signature.as_str());
        }
    }

    #[test]
    fn hostile_text_is_an_error_and_never_a_panic(text in any::<String>(), noise in "[\\[\\]{}\":,0-9eE.+\\- ntf\\\\u]{0,80}") {
        prop_assert!(Credential::verify(&text, now()).is_err());
        prop_assert!(Credential::verify(&noise, now()).is_err());
        let _ = json::parse(&noise);
    }

    #[test]
    fn a_score_is_between_nothing_and_one_and_falls_with_age(ages in prop::collection::vec((0usize..7, 0u64..100_000), 0..30)) {
        let credentials: Vec<_> = ages.iter().map(|(kind, age)| (CredentialType::ALL[*kind], *age)).collect();
        let score = formula(credentials.iter().copied());
        prop_assert!((0.0..=1.0).contains(&score));
        prop_assert_eq!(score, formula(credentials.iter().rev().copied()), "order does not matter");
        prop_assert!(formula(credentials.iter().map(|(kind, age)| (*kind, age + 1))) <= score);
    }
}

/// The name of the rule for which a credential is refused.
fn rule(document: &Map<String, Value>) -> String {
    let text = Value::Object(document.clone()).to_string();
    Credential::verify(&text, now()).unwrap_err().context()["rule"].clone()
}

/// JSON pointers to everything in a document.
fn places(members: &Map<String, Value>, above: &str) -> Vec<String> {
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    let below = |value: &Value, at: String| {
        let mut found = match value {
            Value::Object(members) => places(members, &at),
            Value::Array(list) => {
                let named = list.iter().enumerate().map(|(place, value)| (place.to_string(), value.clone()));
                places(&named.collect(), &at)
            }
            _ => Vec::new(),
        };
        found.push(at);
        found
    };
    members.iter().flat_map(|(name, value)| below(value, format!("{above}/{}", escape(name)))).collect()
}

fn remove(document: &mut Value, pointer: &str) {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(above).unwrap() {
        Value::Object(members) => drop(members.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Value::Array(list) => drop(list.remove(name.parse().unwrap())),
        other => panic!("{other} has no members"),
    }
}

/// Adds a value inside an object or a list, and says whether there was one.
fn insert(document: &mut Value, pointer: &str, value: &Value) -> bool {
    match document.pointer_mut(pointer).unwrap() {
        Value::Object(members) => members.insert("added".into(), value.clone()).is_none(),
        Value::Array(list) => {
            list.insert(0, value.clone());
            true
        }
        _ => false,
    }
}

/// For each of several proofs the earlier ones that it builds on.
fn shape() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::btree_set(0usize..6, 0..4), 1..6).prop_map(|links| {
        let earlier = |(at, links): (usize, std::collections::BTreeSet<usize>)| {
            links.into_iter().filter(|link| *link < at).collect()
        };
        links.into_iter().enumerate().map(earlier).collect()
    })
}

/// A credential of node 1 with these proofs in place of its own; the first is the issuer's.
async fn chain(mut document: Map<String, Value>, shape: &[Vec<usize>]) -> Map<String, Value> {
    document.remove("proof");
    let name = |at: &usize| format!("urn:proof:{at}");
    for (at, links) in shape.iter().enumerate() {
        let options = ProofOptions {
            id: Some(name(&at)),
            previous: links.iter().map(name).collect(),
            ..ProofOptions::new(ProofPurpose::AssertionMethod, now())
        };
        let signer = Keypair::from_seed([at as u8 + 1; 32]).signer().unwrap();
        document = proof::add(&document, &*signer, &options).await.unwrap();
    }
    document
}

fn same(a: &Value, b: &Value) -> bool {
    json::canonical(a).ok() == json::canonical(b).ok()
}
