//! Credentials from what an issuer saw itself, and credentials that travel: endorsements, and what a person lends a node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::node::{BlockShare, Contribution, RateOptions};
use kwaai_core::shard::Blocks;
use kwaai_core::store::Store;
use kwaai_core::trust::{
    BindingClaims, Claims, Credential, CredentialFilter, CredentialType, LinkType, MAX_SHOWN_ENDORSEMENTS, Observation,
    Outcome, Purpose, Tier, TrustGraph, proof,
};
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::Map;

const GRACE: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn graph(seed: u8, clock: &ManualClock) -> TrustGraph {
    let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
    TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(clock.clone())).unwrap()
}

fn june() -> ManualClock {
    "2026-06-01T10:30:00Z".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uptime_is_issued_from_looks_over_days_and_counts_at_a_reader() {
    let clock = june();
    let (watcher, reader) = (graph(1, &clock), graph(2, &clock));
    let refused = watcher.issue_uptime(did(3), None).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotFound, "nothing was seen");
    watcher.sight(&did(3), true).unwrap();
    assert_eq!(
        watcher.issue_uptime(did(3), None).await.unwrap_err().code(),
        ErrorCode::NotFound,
        "one look is no window"
    );
    for look in 1..=200 {
        clock.advance(HOUR);
        watcher.sight(&did(3), look % 50 != 0).unwrap();
        watcher.sight(&did(4), false).unwrap();
    }
    let seen = watcher.sightings(&did(3)).unwrap().unwrap();
    assert_eq!((seen.looks, seen.up, seen.from), (201, 197, "2026-06-01T10:30:00Z".parse().unwrap()));
    assert!(watcher.reputation(&did(3)).unwrap().is_none(), "being up is no right answer");

    let credential = watcher.issue_uptime(did(3), None).await.unwrap();
    let Some(Claims::Uptime(said)) = Claims::read(&credential).unwrap() else { panic!("no uptime") };
    assert_eq!((said.window.samples, said.window.from, said.window.until), (201, seen.from, seen.until));
    assert!((said.up_share - 197.0 / 201.0).abs() < 1e-12);
    reader.trust_issuer(watcher.did(), &[CredentialType::Uptime]).unwrap();
    reader.import_credential(&credential.to_json()).await.unwrap();
    assert_eq!(reader.score(&did(3)).unwrap().value, 0.2, "over seven days, and up at 98 of 100 looks");
    let silent = watcher.issue_uptime(did(4), None).await.unwrap();
    reader.import_credential(&silent.to_json()).await.unwrap();
    let score = reader.score(&did(4)).unwrap();
    assert_eq!(score.value, 0.0, "it was never up: {score}");
    assert_eq!(watcher.sight(&did(1), true).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_looks_a_week_apart_are_no_uptime_and_a_clock_that_was_ahead_hides_nothing() {
    let (clock, wrong) = (june(), ManualClock::at("2036-06-01T10:30:00Z".parse().unwrap()));
    let signer = || Keypair::from_seed([1; 32]).signer().unwrap();
    let store = Store::in_memory().unwrap();
    let open = |clock: &ManualClock| TrustGraph::open(store.clone(), signer(), Arc::new(clock.clone())).unwrap();
    let watcher = open(&clock);
    watcher.sight(&did(3), true).unwrap();
    clock.advance(HOUR * 24 * 8);
    watcher.sight(&did(3), true).unwrap();
    assert_eq!(watcher.issue_uptime(did(3), None).await.unwrap_err().code(), ErrorCode::NotFound);
    for _ in 0..7 {
        clock.advance(HOUR * 24);
        watcher.sight(&did(3), true).unwrap();
    }
    open(&wrong).sight(&did(3), false).unwrap();
    open(&ManualClock::at(clock.now() + jiff::SignedDuration::from_hours(3))).sight(&did(3), true).unwrap();
    let seen = watcher.sightings(&did(3)).unwrap().unwrap();
    assert_eq!((seen.looks, seen.up, seen.days, seen.until), (10, 10, 9, clock.now()));
    watcher.issue_uptime(did(3), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn links_take_one_place_for_each_side_and_only_while_they_hold() {
    let clock = june();
    let (node, organisation, issuer) = (graph(1, &clock), graph(2, &clock), graph(5, &clock));
    let pledge = issuer.issue(CredentialType::FiduciaryPledge, did(2), Map::new(), None).await.unwrap();
    let reader = async |seed: u8| {
        let reader = graph(seed, &clock);
        reader.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
        reader.import_credential(&pledge.to_json()).await.unwrap();
        reader
    };
    let mut shown = Vec::new();
    for hours in 1..40u32 {
        for (from, to, kind) in [(&node, did(2), LinkType::Node), (&organisation, did(1), LinkType::Organisation)] {
            shown.push(from.issue_binding(to, kind, Some(HOUR * hours)).await.unwrap().to_json());
        }
    }
    let stranger = graph(8, &clock);
    assert!(
        stranger.import_presented(&did(1), &shown).await.unwrap().is_empty(),
        "with nobody that anybody vouches for"
    );
    for _ in 0..5 {
        stranger.record(&did(1), Observation::new(Outcome::Good, clock.now())).unwrap();
    }
    assert_eq!(stranger.import_presented(&did(1), &shown).await.unwrap().len(), 2, "unless the node is Known itself");
    let first = reader(3).await;
    assert_eq!(first.import_presented(&did(1), &shown).await.unwrap().len(), 2);
    assert_eq!(first.import_presented(&did(1), &shown).await.unwrap().len(), 0, "both sides are known");
    assert_eq!(first.bindings(&did(1)).unwrap().len(), 1);
    // One that was withdrawn makes room for its successor, and not for any number of them.
    let sides = async |reader: &TrustGraph, from: u8| {
        let claims = Claims::Binding(BindingClaims { linked_identity: did(2), link_type: LinkType::Organisation });
        for _ in from..8 {
            let side =
                organisation.issue_revocable(CredentialType::Binding, did(1), claims.to_map(), None).await.unwrap();
            let ours = node.issue_binding(did(2), LinkType::Node, None).await.unwrap();
            organisation.revoke(side.id()).unwrap();
            reader.import_presented(&did(1), &[side.to_json(), ours.to_json()]).await.unwrap();
            for url in organisation.status_lists().unwrap() {
                let list = organisation.status_list(&did(2), &url.to_string()).await.unwrap();
                reader.keep_status_list(&list).await.unwrap();
            }
        }
    };
    let withdrawn = reader(6).await;
    sides(&withdrawn, 0).await;
    let about = CredentialFilter { subject: Some(did(1)), ..CredentialFilter::default() };
    assert_eq!(withdrawn.credentials(&about).unwrap().len(), 4);
    let successor = reader(7).await;
    sides(&successor, 7).await;
    assert!(successor.bindings(&did(1)).unwrap().is_empty(), "it was withdrawn");
    assert_eq!(successor.import_presented(&did(1), &shown).await.unwrap().len(), 1, "and has a successor");
    assert_eq!(successor.bindings(&did(1)).unwrap().len(), 1);
    let other = reader(4).await;
    clock.advance(HOUR * 100);
    assert_eq!(other.import_presented(&did(1), &shown).await.unwrap().len(), 0, "all have ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_score_counts_about_a_person_and_what_was_withdrawn_is_shown_to_nobody() {
    let clock = june();
    let (node, person) = (graph(1, &clock), graph(2, &clock));
    let theirs = person.issue_binding(node.did(), LinkType::Person, None).await.unwrap();
    let ours = node.issue_binding(person.did(), LinkType::Node, None).await.unwrap();
    for side in [&theirs, &ours] {
        node.import_credential(&side.to_json()).await.unwrap();
    }
    let document = serde_json::json!({
        "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2"],
        "type": ["VerifiableCredential", "DrivingLicence"],
        "issuer": did(4).to_string(),
        "credentialSubject": {"id": did(2).to_string(), "birthDate": "1970-01-01"},
    });
    let signer = Keypair::from_seed([4; 32]).signer().unwrap();
    let licence = proof::sign(document.as_object().unwrap(), &*signer, clock.now()).await.unwrap();
    node.import_credential(&serde_json::Value::Object(licence).to_string()).await.unwrap();
    let own = node.issue_revocable(CredentialType::VerifiedNode, node.did(), Map::new(), None).await.unwrap();
    node.import_credential(&own.to_json()).await.unwrap();
    assert_eq!(node.presentable().unwrap().len(), 3);
    node.revoke(own.id()).unwrap();
    let shown = node.presentable().unwrap();
    assert_eq!(shown.len(), 2, "the two sides of the link");
    assert!(shown.iter().all(|text| !text.contains("birthDate")));
}

#[test]
fn looks_older_than_128_days_are_forgotten_and_days_ahead_do_not_count() {
    let clock = june();
    let watcher = graph(1, &clock);
    watcher.sight(&did(3), true).unwrap();
    clock.advance(HOUR * 24 * 129);
    assert!(watcher.sightings(&did(3)).unwrap().is_none());
    watcher.sight(&did(3), false).unwrap();
    let seen = watcher.sightings(&did(3)).unwrap().unwrap();
    assert_eq!((seen.looks, seen.up), (1, 0));
}

/// What `peer` shows, taken by `reader`; how many were kept.
async fn shows(peer: &TrustGraph, reader: &TrustGraph) -> usize {
    reader.import_presented(&peer.did(), &peer.presentable().unwrap()).await.unwrap().len()
}

async fn endorse(by: u8, about: Did, clock: &ManualClock) -> Credential {
    graph(by, clock).issue(CredentialType::PeerEndorsement, about, Map::new(), None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn endorsements_by_peers_travel_and_are_worth_what_the_endorser_is() {
    let clock = june();
    let (peer, reader, issuer) = (graph(1, &clock), graph(2, &clock), graph(3, &clock));
    reader.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge, CredentialType::VerifiedNode]).unwrap();
    for kind in [CredentialType::FiduciaryPledge, CredentialType::VerifiedNode] {
        let credential = issuer.issue(kind, did(10), Map::new(), None).await.unwrap();
        reader.import_credential(&credential.to_json()).await.unwrap();
    }
    let endorsers = 10..10 + MAX_SHOWN_ENDORSEMENTS as u8 + 4;
    for by in endorsers.clone() {
        peer.import_credential(&endorse(by, peer.did(), &clock).await.to_json()).await.unwrap();
    }
    peer.import_credential(&endorse(1, peer.did(), &clock).await.to_json()).await.unwrap();
    assert_eq!(shows(&peer, &reader).await, 1, "the word of strangers, and the peer's own about itself, is not kept");
    assert_eq!(reader.score(&peer.did()).unwrap().value, 0.025, "half of 0.05, by one endorser that is worth a half");
    let about_peer = CredentialFilter { subject: Some(peer.did()), ..CredentialFilter::default() };
    for by in endorsers.skip(1) {
        for _ in 0..5 {
            let good = Observation::new(Outcome::Good, clock.now());
            reader.record(&did(by), good).unwrap();
        }
    }
    assert_eq!(shows(&peer, &reader).await, MAX_SHOWN_ENDORSEMENTS, "who served well is no stranger");
    assert_eq!(shows(&peer, &reader).await, MAX_SHOWN_ENDORSEMENTS, "the same again, and no others");
    assert_eq!(reader.credentials(&about_peer).unwrap().len(), MAX_SHOWN_ENDORSEMENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_lends_its_standing_to_a_node_that_shows_both_sides() {
    let clock = june();
    let (node, person, reader, issuer) = (graph(1, &clock), graph(2, &clock), graph(3, &clock), graph(4, &clock));
    reader.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
    let pledge = issuer.issue(CredentialType::FiduciaryPledge, person.did(), Map::new(), None).await.unwrap();
    let theirs = person.issue_binding(node.did(), LinkType::Person, None).await.unwrap();
    let ours = node.issue_binding(person.did(), LinkType::Node, None).await.unwrap();
    // The person's link to another node is nobody's business here.
    let elsewhere = graph(9, &clock).issue_binding(person.did(), LinkType::Node, None).await.unwrap();
    for credential in [&pledge, &theirs, &elsewhere] {
        node.import_credential(&credential.to_json()).await.unwrap();
    }
    assert_eq!(shows(&node, &reader).await, 0, "one side proves nothing, and lends nothing");
    node.import_credential(&ours.to_json()).await.unwrap();
    let shown = node.presentable().unwrap();
    assert_eq!(shown.len(), 3);
    assert!(!shown.contains(&elsewhere.to_json()));
    assert_eq!(shows(&node, &reader).await, 3);
    assert_eq!(reader.bindings(&node.did()).unwrap().len(), 1);
    assert_eq!(reader.score(&node.did()).unwrap().value, 0.3);

    // A peer that shows the person's credentials without the person's word gains nothing and leaves nothing.
    let thief = graph(5, &clock);
    let stolen = [
        pledge.to_json(),
        thief.issue_binding(person.did(), LinkType::Node, None).await.unwrap().to_json(),
        theirs.to_json(),
    ];
    assert!(reader.import_presented(&thief.did(), &stolen).await.unwrap().is_empty());
    assert_eq!(reader.score(&thief.did()).unwrap().value, 0.0);
}

fn tiny_model() -> PathBuf {
    std::env::current_dir().unwrap().join("../examples/models/tiny-kwaai")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_issues_what_it_saw_and_measured_of_another_over_sockets() {
    let app = Node::start(Config::default()).await.unwrap();
    let bootstrap = vec![app.info().unwrap().addresses[0].to_string()];
    let host = Node::start(Config { bootstrap, ..Config::default() }).await.unwrap();
    let other = Node::start(Config::default()).await.unwrap();
    for peer in [&host, &other] {
        app.connect(&peer.info().unwrap().addresses[0].to_string()).await.unwrap();
    }
    assert!(app.sight(host.peer_id()).await.unwrap());
    assert_eq!(app.sight(app.peer_id()).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(app.watch_peers(Duration::from_millis(999)).unwrap_err().code(), ErrorCode::InvalidArgument);

    let policy = app.trust().policy().unwrap().with_minimum(Purpose::UseBlocks, Tier::Unknown).unwrap();
    app.trust().set_policy(policy).unwrap();
    let model = app.shards().load(tiny_model(), Blocks::All).await.unwrap();
    let options = || RateOptions { tokens: 8, runs: 2, seed: Some(3), valid_for: Some(HOUR) };
    let idle = app.issue_throughput(host.peer_id(), &model, options()).await.unwrap_err();
    assert_eq!(idle.code(), ErrorCode::NotFound, "it serves nothing yet");
    let blocks = vec![BlockShare { model: tiny_model(), blocks: (1..model.config().blocks as u32).into() }];
    host.contribute(Contribution { min_tier: Some(Tier::Unknown), blocks, ..Default::default() }).await.unwrap();
    let credential = app.issue_throughput(host.peer_id(), &model, options()).await.unwrap();
    let Some(Claims::Throughput(said)) = Claims::read(&credential).unwrap() else { panic!("no throughput") };
    assert_eq!((&*said.model, said.window.samples, credential.subject()), (model.id(), 2, Some(host.did())));
    assert!(said.tokens_per_second > 0.0 && said.window.until > said.window.from);
    for (tokens, runs) in [(7, 1), (513, 1), (8, 0), (8, 65)] {
        let refused = app.issue_throughput(host.peer_id(), &model, RateOptions { tokens, runs, ..options() }).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidArgument, "{tokens} {runs}");
    }

    host.shutdown(GRACE).await.unwrap();
    assert!(!app.sight(host.peer_id()).await.unwrap(), "another peer answers, so that the fault is not here");
    let seen = app.trust().sightings(&host.did()).unwrap().unwrap();
    assert_eq!((seen.looks, seen.up), (2, 1));
    let uptime = app.trust().issue_uptime(host.did(), None).await.unwrap();
    assert_eq!(uptime.claims().unwrap()["upShare"], 0.5);
    other.shutdown(GRACE).await.unwrap();
    let alone = app.sight(host.peer_id()).await.unwrap_err();
    assert_eq!(alone.code(), ErrorCode::Unreachable, "nobody answers, so that it may be this node's own fault");
    assert_eq!(app.trust().sightings(&host.did()).unwrap().unwrap().looks, 2);
    app.shutdown(GRACE).await.unwrap();
    assert_eq!(app.sight(host.peer_id()).await.unwrap_err().code(), ErrorCode::Closed);
}
