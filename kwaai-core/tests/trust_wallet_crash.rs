//! A wallet and reputations whose process is killed while it writes: afterwards they hold the old state or the new one, never
//! neither.
//!
//! `KWAAINET_CRASH_POINTS=1000` kills at that many points; without it there are fewer, to be quick.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use killed::{FIRST_STEP, interrupt, points};
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{CredentialFilter, CredentialType, Observation, Outcome, TrustGraph, WalletState};
use serde_json::{Map, json};

#[path = "support/killed.rs"]
mod killed;

const CHILD: &str = "KWAAINET_TEST_WALLET";
const PASSPHRASES: &str = "KWAAINET_TEST_PASSPHRASES";

/// No process lives long enough to do more.
const STEPS: usize = 5000;
const CREDENTIALS: usize = 12;
const BUNDLE: usize = 3;

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

/// Time stands still, so that nothing that is counted decays.
fn clock() -> ManualClock {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn open(store: Store, seed: u8) -> TrustGraph {
    TrustGraph::open(store, Keypair::from_seed([seed; 32]).signer().unwrap(), Arc::new(clock())).unwrap()
}

fn wallet(dir: &Path) -> TrustGraph {
    open(Store::open(&dir.join("wallet")).unwrap(), 1)
}

/// How many good answers of the one peer are kept.
fn good_answers(graph: &TrustGraph) -> usize {
    graph.reputation(&did(20)).unwrap().map_or(0, |reputation| reputation.evidence.good as usize)
}

/// Credentials about three subjects, every third of which can be revoked.
async fn credentials() -> Vec<String> {
    let issuer = open(Store::in_memory().unwrap(), 2);
    let mut texts = Vec::new();
    for number in 0..CREDENTIALS {
        let (kind, subject) = (CredentialType::ALL[number % 7], did(10 + (number % 3) as u8));
        let claims: Map<_, _> =
            json!({"number": number, "note": "x".repeat(number * 100)}).as_object().unwrap().clone();
        let credential = match number % 3 {
            0 => issuer.issue_revocable(kind, subject, claims, None).await,
            _ => issuer.issue(kind, subject, claims, None).await,
        };
        texts.push(credential.unwrap().to_json());
    }
    texts
}

enum Action {
    Import(usize),
    Bundle,
    Remove(usize),
}

fn action(step: usize) -> Action {
    let (turn, number) = (step / CREDENTIALS, step % CREDENTIALS);
    match (step % 7, turn % 2) {
        (6, _) => Action::Bundle,
        (_, 0) => Action::Import(number),
        (_, _) => Action::Remove(number),
    }
}

/// Which credentials the wallet holds after so many steps.
fn state(steps: usize) -> BTreeSet<usize> {
    let mut held = BTreeSet::new();
    for step in 0..steps {
        match action(step) {
            Action::Import(number) => drop(held.insert(number)),
            Action::Bundle => held.extend(0..BUNDLE),
            Action::Remove(number) => drop(held.remove(&number)),
        }
    }
    held
}

fn bundle(texts: &[String]) -> String {
    json!({"format": "kwaainet-credentials", "version": 1, "credentials": &texts[..BUNDLE]}).to_string()
}

fn id(text: &str) -> String {
    serde_json::from_str::<serde_json::Value>(text).unwrap()["id"].as_str().unwrap().to_owned()
}

/// Not a test by itself: the process that is killed. It reports every step that is done on a line.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_changes_a_wallet_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let dir = Path::new(&dir);
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(dir.join("credentials.json")).unwrap()).unwrap();
    let graph = wallet(dir);
    let first: usize = std::env::var(FIRST_STEP).unwrap().parse().unwrap();
    for step in first..first + STEPS {
        match action(step) {
            Action::Import(number) => drop(graph.import_credential(&texts[number]).await.unwrap()),
            Action::Bundle => drop(graph.import_credentials(&bundle(&texts)).await.unwrap()),
            Action::Remove(number) => {
                // A bundle may have brought it back or not; what is not there stays away.
                let _ = graph.remove_credential(&id(&texts[number]));
            }
        }
        graph.record(&did(20), Observation::new(Outcome::Good, clock().now())).unwrap();
        graph.flush().unwrap();
        println!("\ndone {}", step + 1);
    }
}

/// Not a test by itself: the process that is killed. It sets one passphrase after the other, and takes every third away.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_changes_passphrases_until_it_is_killed() {
    let Ok(dir) = std::env::var(PASSPHRASES) else { return };
    let graph = wallet(Path::new(&dir));
    let first: usize = std::env::var(FIRST_STEP).unwrap().parse().unwrap();
    if let Some(passphrase) = passphrase(first) {
        graph.unlock(&passphrase).await.unwrap();
    }
    println!("\ndone {first}");
    for step in first + 1..first + STEPS {
        match passphrase(step) {
            Some(passphrase) => graph.set_passphrase(&passphrase).await.unwrap(),
            None => graph.remove_passphrase().await.unwrap(),
        }
        println!("\ndone {step}");
    }
}

fn passphrase(step: usize) -> Option<String> {
    (!step.is_multiple_of(3)).then(|| format!("correct horse {step}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_killed_while_it_is_written_holds_the_old_state_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let texts = credentials().await;
    std::fs::write(dir.path().join("credentials.json"), serde_json::to_vec(&texts).unwrap()).unwrap();
    let (mut first, mut interrupted, mut counted) = (0, 0, 0);
    for point in 0..points(60) {
        let child = "child_that_changes_a_wallet_until_it_is_killed";
        let done = interrupt(child, CHILD, dir.path(), first, rand::random_range(0..12), Duration::from_millis(12));
        assert!(done < first + STEPS, "the process was not interrupted");
        interrupted += usize::from(done > first);
        let graph = wallet(dir.path());
        let seen = good_answers(&graph);
        let written = done - first;
        assert!(
            [written, written + 1].contains(&(seen - counted)),
            "point {point}: {counted} answers before, {seen} after {written} steps"
        );
        counted = seen;
        let held = held(&graph, &texts);
        first = [done, done + 1].into_iter().find(|steps| state(*steps) == held).unwrap_or_else(|| {
            panic!(
                "point {point}: after {done} steps it holds {held:?}, not {:?} or {:?}",
                state(done),
                state(done + 1)
            )
        });
    }
    assert!(interrupted > points(60) / 2, "only {interrupted} processes came to write");
}

/// Which credentials a wallet holds, after checking that all it says of them agrees.
fn held(graph: &TrustGraph, texts: &[String]) -> BTreeSet<usize> {
    let all = graph.credentials(&CredentialFilter::default()).unwrap();
    let place = |id: &str| texts.iter().position(|text| text.contains(id)).unwrap();
    let held: BTreeSet<usize> = all.iter().map(|summary| place(&summary.id)).collect();
    for (number, text) in texts.iter().enumerate() {
        match graph.credential(&id(text)) {
            Ok(credential) => {
                assert_eq!((credential.to_json().as_str(), held.contains(&number)), (text.as_str(), true))
            }
            Err(error) => assert!(!held.contains(&number), "{error}"),
        }
    }
    for seed in 10..13 {
        let about = CredentialFilter { subject: Some(did(seed)), ..CredentialFilter::default() };
        let about: BTreeSet<usize> =
            graph.credentials(&about).unwrap().iter().map(|summary| place(&summary.id)).collect();
        let expected = held.iter().copied().filter(|number| 10 + (number % 3) as u8 == seed).collect();
        assert_eq!(about, expected, "credentials about {seed}");
    }
    let revocable = held.iter().any(|number| number.is_multiple_of(3));
    assert_eq!(graph.wanted_status_lists().unwrap().len(), if revocable { 2 } else { 0 }, "{held:?}");
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_killed_while_its_passphrase_changes_opens_with_the_old_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let texts = credentials().await;
    let graph = wallet(dir.path());
    for text in &texts {
        graph.import_credential(text).await.unwrap();
    }
    drop(graph);
    let mut first = 0;
    for point in 0..points(60) / 10 {
        let child = "child_that_changes_passphrases_until_it_is_killed";
        let done =
            interrupt(child, PASSPHRASES, dir.path(), first, rand::random_range(0..12), Duration::from_millis(400));
        let graph = wallet(dir.path());
        first = usize::MAX;
        for step in [done, done + 1] {
            let opens = match passphrase(step) {
                Some(passphrase) => graph.unlock(&passphrase).await.is_ok(),
                None => graph.wallet_state().unwrap() == WalletState::Plain,
            };
            if opens {
                first = step;
                break;
            }
        }
        assert_ne!(first, usize::MAX, "point {point}: neither the passphrase of step {done} nor the next opens it");
        assert_eq!(held(&graph, &texts).len(), CREDENTIALS);
    }
}
