//! What holds for every credential, whatever it says.

#[path = "trust/claims.rs"]
mod claims;

use std::sync::Arc;

use jiff::Timestamp;
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{Credential, CredentialType, TrustGraph, formula, json};
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

fn same(a: &Value, b: &Value) -> bool {
    json::canonical(a).ok() == json::canonical(b).ok()
}
