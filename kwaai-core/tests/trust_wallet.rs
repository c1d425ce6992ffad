//! The wallet: out of one device and into another, and encrypted under a passphrase.

use std::path::Path;

use kwaai_core::identity::{Did, Keypair};
use kwaai_core::trust::{
    CredentialFilter, CredentialType, MAX_PASSPHRASE, Purpose, Tier, TrustGraph, WalletState, proof,
};
use kwaai_core::{Error, ErrorCode};
use serde_json::{Value, json};

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn code<T>(result: Result<T, Error>) -> ErrorCode {
    match result {
        Err(error) => error.code(),
        Ok(_) => panic!("it was not refused"),
    }
}

/// A node that trusts itself for two types, and keeps one credential of each about node 3.
async fn filled(dir: &Path) -> TrustGraph {
    let graph = TrustGraph::open_dir(dir).unwrap();
    let kinds = [CredentialType::VerifiedNode, CredentialType::Uptime];
    graph.trust_issuer(graph.did(), &kinds).unwrap();
    for kind in kinds {
        let claims = json!({"note": "a note that nobody else should read"}).as_object().unwrap().clone();
        let credential = graph.issue(kind, did(3), claims, None).await.unwrap();
        graph.import_credential(&credential.to_json()).await.unwrap();
    }
    graph
}

fn ids(graph: &TrustGraph) -> Vec<String> {
    graph.credentials(&CredentialFilter::default()).unwrap().into_iter().map(|summary| summary.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_carries_every_credential_to_another_wallet_unchanged() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (filled(from.path()).await, TrustGraph::open_dir(to.path()).unwrap());
    let bundle = from.export_credentials().unwrap();
    assert_eq!(from.export_credentials().unwrap(), bundle);
    let imported = to.import_credentials(&bundle).await.unwrap();
    assert_eq!((imported.kept.len(), imported.refused.len()), (2, 0));
    assert_eq!(ids(&to), ids(&from));
    for id in ids(&from) {
        assert_eq!(to.credential(&id).unwrap(), from.credential(&id).unwrap());
    }
    assert_eq!(to.export_credentials().unwrap(), bundle);
    to.import_credentials(&bundle).await.unwrap();
    assert_eq!(ids(&to).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_verify_in_a_bundle_is_refused_by_its_place_and_the_rest_is_kept() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (filled(from.path()).await, TrustGraph::open_dir(to.path()).unwrap());
    let mut bundle: Value = serde_json::from_str(&from.export_credentials().unwrap()).unwrap();
    let forged = bundle["credentials"][0].as_str().unwrap().replace("nobody else", "everybody");
    bundle["credentials"][0] = forged.into();
    bundle["credentials"].as_array_mut().unwrap().push("{}".into());
    let imported = to.import_credentials(&bundle.to_string()).await.unwrap();
    assert_eq!((imported.kept.len(), ids(&to).len()), (1, 1));
    let refused: Vec<_> = imported.refused.iter().map(|(place, error)| (*place, error.code())).collect();
    assert_eq!(refused, [(0, ErrorCode::CorruptData), (2, ErrorCode::InvalidArgument)]);

    let changed = |name: &str, value: Value| {
        let mut bundle: Value = serde_json::from_str(&from.export_credentials().unwrap()).unwrap();
        bundle[name] = value;
        bundle.to_string()
    };
    for (bundle, expected) in [
        (String::new(), ErrorCode::InvalidArgument),
        ("[]".into(), ErrorCode::InvalidArgument),
        (changed("format", "another".into()), ErrorCode::InvalidArgument),
        (changed("version", 2.into()), ErrorCode::Unsupported),
        (changed("credentials", json!([{}])), ErrorCode::InvalidArgument),
        (changed("more", 1.into()), ErrorCode::InvalidArgument),
        (" ".repeat(kwaai_core::trust::MAX_BUNDLE_BYTES + 1), ErrorCode::ResourceExhausted),
    ] {
        assert_eq!(code(to.import_credentials(&bundle).await), expected);
    }
    assert_eq!(ids(&to).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_wallet_shows_nothing_and_trusts_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let graph = filled(dir.path()).await;
    let all = ids(&graph);
    let extra = graph.issue(CredentialType::Throughput, did(4), serde_json::Map::new(), None).await.unwrap().to_json();
    assert_eq!(graph.wallet_state().unwrap(), WalletState::Plain);
    assert_eq!(code(graph.lock()), ErrorCode::NotFound);
    assert_eq!(code(graph.unlock("no").await), ErrorCode::NotFound);
    for wrong in [String::new(), "x".repeat(MAX_PASSPHRASE + 1)] {
        assert_eq!(code(graph.set_passphrase(&wrong).await), ErrorCode::InvalidArgument);
    }
    graph.set_passphrase("correct horse").await.unwrap();
    assert_eq!((graph.wallet_state().unwrap(), ids(&graph)), (WalletState::Unlocked, all.clone()));
    let clone = graph.clone();
    graph.lock().unwrap();

    assert_eq!(clone.wallet_state().unwrap(), WalletState::Locked, "clones share the key");
    let denied = ErrorCode::PermissionDenied;
    assert_eq!(code(graph.credentials(&CredentialFilter::default())), denied);
    assert_eq!(code(graph.credential(&all[0])), denied);
    assert_eq!(code(graph.export_credentials()), denied);
    assert_eq!(code(graph.import_credential(&extra).await), denied);
    assert_eq!(code(graph.remove_credential(&all[0])), denied);
    assert_eq!(code(graph.score(&did(3))), denied);
    assert_eq!(code(graph.require(&did(3), Purpose::UseBlocks)), denied);
    assert_eq!(code(graph.set_passphrase("another").await), denied);
    assert_eq!(code(graph.remove_passphrase().await), denied);
    let error = graph.unlock("wrong horse").await.unwrap_err();
    assert_eq!((error.code(), error.message()), (denied, "the passphrase is wrong"));

    graph.unlock("correct horse").await.unwrap();
    assert_eq!(ids(&clone), all);
    graph.import_credential(&extra).await.unwrap();
    graph.remove_credential(&all[0]).unwrap();
    assert_eq!(graph.credentials(&CredentialFilter::default()).unwrap().len(), 2);
    assert_eq!(graph.score(&did(3)).unwrap().tier, Tier::Known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_outlives_the_process_can_be_changed_and_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let graph = filled(dir.path()).await;
    let all = ids(&graph);
    graph.set_passphrase("first").await.unwrap();
    graph.set_passphrase("second").await.unwrap();
    drop(graph);

    let again = TrustGraph::open_dir(dir.path()).unwrap();
    assert_eq!(again.wallet_state().unwrap(), WalletState::Locked);
    assert_eq!(code(again.unlock("first").await), ErrorCode::PermissionDenied);
    again.unlock("second").await.unwrap();
    assert_eq!(ids(&again), all);
    again.remove_passphrase().await.unwrap();
    assert_eq!((again.wallet_state().unwrap(), ids(&again)), (WalletState::Plain, all.clone()));
    again.set_passphrase("third").await.unwrap();
    again.lock().unwrap();
    again.unlock("third").await.unwrap();
    assert_eq!(ids(&again), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_under_a_passphrase_never_lies_on_the_disk_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let graph = TrustGraph::open_dir(dir.path()).unwrap();
    graph.set_passphrase("correct horse").await.unwrap();
    drop(graph);
    let graph = TrustGraph::open_dir(dir.path()).unwrap();
    graph.unlock("correct horse").await.unwrap();
    let secret = "a note that nobody else should read";
    let claims = json!({"note": secret}).as_object().unwrap().clone();
    let credential = graph.issue(CredentialType::Uptime, did(3), claims.clone(), None).await.unwrap();
    graph.import_credential(&credential.to_json()).await.unwrap();
    drop(graph);
    let found = |needle: &str| {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
    };
    assert!(!found(secret) && !found("proofValue") && !found("correct horse"));
    assert!(found(credential.id()), "identifiers stay readable, as the documentation says");

    let plain = tempfile::tempdir().unwrap();
    filled(plain.path()).await;
    let bytes = std::fs::read(plain.path().join("kwaainet.redb")).unwrap();
    assert!(bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "without one it does");
}

/// The content of a credential under a proof made `minutes` after the first, which ends after so many days, or never.
async fn under(document: &Value, minutes: i64, days: Option<i64>) -> String {
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let now = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let created = now + jiff::SignedDuration::from_mins(minutes);
    let mut options = proof::ProofOptions::new(proof::ProofPurpose::AssertionMethod, created);
    options.expires = days.map(|days| now + jiff::SignedDuration::from_hours(24 * days));
    let signed = proof::add(document.as_object().unwrap(), &*signer, &options).await.unwrap();
    Value::Object(signed).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_copies_the_one_that_holds_longer_is_kept_whichever_came_first() {
    let issuer = TrustGraph::open(
        kwaai_core::store::Store::in_memory().unwrap(),
        Keypair::from_seed([2; 32]).signer().unwrap(),
        std::sync::Arc::new(kwaai_core::clock::SystemClock),
    )
    .unwrap();
    let issued = issuer.issue(CredentialType::Uptime, did(3), serde_json::Map::new(), None).await.unwrap();
    let mut document = Value::Object(issued.document().clone());
    let members = document.as_object_mut().unwrap();
    members.remove("proof");
    members.insert("validFrom".into(), "2026-01-01T00:00:00Z".into());
    members.remove("id");
    // From the worst to the best.
    let mut copies = Vec::new();
    for (minutes, days) in [(3, Some(1)), (1, Some(2)), (2, Some(2)), (0, None), (1, None)] {
        copies.push(under(&document, minutes, days).await);
    }
    // The last one again, with a witness, whom anybody could take away.
    let witness = Keypair::from_seed([9; 32]).signer().unwrap();
    let alone: Value = serde_json::from_str(&copies[4]).unwrap();
    let options = proof::ProofOptions::new(proof::ProofPurpose::AssertionMethod, jiff::Timestamp::now());
    let witnessed = proof::add(alone.as_object().unwrap(), &*witness, &options).await.unwrap();
    copies.push(Value::Object(witnessed).to_string());
    for passphrase in [false, true] {
        for worse in 0..copies.len() {
            for better in worse + 1..copies.len() {
                for order in [[worse, better], [better, worse]] {
                    let dir = tempfile::tempdir().unwrap();
                    let graph = TrustGraph::open_dir(dir.path()).unwrap();
                    if passphrase && worse + 1 == better {
                        graph.set_passphrase("a passphrase").await.unwrap();
                    }
                    let mut id = String::new();
                    for copy in order {
                        id = graph.import_credential(&copies[copy]).await.unwrap().id;
                    }
                    let kept: Value = serde_json::from_str(&graph.credential(&id).unwrap().to_json()).unwrap();
                    let expected: Value = serde_json::from_str(&copies[better]).unwrap();
                    assert_eq!(kept, expected, "{order:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_that_a_stranger_adds_push_out_none_that_are_kept() {
    let issuer = Keypair::from_seed([2; 32]).signer().unwrap();
    let now = jiff::Timestamp::now();
    let dir = tempfile::tempdir().unwrap();
    let graph = TrustGraph::open_dir(dir.path()).unwrap();
    let issued = graph.issue(CredentialType::Uptime, did(3), serde_json::Map::new(), None).await.unwrap();
    let mut document = issued.document().clone();
    document.remove("proof");
    document.remove("id");
    document.insert("issuer".into(), issuer.did().to_string().into());
    let by = async |document: &serde_json::Map<String, Value>, seeds: std::ops::Range<u8>| {
        let mut signed = document.clone();
        for seed in seeds {
            let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
            let options = proof::ProofOptions::new(proof::ProofPurpose::AssertionMethod, now);
            signed = proof::add(&signed, &*signer, &options).await.unwrap();
        }
        signed
    };
    let alone = by(&document, 2..3).await;
    let witnessed = by(&alone, 9..10).await;
    let junk = by(&alone, 20..33).await;
    let mut kept = Vec::new();
    for copy in [&alone, &witnessed, &junk, &alone] {
        let summary = graph.import_credential(&Value::Object(copy.clone()).to_string()).await.unwrap();
        kept.push(Value::Object(graph.credential(&summary.id).unwrap().document().clone()));
    }
    let witnessed = Value::Object(witnessed);
    assert_eq!(kept, [Value::Object(alone), witnessed.clone(), witnessed.clone(), witnessed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_passphrase_scores_follow_what_changes_through_whichever_handle() {
    let dir = tempfile::tempdir().unwrap();
    let graph = filled(dir.path()).await;
    graph.set_passphrase("correct horse").await.unwrap();
    let issuer = Keypair::from_seed([5; 32]).signer().unwrap();
    let store = kwaai_core::store::Store::in_memory().unwrap();
    let issuer = TrustGraph::open(store, issuer, std::sync::Arc::new(kwaai_core::clock::SystemClock)).unwrap();
    graph.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
    let clone = graph.clone();
    assert_eq!((graph.score(&did(7)).unwrap().value, clone.score(&did(7)).unwrap().value), (0.0, 0.0));
    let pledge = issuer.issue(CredentialType::FiduciaryPledge, did(7), serde_json::Map::new(), None).await.unwrap();
    clone.import_credential(&pledge.to_json()).await.unwrap();
    assert_eq!(graph.score(&did(7)).unwrap().value, 0.3);
    clone.remove_credential(pledge.id()).unwrap();
    assert_eq!(graph.score(&did(7)).unwrap().value, 0.0);
    graph.remove_passphrase().await.unwrap();
    graph.import_credential(&pledge.to_json()).await.unwrap();
    graph.set_passphrase("again").await.unwrap();
    assert_eq!(clone.score(&did(7)).unwrap().value, 0.3);
}
