//! Credentials in KwaaiNet's own form: read, judged, never counted.
//!
//! `golden/legacy.json` was written by a program of its own after the description of the form, with the first key of RFC
//! 8032 §7.1 and an Ed25519 implementation that is not this library's.

use kwaai_core::ErrorCode;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{
    CredentialFilter, CredentialType, LegacyCredential, LegacyProof, MAX_LEGACY_BYTES, TrustGraph,
};
use serde_json::{Value, json};

const ISSUER: &str = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw";
const SUBJECT: &str = "did:key:z6MkiaMbhXHNA4eJVCCj8dbzKzTgYDKf6crKgHVHid1F1WCT";

fn golden() -> Vec<(String, String)> {
    let list: Vec<Value> = serde_json::from_str(include_str!("golden/legacy.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.iter().map(|case| (text(&case["name"]), text(&case["credential"]))).collect()
}

fn node() -> TrustGraph {
    let clock: kwaai_core::clock::ManualClock = "2026-04-01T00:00:00Z".parse().unwrap();
    let signer = Keypair::from_seed([1; 32]).signer().unwrap();
    TrustGraph::open(Store::in_memory().unwrap(), signer, std::sync::Arc::new(clock)).unwrap()
}

fn why(text: &str) -> String {
    match LegacyCredential::read(text).unwrap().proof {
        LegacyProof::Unverifiable { why } => why,
        verified => panic!("{verified:?} {text}"),
    }
}

/// A golden credential with one change.
fn changed(which: usize, change: impl Fn(&mut Value)) -> String {
    let mut document: Value = serde_json::from_str(&golden()[which].1).unwrap();
    change(&mut document);
    document.to_string()
}

#[test]
fn credentials_as_kwaainet_wrote_them_are_verified_in_whatever_order_their_claims_came_back() {
    let golden = golden();
    assert_eq!(golden.len(), 5);
    for (name, text) in golden {
        let read = LegacyCredential::read(&text).unwrap();
        assert_eq!(read.proof, LegacyProof::Verified { signer: ISSUER.parse().unwrap() }, "{name}");
        // Stored and read again, the order of all members is another; the verdict is the same.
        let stored: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(LegacyCredential::read(&stored.to_string()).unwrap(), read, "{name}");
    }
}

#[test]
fn what_a_legacy_credential_says_can_be_issued_again() {
    let read = LegacyCredential::read(&golden()[2].1).unwrap();
    assert_eq!(read.kind, Some(CredentialType::SummitAttendee));
    assert_eq!(read.types, ["VerifiableCredential", "SummitAttendeeVC"]);
    assert_eq!(read.subject, "did:peer:12D3KooWDwTirQce1RRKnasT5fPVFgzXCy6SiRgSwrwPGLC7zE91");
    assert_eq!(read.issued, "2026-03-15T10:00:00.123789771Z".parse().unwrap());
    let again = read.reissue().unwrap();
    assert_eq!((again.kind, again.subject), (CredentialType::SummitAttendee, SUBJECT.parse::<Did>().unwrap()));
    assert_eq!(
        Value::Object(again.claims),
        json!({"eventName": "Kwaai Personal AI Summit 2026", "eventDate": "2026-03-15"})
    );
    assert_eq!(again.valid_until, Some("2028-03-14T10:00:00.123789771Z".parse().unwrap()));
    let nobody = changed(0, |document| {
        document["credentialSubject"]["id"] = "did:peer:QmQhRuheeCLEsVD3RsnknM75gPDDqxAb8DhnWgro7KhaJc".into()
    });
    assert_eq!(LegacyCredential::read(&nobody).unwrap().reissue().unwrap_err().code(), ErrorCode::Unsupported);
    let other = changed(0, |document| document["type"] = json!(["VerifiableCredential", "MemberVC"]));
    assert_eq!(LegacyCredential::read(&other).unwrap().reissue().unwrap_err().code(), ErrorCode::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_credential_never_enters_the_wallet_or_a_score() {
    let node = node();
    node.trust_issuer(ISSUER.parse().unwrap(), &CredentialType::ALL).unwrap();
    for (name, text) in golden() {
        // An id that is not the hash of its content is found before the suite is looked at.
        let expected = match text.contains("urn:kwaai:vc:") {
            true => ErrorCode::CorruptData,
            false => ErrorCode::Unsupported,
        };
        assert_eq!(node.import_credential(&text).await.unwrap_err().code(), expected, "{name}");
    }
    let presented: Vec<String> = golden().into_iter().map(|(_, text)| text).collect();
    assert!(node.import_presented(&SUBJECT.parse().unwrap(), &presented).await.unwrap().is_empty());
    assert!(node.credentials(&CredentialFilter::default()).unwrap().is_empty());
    assert_eq!(node.score(&SUBJECT.parse().unwrap()).unwrap().value, 0.0);
}

#[test]
fn a_signature_of_another_key_than_the_issuers_proves_nothing() {
    let other = "did:peer:12D3KooWDwTirQce1RRKnasT5fPVFgzXCy6SiRgSwrwPGLC7zE91";
    let rsa = "did:peer:QmQhRuheeCLEsVD3RsnknM75gPDDqxAb8DhnWgro7KhaJc";
    // KwaaiNet takes the key of the verificationMethod and never looks at the issuer.
    let claimed = changed(0, |document| document["issuer"] = other.into());
    assert_eq!(why(&claimed), "its proof was made with another key than its issuer's");
    let borrowed = changed(0, |document| document["proof"]["verificationMethod"] = format!("{other}#key-1").into());
    assert_eq!(why(&borrowed), "its proof was made with another key than its issuer's");
    let both = changed(0, |document| {
        document["issuer"] = other.into();
        document["proof"]["verificationMethod"] = format!("{other}#key-1").into();
    });
    assert_eq!(why(&both), "its signature fits no order of its claims");
    for issuer in [rsa, "did:web:kwaai.ai", &format!("did:peer:{}", "1".repeat(15_000)), "did:peer:0z6Mk"] {
        let hashed = changed(0, |document| document["issuer"] = issuer.into());
        assert_eq!(why(&hashed), "its issuer's DID carries no Ed25519 key");
    }
}

#[test]
fn changed_and_unsigned_parts_are_noticed() {
    for change in [
        (|document| document["credentialSubject"]["interactionCount"] = 43.into()) as fn(&mut Value),
        |document| document["credentialSubject"]["more"] = 1.into(),
        |document| document["credentialSubject"]["id"] = ISSUER.into(),
        |document| document["issuanceDate"] = "2026-03-15T10:00:00.123789772Z".into(),
        |document| drop(document.as_object_mut().unwrap().remove("expirationDate")),
        |document| document["id"] = "urn:x".into(),
        |document| document["type"] = json!(["VerifiableCredential", "FiduciaryPledgeVC"]),
        |document| document["@context"] = json!(["https://www.w3.org/2018/credentials/v1"]),
        |document| document["proof"]["proofValue"] = "A".repeat(86).into(),
    ] {
        assert_eq!(why(&changed(0, change)), "its signature fits no order of its claims");
    }
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 7] = [
        (|document| document["credentialStatus"] = json!({"id": "x"}), "is under no signature of this form"),
        (|document| drop(document.as_object_mut().unwrap().remove("proof")), "it carries no proof"),
        (|document| document["proof"] = json!([]), "its proof is no object"),
        (|document| document["proof"]["type"] = "DataIntegrityProof".into(), "its proof is of another kind"),
        (|document| document["proof"]["proofPurpose"] = "authentication".into(), "its proof is of another kind"),
        (|document| document["proof"]["proofValue"] = "zAAAA".into(), "is not 64 bytes in base64url"),
        (|document| document["proof"]["verificationMethod"] = ISSUER.into(), "its proof names no key"),
    ];
    for (change, expected) in cases {
        let text = changed(0, change);
        assert!(why(&text).contains(expected), "{}: {text}", why(&text));
    }
    let many = changed(0, |document| (0..6).for_each(|n| document["credentialSubject"][format!("c{n}")] = n.into()));
    assert_eq!(why(&many), "it has 7 claims; orders of 6 are tried");
}

#[test]
fn what_is_no_legacy_credential_is_refused() {
    let cases: [fn(&mut Value); 10] = [
        |document| document["@context"] = json!(["https://www.w3.org/ns/credentials/v2"]),
        |document| document["@context"] = "https://www.w3.org/2018/credentials/v1".into(),
        |document| document["@context"][1] = json!({"a": "b"}),
        |document| document["type"] = "VerifiableCredential".into(),
        |document| document["type"] = json!(["PeerEndorsementVC"]),
        |document| document["issuer"] = json!({"id": ISSUER}),
        |document| document["issuanceDate"] = "yesterday".into(),
        |document| document["credentialSubject"] = json!([{"id": ISSUER}]),
        |document| drop(document["credentialSubject"].as_object_mut().unwrap().remove("id")),
        |document| document["id"] = 5.into(),
    ];
    for change in cases {
        let text = changed(0, change);
        assert_eq!(LegacyCredential::read(&text).unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
    }
    for text in ["", "[]", r#"{"issuer":"a","issuer":"b"}"#] {
        assert_eq!(LegacyCredential::read(text).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    let long = changed(0, |document| document["credentialSubject"]["note"] = "x".repeat(MAX_LEGACY_BYTES).into());
    assert_eq!(LegacyCredential::read(&long).unwrap_err().code(), ErrorCode::ResourceExhausted);
}
