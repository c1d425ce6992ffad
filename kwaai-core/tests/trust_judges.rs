//! Other implementations judge ours, and ours judges theirs: npm `@digitalbazaar/vc` for credentials, sets and chains of
//! proofs, and presentations, the crate `affinidi-data-integrity` for proofs, the crate `did-key` for identifiers.

#[path = "trust/claims.rs"]
mod claims;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use affinidi_data_integrity::{DataIntegrityProof, SignOptions, VerifyOptions};
use affinidi_secrets_resolver::secrets::Secret;
use did_key::Fingerprint;
use jiff::Timestamp;
use kwaai_core::clock::ManualClock;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::proof::{self, Expected, ProofOptions, ProofPurpose};
use kwaai_core::trust::{Credential, CredentialFilter, CredentialType, TrustGraph, json, verify_presentation};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

const ROUNDS: usize = 200;

const AUDIENCE: &str = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw";
const CHALLENGE: &str = "3f1b6a0e-1f5c-4f0e-9a55-0d7f1f0c2b11";

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// The folder of the npm judge, or `None`, with the reason printed, where it cannot run.
fn judge() -> Option<PathBuf> {
    let folder = std::env::current_dir().unwrap().join("../tests/judges/vc");
    if Command::new("node").arg("--version").output().is_err() {
        println!("skipped: node is not installed");
        return None;
    }
    if !folder.join("node_modules").is_dir() {
        println!("skipped: the npm judge is not installed; run `npm ci` in tests/judges/vc");
        return None;
    }
    Some(folder)
}

fn ask(folder: &Path, request: &Value) -> Value {
    let mut node = Command::new("node")
        .arg("judge.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the judge failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn runner() -> TestRunner {
    TestRunner::new_with_rng(Default::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]))
}

fn random_claims(runner: &mut TestRunner) -> Map<String, Value> {
    let mut claims = claims::claims().new_tree(runner).unwrap().current();
    // Always there: a name beyond the basic plane, a nested object, a fraction, a text of many scripts.
    claims.insert(
        "\u{1f600}\u{e9}".into(),
        json!({"nested": [1, -0.5, 1e-7, {"наука": "知識 \u{2028} \"\\/"}], "\u{fb33}": null}),
    );
    claims
}

fn kind(round: usize) -> CredentialType {
    CredentialType::ALL[round % CredentialType::ALL.len()]
}

fn seed(round: usize) -> [u8; 32] {
    [round as u8 + 1; 32]
}

fn did(seed: [u8; 32]) -> Did {
    Keypair::from_seed(seed).did().unwrap()
}

/// A key in the spelling that the judges read.
fn multibase_key(seed: [u8; 32]) -> Value {
    json!({"publicKeyMultibase": did(seed).multikey(), "secretKeyMultibase": multibase_secret(seed)})
}

fn multibase_secret(seed: [u8; 32]) -> String {
    let secret: Vec<u8> = [0x80, 0x26].into_iter().chain(seed).collect();
    format!("z{}", bs58::encode(secret).into_string())
}

fn node(seed: [u8; 32], now: Timestamp) -> TrustGraph {
    let signer = Keypair::from_seed(seed).signer().unwrap();
    TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(ManualClock::at(now))).unwrap()
}

/// A document as it is before it is signed.
fn unsigned(issuer: Did, kind: CredentialType, claims: Map<String, Value>) -> Map<String, Value> {
    let mut subject = claims;
    subject.insert("id".into(), did([99; 32]).to_string().into());
    let document = json!({
        "@context": [
            "https://www.w3.org/ns/credentials/v2",
            "https://www.w3.org/ns/credentials/undefined-terms/v2"
        ],
        "type": ["VerifiableCredential", kind.as_str()],
        "issuer": issuer.to_string(),
        "validFrom": "2025-01-01T00:00:00Z",
        "credentialSubject": subject,
    });
    document.as_object().unwrap().clone()
}

fn text(document: Map<String, Value>) -> String {
    Value::Object(document).to_string()
}

/// The verdicts of a judge, which must be `true` for the first `good` documents and `false` for the others.
fn assert_verdicts(verdicts: &Value, good: usize, asked: &[&String]) {
    let verdicts = verdicts.as_array().unwrap();
    assert_eq!(verdicts.len(), asked.len());
    for (index, (verdict, text)) in verdicts.iter().zip(asked).enumerate() {
        assert_eq!(verdict["verified"], index < good, "{} {text}", verdict["error"]);
    }
}

/// Copies of a credential's text with one byte flipped, at places spread over it, that are still another JSON document.
fn mutations(text: &str) -> Vec<String> {
    let original = json::parse(text).unwrap();
    let differs = |changed: &String| {
        serde_json::from_str::<Value>(changed)
            .is_ok_and(|value| json::canonical(&value).unwrap() != json::canonical(&original).unwrap())
    };
    let flip = |at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        String::from_utf8(bytes).ok()
    };
    (0..text.len()).filter_map(flip).filter(differs).step_by(40).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_implementation_verifies_our_credentials_and_refuses_changed_ones() {
    let Some(folder) = judge() else { return };
    let mut runner = runner();
    let mut texts = Vec::new();
    for round in 0..ROUNDS {
        let credential =
            node(seed(round), now()).issue(kind(round), did([99; 32]), random_claims(&mut runner), None).await.unwrap();
        texts.push(credential.to_json());
    }
    let changed: Vec<String> = texts.iter().flat_map(|text| mutations(text)).collect();
    assert!(changed.len() > 10 * ROUNDS);
    let asked: Vec<&String> = texts.iter().chain(&changed).collect();
    let answer = ask(&folder, &json!({"now": now().to_string(), "verify": asked}));
    assert_verdicts(&answer["verified"], ROUNDS, &asked);
    for text in &changed {
        assert!(Credential::verify(text, now()).is_err(), "{text}");
    }
}

#[test]
fn we_verify_the_credentials_of_another_implementation_and_refuse_changed_ones() {
    let Some(folder) = judge() else { return };
    let mut runner = runner();
    let orders: Vec<Value> = (0..ROUNDS)
        .map(|round| {
            let mut subject = random_claims(&mut runner);
            subject.insert("id".into(), did([99; 32]).to_string().into());
            json!({
                "publicKeyMultibase": did(seed(round)).multikey(),
                "secretKeyMultibase": multibase_secret(seed(round)),
                "credential": {
                    "@context": [
                        "https://www.w3.org/ns/credentials/v2",
                        "https://www.w3.org/ns/credentials/undefined-terms/v2"
                    ],
                    "type": ["VerifiableCredential", kind(round).as_str()],
                    "validFrom": "2026-05-01T00:00:00Z",
                    "validUntil": "2027-05-01T00:00:00.5+01:00",
                    "credentialSubject": subject,
                },
            })
        })
        .collect();
    let answer = ask(&folder, &json!({"now": now().to_string(), "issue": orders}));
    let issued = answer["issued"].as_array().unwrap();
    assert_eq!(issued.len(), ROUNDS);
    for (round, text) in issued.iter().enumerate() {
        let text = text.as_str().unwrap();
        let credential = Credential::verify(text, now()).unwrap_or_else(|error| panic!("{error:?} {text}"));
        assert_eq!((credential.issuer(), credential.kind()), (did(seed(round)), Some(kind(round))));
        assert_eq!(credential.subject(), Some(did([99; 32])));
        Credential::verify(&credential.to_json(), now()).unwrap();
        for changed in mutations(text) {
            assert!(Credential::verify(&changed, now()).is_err(), "{changed}");
        }
    }
}

/// A credential with proofs of four keys: two beside each other, one that builds on both, one that builds on that.
fn chain() -> [(Value, &'static str, Value); 4] {
    [
        (multibase_key(seed(0)), "urn:uuid:00000000-0000-4000-8000-000000000001", Value::Null),
        (multibase_key(seed(1)), "urn:uuid:00000000-0000-4000-8000-000000000002", Value::Null),
        (
            multibase_key(seed(2)),
            "urn:uuid:00000000-0000-4000-8000-000000000003",
            json!(["urn:uuid:00000000-0000-4000-8000-000000000001", "urn:uuid:00000000-0000-4000-8000-000000000002"]),
        ),
        (
            multibase_key(seed(3)),
            "urn:uuid:00000000-0000-4000-8000-000000000004",
            json!("urn:uuid:00000000-0000-4000-8000-000000000003"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn another_implementation_verifies_our_sets_and_chains_of_proofs_and_refuses_changed_ones() {
    let Some(folder) = judge() else { return };
    let mut runner = runner();
    let mut texts = Vec::new();
    for round in 0..10 {
        let mut document = unsigned(did(seed(0)), kind(round), random_claims(&mut runner));
        for (at, (_, id, previous)) in chain().into_iter().enumerate() {
            let previous = match &previous {
                Value::String(id) => vec![id.clone()],
                Value::Array(ids) => ids.iter().map(|id| id.as_str().unwrap().to_string()).collect(),
                _ => Vec::new(),
            };
            let options = ProofOptions {
                id: Some(id.into()),
                previous,
                ..ProofOptions::new(ProofPurpose::AssertionMethod, now())
            };
            let signer = Keypair::from_seed(seed(at)).signer().unwrap();
            document = proof::add(&document, &*signer, &options).await.unwrap();
        }
        texts.push(text(document));
    }
    let changed: Vec<String> = texts.iter().flat_map(|text| mutations(text)).collect();
    let asked: Vec<&String> = texts.iter().chain(&changed).collect();
    let answer = ask(&folder, &json!({"now": now().to_string(), "verifyProofs": asked}));
    assert_verdicts(&answer["verifiedProofs"], texts.len(), &asked);
    for text in &texts {
        let credential = Credential::verify(text, now()).unwrap();
        let signers: Vec<Did> = credential.proofs(now()).unwrap().iter().map(|proof| proof.signer).collect();
        assert_eq!(signers, [0, 1, 2, 3].map(|at| did(seed(at))));
    }
    for text in &changed {
        assert!(Credential::verify(text, now()).is_err(), "{text}");
    }
}

#[test]
fn we_verify_the_sets_and_chains_of_another_implementation_and_refuse_changed_ones() {
    let Some(folder) = judge() else { return };
    let mut runner = runner();
    let orders: Vec<Value> = (0..10)
        .map(|round| {
            let proofs = chain().map(|(mut key, id, previous)| {
                key["proof"] = json!({"id": id});
                if !previous.is_null() {
                    key["proof"]["previousProof"] = previous;
                }
                key
            });
            json!({"document": unsigned(did(seed(0)), kind(round), random_claims(&mut runner)), "proofs": proofs})
        })
        .collect();
    let answer = ask(&folder, &json!({"now": now().to_string(), "addProofs": orders}));
    let added = answer["added"].as_array().unwrap();
    assert_eq!(added.len(), orders.len());
    for text in added.iter().map(|text| text.as_str().unwrap()) {
        let credential = Credential::verify(text, now()).unwrap_or_else(|error| panic!("{error:?} {text}"));
        assert_eq!(credential.proofs(now()).unwrap().len(), 4);
        for changed in mutations(text) {
            assert!(Credential::verify(&changed, now()).is_err(), "{changed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_implementation_verifies_our_presentations_and_refuses_changed_ones() {
    let Some(folder) = judge() else { return };
    let mut runner = runner();
    let mut texts = Vec::new();
    for round in 0..20 {
        let holder = node(seed(round), now());
        for issuer in 100..100 + round % 4 {
            let issuer = node([issuer as u8; 32], now());
            let claims = random_claims(&mut runner);
            let credential = issuer.issue(kind(round), holder.did(), claims, None).await.unwrap();
            holder.import_credential(&credential.to_json()).await.unwrap();
        }
        let presentation = holder.present(AUDIENCE, CHALLENGE, &CredentialFilter::default()).await.unwrap();
        texts.push(presentation.to_json());
    }
    let changed: Vec<String> = texts.iter().flat_map(|text| mutations(text)).collect();
    let asked: Vec<&String> = texts.iter().chain(&changed).collect();
    let order = |presentation: &&String, domain: &str, challenge: &str| json!({"presentation": presentation, "domain": domain, "challenge": challenge});
    let mut orders: Vec<Value> = asked.iter().map(|text| order(text, AUDIENCE, CHALLENGE)).collect();
    orders.push(order(&&texts[0], "did:key:another", CHALLENGE));
    orders.push(order(&&texts[0], AUDIENCE, "another"));
    let answer = ask(&folder, &json!({"now": now().to_string(), "verifyPresented": orders}));
    let asked: Vec<&String> = asked.into_iter().chain([&texts[0], &texts[0]]).collect();
    assert_verdicts(&answer["verifiedPresented"], texts.len(), &asked);
    for text in &changed {
        assert!(verify_presentation(text, AUDIENCE, CHALLENGE, now()).is_err(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_verify_the_presentations_of_another_implementation_and_refuse_changed_ones() {
    let Some(folder) = judge() else { return };
    let mut runner = runner();
    let mut orders = Vec::new();
    for round in 0..20 {
        let mut credentials = Vec::new();
        for issuer in 100..100 + round % 4 {
            let claims = random_claims(&mut runner);
            let issued = node([issuer as u8; 32], now()).issue(kind(round), did(seed(round)), claims, None).await;
            credentials.push(issued.unwrap().to_json());
        }
        let mut order = multibase_key(seed(round));
        order["credentials"] = json!(credentials);
        order["domain"] = AUDIENCE.into();
        order["challenge"] = CHALLENGE.into();
        orders.push(order);
    }
    let answer = ask(&folder, &json!({"now": now().to_string(), "present": orders}));
    let presented = answer["presented"].as_array().unwrap();
    assert_eq!(presented.len(), orders.len());
    for (round, text) in presented.iter().enumerate() {
        let text = text.as_str().unwrap();
        let verified = verify_presentation(text, AUDIENCE, CHALLENGE, now());
        let verified = verified.unwrap_or_else(|error| panic!("{error:?} {text}"));
        assert_eq!((verified.holder, verified.credentials.len()), (did(seed(round)), round % 4));
        for changed in mutations(text) {
            assert!(verify_presentation(&changed, AUDIENCE, CHALLENGE, now()).is_err(), "{changed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_implementation_in_rust_verifies_our_proofs_and_refuses_changed_ones() {
    let mut runner = runner();
    // It compares `created` with the clock of this machine.
    let made = "2025-01-01T00:00:00Z".parse().unwrap();
    for round in 0..ROUNDS {
        let issuer = node(seed(round), made);
        let claims = random_claims(&mut runner);
        let credential = issuer.issue(kind(round), did([99; 32]), claims, None).await.unwrap();
        let mut document = credential.document().clone();
        let proof: DataIntegrityProof = serde_json::from_value(document.remove("proof").unwrap()).unwrap();
        let key = issuer.did();
        let verdict = |document: &Map<String, Value>| {
            proof.verify_with_public_key(document, key.public_key(), VerifyOptions::new())
        };
        verdict(&document).unwrap();
        document["credentialSubject"]["more"] = 1.into();
        assert!(verdict(&document).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_verify_the_proofs_of_a_second_implementation_in_rust_and_refuse_changed_ones() {
    let mut runner = runner();
    for round in 0..ROUNDS {
        let issuer = did(seed(round));
        let mut document = unsigned(issuer, kind(round), random_claims(&mut runner));
        let secret = Secret::from_multibase(&multibase_secret(seed(round)), Some(&issuer.verification_method()));
        let contexts = document["@context"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_string());
        // Every other one leaves the contexts out of the proof, as the specification allows.
        let options = SignOptions::new();
        let options = if round.is_multiple_of(2) { options.with_context(contexts.collect()) } else { options };
        let made = DataIntegrityProof::sign(&document, &secret.unwrap(), options).await.unwrap();
        document.insert("proof".into(), serde_json::to_value(made).unwrap());
        // It signs with the time of this machine.
        let now = Timestamp::now();
        proof::verify(&document, &Expected::assertion(now)).unwrap();
        let text = text(document);
        let credential = Credential::verify(&text, now).unwrap_or_else(|error| panic!("{error:?} {text}"));
        assert_eq!((credential.issuer(), credential.kind()), (issuer, Some(kind(round))));
        for changed in mutations(&text) {
            assert!(Credential::verify(&changed, now).is_err(), "{changed}");
        }
    }
}

#[test]
fn another_implementation_writes_the_same_did_for_the_same_key() {
    for round in 0..50u8 {
        let seed: [u8; 32] = std::array::from_fn(|at| round.wrapping_mul(37).wrapping_add(at as u8));
        let theirs = did_key::generate::<did_key::Ed25519KeyPair>(Some(&seed));
        assert_eq!(did(seed).to_string(), format!("did:key:{}", theirs.fingerprint()));
    }
}
