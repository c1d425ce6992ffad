//! Other implementations judge ours, and ours judges theirs: npm `@digitalbazaar/vc` for credentials, the crate `did-key`
//! for identifiers.

#[path = "trust/claims.rs"]
mod claims;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use did_key::Fingerprint;
use jiff::Timestamp;
use kwaai_core::clock::ManualClock;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{Credential, CredentialType, TrustGraph, json};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

const ROUNDS: usize = 20;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// The folder of the npm judge, or `None`, with the reason printed, where it cannot run.
fn judge() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/judges/vc");
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
        let signer = Keypair::from_seed(seed(round)).signer().unwrap();
        let graph = TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(ManualClock::at(now()))).unwrap();
        let credential = graph.issue(kind(round), did([99; 32]), random_claims(&mut runner), None).await.unwrap();
        texts.push(credential.to_json());
    }
    let changed: Vec<String> = texts.iter().flat_map(|text| mutations(text)).collect();
    assert!(changed.len() > 10 * ROUNDS);
    let asked: Vec<&String> = texts.iter().chain(&changed).collect();
    let answer = ask(&folder, &json!({"now": now().to_string(), "verify": asked, "issue": []}));
    let verdicts = answer["verified"].as_array().unwrap();
    assert_eq!(verdicts.len(), asked.len());
    for (index, (verdict, text)) in verdicts.iter().zip(&asked).enumerate() {
        assert_eq!(verdict["verified"], index < ROUNDS, "{} {text}", verdict["error"]);
    }
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
            let secret: Vec<u8> = [0x80, 0x26].into_iter().chain(seed(round)).collect();
            json!({
                "publicKeyMultibase": did(seed(round)).multikey(),
                "secretKeyMultibase": format!("z{}", bs58::encode(secret).into_string()),
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
    let answer = ask(&folder, &json!({"now": now().to_string(), "verify": [], "issue": orders}));
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

#[test]
fn another_implementation_writes_the_same_did_for_the_same_key() {
    for round in 0..50u8 {
        let seed: [u8; 32] = std::array::from_fn(|at| round.wrapping_mul(37).wrapping_add(at as u8));
        let theirs = did_key::generate::<did_key::Ed25519KeyPair>(Some(&seed));
        assert_eq!(did(seed).to_string(), format!("did:key:{}", theirs.fingerprint()));
    }
}
