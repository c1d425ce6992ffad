//! What lasts is renewed: room for the next credential, and what renewal, links and withdrawals may not do to a score.

use std::sync::Arc;
use std::time::Duration;

use kwaai_core::ErrorCode;
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{
    Askers, CredentialFilter, CredentialType, Disclosure, Disclosures, ENDORSEMENT_BUDGET, LinkType, MAX_PER_SUBJECT,
    MAX_SHOWN_ENDORSEMENTS, Tier, TrustAnswer, TrustGraph, WalletState, proof,
};
use serde_json::{Map, Value, json};

const DAY: Duration = Duration::from_secs(86_400);

fn key(number: u32) -> Keypair {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    Keypair::from_seed(seed)
}

fn did(number: u32) -> Did {
    key(number).did().unwrap()
}

/// Graphs on one clock; those of one store share it.
struct World {
    clock: ManualClock,
}

impl World {
    fn new() -> World {
        World { clock: "2026-06-01T10:30:00Z".parse().unwrap() }
    }

    fn graph(&self, number: u32) -> TrustGraph {
        self.on(number, Store::in_memory().unwrap())
    }

    fn on(&self, number: u32, store: Store) -> TrustGraph {
        TrustGraph::open(store, key(number).signer().unwrap(), Arc::new(self.clock.clone())).unwrap()
    }

    async fn issue(&self, issuer: u32, kind: CredentialType, subject: u32, days: u32) -> String {
        let issued = self.graph(issuer).issue(kind, did(subject), Map::new(), Some(DAY * days)).await;
        issued.unwrap().to_json()
    }
}

fn value(graph: &TrustGraph, subject: u32) -> f64 {
    graph.score(&did(subject)).unwrap().value
}

const ISSUER: u32 = 1;
const READER: u32 = 2;
const PEER: u32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_renewed_every_day_is_renewed_for_ever() {
    for passphrase in [false, true] {
        let world = World::new();
        let reader = world.graph(READER);
        if passphrase {
            reader.set_passphrase("correct horse").await.unwrap();
        }
        reader.trust_issuer(did(ISSUER), &[CredentialType::VerifiedNode]).unwrap();
        for day in 0..MAX_PER_SUBJECT as u32 + 20 {
            // Of 80 days each they end too late to make room by that.
            let renewed = world.issue(ISSUER, CredentialType::VerifiedNode, PEER, 80).await;
            let kept = reader.import_presented(&did(PEER), std::slice::from_ref(&renewed)).await.unwrap();
            assert_eq!((kept.len(), value(&reader, PEER)), (1, 0.2), "day {day}");
            world.clock.advance(DAY);
        }
        let about = CredentialFilter { subject: Some(did(PEER)), ..CredentialFilter::default() };
        assert_eq!(reader.credentials(&about).unwrap().len(), MAX_PER_SUBJECT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_makes_room_before_what_was_renewed_and_what_holds_stays() {
    let world = World::new();
    let reader = world.graph(READER);
    for issuer in 100..100 + MAX_PER_SUBJECT as u32 {
        let days = if issuer == 130 { 1 } else { 30 };
        reader.import_credential(&world.issue(issuer, CredentialType::VerifiedNode, PEER, days).await).await.unwrap();
    }
    let next = world.issue(99, CredentialType::VerifiedNode, PEER, 30).await;
    let full = reader.import_credential(&next).await.unwrap_err();
    assert_eq!((full.code(), full.context()["limit"].as_str()), (ErrorCode::ResourceExhausted, "64"));
    world.clock.advance(DAY * 2);
    reader.import_credential(&next).await.unwrap();
    let from = |issuer: u32| {
        let filter = CredentialFilter { issuer: Some(did(issuer)), ..CredentialFilter::default() };
        reader.credentials(&filter).unwrap().len()
    };
    assert_eq!((from(130), from(131), from(99)), (0, 1, 1));
    let bundle = format!(
        r#"{{"format":"kwaainet-credentials","version":1,"credentials":[{},{},"x"]}}"#,
        { Value::from(world.issue(98, CredentialType::VerifiedNode, PEER, 30).await) },
        Value::from(world.issue(98, CredentialType::VerifiedNode, 4, 30).await)
    );
    let imported = reader.import_credentials(&bundle).await.unwrap();
    assert_eq!((imported.kept.len(), imported.refused[0].0, imported.refused[1].0), (1, 0, 2), "the rest is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_an_organisation_take_no_place_of_what_issuers_say_about_it() {
    let world = World::new();
    let (organisation, reader) = (10, world.graph(READER));
    reader.trust_issuer(did(ISSUER), &[CredentialType::FiduciaryPledge]).unwrap();
    let pledge = world.issue(ISSUER, CredentialType::FiduciaryPledge, organisation, 60).await;
    reader.import_credential(&pledge).await.unwrap();
    for node in 100..100 + MAX_PER_SUBJECT as u32 {
        let side = world.graph(node).issue_binding(did(organisation), LinkType::Node, Some(DAY * 365)).await.unwrap();
        reader.import_credential(&side.to_json()).await.unwrap();
    }
    world.clock.advance(DAY * 50);
    let renewed = world.issue(ISSUER, CredentialType::FiduciaryPledge, organisation, 60).await;
    reader.import_credential(&renewed).await.unwrap();
    assert_eq!(value(&reader, organisation), 0.3);
    let side = world.graph(99).issue_binding(did(organisation), LinkType::Node, None).await.unwrap();
    assert_eq!(reader.import_credential(&side.to_json()).await.unwrap_err().code(), ErrorCode::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn endorsements_are_renewed_and_those_that_ended_divide_nothing() {
    let world = World::new();
    let reader = world.graph(READER);
    reader.trust_issuer(did(ISSUER), &[CredentialType::FiduciaryPledge]).unwrap();
    let endorsers: Vec<u32> = (100..100 + MAX_SHOWN_ENDORSEMENTS as u32).collect();
    for round in 0..3 {
        let mut shown = Vec::new();
        for endorser in &endorsers {
            reader
                .import_credential(&world.issue(ISSUER, CredentialType::FiduciaryPledge, *endorser, 40).await)
                .await
                .unwrap();
            shown.push(world.issue(*endorser, CredentialType::PeerEndorsement, PEER, 30).await);
        }
        assert_eq!(reader.import_presented(&did(PEER), &shown).await.unwrap().len(), endorsers.len(), "round {round}");
        assert_eq!(value(&reader, PEER), 0.05);
        world.clock.advance(DAY * 31);
    }
    // One that endorsed many in its time, each for a day.
    let busy = 50;
    reader.import_credential(&world.issue(ISSUER, CredentialType::FiduciaryPledge, busy, 900).await).await.unwrap();
    for peer in 1000..1000 + 3 * ENDORSEMENT_BUDGET as u32 {
        reader.import_credential(&world.issue(busy, CredentialType::PeerEndorsement, peer, 1).await).await.unwrap();
    }
    let last = 2000;
    reader.import_credential(&world.issue(busy, CredentialType::PeerEndorsement, last, 9).await).await.unwrap();
    let among_many = value(&reader, last);
    world.clock.advance(DAY * 2);
    assert!(value(&reader, last) > 2.9 * among_many, "{} {among_many}", value(&reader, last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_with_a_trusted_issuer_lowers_no_score_and_so_its_withdrawal_raises_none() {
    let world = World::new();
    let (foundation, reader) = (10, world.graph(READER));
    reader.trust_issuer(did(foundation), &[CredentialType::VerifiedNode]).unwrap();
    reader.import_credential(&world.issue(foundation, CredentialType::VerifiedNode, PEER, 90).await).await.unwrap();
    assert_eq!(value(&reader, PEER), 0.2);
    let theirs = world.graph(foundation).issue_binding(did(PEER), LinkType::Organisation, None).await.unwrap();
    let ours = world.graph(PEER).issue_binding(did(foundation), LinkType::Node, None).await.unwrap();
    for side in [&theirs, &ours] {
        reader.import_credential(&side.to_json()).await.unwrap();
    }
    assert_eq!(reader.bindings(&did(PEER)).unwrap().len(), 1);
    assert_eq!(value(&reader, PEER), 0.2, "{}", reader.score(&did(PEER)).unwrap());
    // Its endorsement, for which it is not named, stays its own word about its own node.
    reader.trust_issuer(did(ISSUER), &[CredentialType::FiduciaryPledge]).unwrap();
    reader.import_credential(&world.issue(foundation, CredentialType::PeerEndorsement, PEER, 90).await).await.unwrap();
    assert_eq!(reader.score(&did(PEER)).unwrap().parts.endorsements, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_handles_on_one_database_have_one_passphrase() {
    let world = World::new();
    let store = Store::in_memory().unwrap();
    let (one, other) = (world.on(READER, store.clone()), world.on(READER, store));
    one.set_passphrase("first").await.unwrap();
    assert_eq!(other.wallet_state().unwrap(), WalletState::Unlocked);
    one.remove_passphrase().await.unwrap();
    one.set_passphrase("second").await.unwrap();
    other.import_credential(&world.issue(ISSUER, CredentialType::VerifiedNode, PEER, 9).await).await.unwrap();
    assert_eq!(one.credentials(&CredentialFilter::default()).unwrap().len(), 1);
    one.lock().unwrap();
    assert_eq!(other.credentials(&CredentialFilter::default()).unwrap_err().code(), ErrorCode::PermissionDenied);
    other.unlock("second").await.unwrap();
    assert_eq!(one.credentials(&CredentialFilter::default()).unwrap().len(), 1);
}

/// The lists of an issuer as it signs them now.
async fn lists(issuer: &TrustGraph) -> Vec<String> {
    let mut texts = Vec::new();
    for url in issuer.status_lists().unwrap() {
        texts.push(issuer.status_list(&issuer.did(), &url.to_string()).await.unwrap());
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_whose_clock_was_years_ahead_for_a_moment_can_still_revoke() {
    let world = World::new();
    let store = Store::in_memory().unwrap();
    let issuer = world.on(ISSUER, store.clone());
    let reader = world.graph(READER);
    reader.trust_issuer(did(ISSUER), &CredentialType::ALL).unwrap();
    let issued = issuer.issue_revocable(CredentialType::VerifiedNode, did(PEER), Map::new(), None).await.unwrap();
    reader.import_credential(&issued.to_json()).await.unwrap();
    drop(issuer);
    let ahead = World { clock: "2030-06-01T00:00:00Z".parse().unwrap() };
    lists(&ahead.on(ISSUER, store.clone())).await;
    let issuer = world.on(ISSUER, store);
    issuer.revoke(issued.id()).unwrap();
    for list in lists(&issuer).await {
        reader.keep_status_list(&list).await.unwrap();
    }
    assert_eq!(value(&reader, PEER), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_a_stranger_adds_to_a_list_shortens_it_for_nobody() {
    let world = World::new();
    let (issuer, holder, reader) = (world.graph(ISSUER), world.graph(PEER), world.graph(READER));
    let issued = issuer.issue_revocable(CredentialType::VerifiedNode, did(PEER), Map::new(), None).await.unwrap();
    for graph in [&holder, &reader] {
        graph.trust_issuer(did(ISSUER), &CredentialType::ALL).unwrap();
        graph.import_credential(&issued.to_json()).await.unwrap();
    }
    for list in lists(&issuer).await {
        holder.keep_status_list(&list).await.unwrap();
        let document: Value = serde_json::from_str(&list).unwrap();
        let mut options = proof::ProofOptions::new(proof::ProofPurpose::AssertionMethod, world.clock.now());
        options.expires = Some(world.clock.now() + Duration::from_secs(1));
        let poisoned = proof::add(document.as_object().unwrap(), &*key(77).signer().unwrap(), &options).await.unwrap();
        holder.keep_status_list(&Value::Object(poisoned).to_string()).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(60));
    for url in issuer.status_lists().unwrap() {
        let passed_on = holder.status_list(&did(ISSUER), &url.to_string()).await.unwrap();
        reader.keep_status_list(&passed_on).await.unwrap();
    }
    assert_eq!(value(&reader, PEER), 0.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_spelt_otherwise_hides_no_withdrawal() {
    let world = World::new();
    let (issuer, reader) = (world.graph(ISSUER), world.graph(READER));
    let issued = issuer.issue_revocable(CredentialType::VerifiedNode, did(PEER), Map::new(), None).await.unwrap();
    let mut document = issued.document().clone();
    document.remove("proof");
    document.remove("id");
    for entry in document["credentialStatus"].as_array_mut().unwrap() {
        entry["statusSize"] = json!(1);
    }
    let signed = proof::sign(&document, &*key(ISSUER).signer().unwrap(), world.clock.now()).await.unwrap();
    let respelt = Value::Object(signed).to_string().replace(r#""statusSize":1"#, r#""statusSize":1.0"#);
    issuer.revoke(issued.id()).unwrap();
    reader.trust_issuer(did(ISSUER), &CredentialType::ALL).unwrap();
    reader.import_presented(&did(PEER), &[respelt]).await.unwrap();
    for list in lists(&issuer).await {
        reader.keep_status_list(&list).await.unwrap();
    }
    assert_eq!(value(&reader, PEER), 0.0, "{}", reader.score(&did(PEER)).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_askers_keeps_nobody_out() {
    let world = World::new();
    let (answerer, friend) = (world.graph(READER), world.graph(PEER));
    answerer.set_disclosures(&Disclosures::default().with(Tier::Unknown, Disclosure::Tier)).unwrap();
    let askers = Askers::default();
    let ask = async |asker: &TrustGraph| {
        let question = asker.question(did(READER), did(4), None, [7; 16]).await.unwrap();
        answerer.answer(&askers, None, question.to_json()).await
    };
    let busy = world.graph(5);
    for _ in 0..60 {
        ask(&busy).await.unwrap();
    }
    let store = Store::in_memory().unwrap();
    for number in 10_000..14_200 {
        ask(&world.on(number, store.clone())).await.unwrap();
    }
    assert_eq!(ask(&friend).await.unwrap().answer, TrustAnswer::Unknown);
    assert_eq!(ask(&busy).await.unwrap_err().code(), ErrorCode::Busy, "who asked much is remembered");
}

#[cfg(feature = "rdfc")]
#[test]
fn a_document_of_many_contexts_is_refused_before_any_is_processed() {
    let document = |contexts: Vec<&str>| {
        let Value::Object(document) = json!({"@context": contexts, "type": ["VerifiableCredential"]}) else {
            panic!("not an object")
        };
        document
    };
    let v2 = "https://www.w3.org/ns/credentials/v2";
    proof::canonical_rdf(&document(vec![v2])).unwrap();
    let twice = proof::canonical_rdf(&document(vec![v2, v2])).unwrap_err();
    assert_eq!((twice.code(), twice.context()["rule"].as_str()), (ErrorCode::InvalidArgument, "context"));
    let many = proof::canonical_rdf(&document(vec![v2; 1500])).unwrap_err();
    assert_eq!((many.code(), many.context()["rule"].as_str()), (ErrorCode::ResourceExhausted, "size"));
}
