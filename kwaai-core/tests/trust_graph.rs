//! The life of credentials in a trust graph: issued, imported, scored, gated on.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair, PeerId};
use kwaai_core::store::Store;
use kwaai_core::trust::proof::{ProofOptions, ProofPurpose};
use kwaai_core::trust::{
    Credential, CredentialFilter, CredentialType, Gate, IssuerPreset, MAX_PER_SUBJECT, Policy, Purpose, Tier,
    TrustGraph, Validity, proof,
};
use kwaai_core::{Error, ErrorCode};
use serde_json::{Map, Value, json};

const DAY: Duration = Duration::from_secs(86_400);

/// Several nodes on one clock. Node `n` has the key of the seed `[n; 32]`.
struct World {
    clock: ManualClock,
}

impl World {
    fn new() -> World {
        World { clock: ManualClock::at("2026-06-01T10:30:00.25Z".parse().unwrap()) }
    }

    fn node(&self, seed: u8) -> TrustGraph {
        let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
        TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(self.clock.clone())).unwrap()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn peer_id(seed: u8) -> PeerId {
    Keypair::from_seed([seed; 32]).peer_id()
}

fn claims(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

async fn issue(issuer: &TrustGraph, kind: CredentialType, subject: Did) -> String {
    issuer.issue(kind, subject, Map::new(), None).await.unwrap().to_json()
}

/// Imports a fresh credential of each type from `issuer` about `subject`, and trusts the issuer for all of them.
async fn vouch(node: &TrustGraph, issuer: &TrustGraph, kinds: &[CredentialType], subject: Did) {
    node.trust_issuer(issuer.did(), kinds).unwrap();
    for kind in kinds {
        node.import_credential(&issue(issuer, *kind, subject).await).await.unwrap();
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code()
}

const FIRST_THREE: [CredentialType; 3] =
    [CredentialType::FiduciaryPledge, CredentialType::VerifiedNode, CredentialType::Uptime];

#[tokio::test(flavor = "multi_thread")]
async fn pledge_verified_node_and_uptime_are_trusted_until_their_score_lies_well_below_the_threshold() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    vouch(&node, &issuer, &FIRST_THREE, did(3)).await;
    let score = node.score(&did(3)).unwrap();
    assert_eq!((score.value, score.tier), (0.7, Tier::Trusted));

    world.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(node.score(&did(3)).unwrap().tier, Tier::Trusted, "the first day has not passed");
    world.clock.advance(Duration::from_secs(1));
    let score = node.score(&did(3)).unwrap();
    assert!((score.value - 0.7 * 0.5f64.powf(1.0 / 365.0)).abs() < 1e-12);
    assert_eq!(format!("{:.4}", score.value), "0.6987");
    assert_eq!((Tier::of(score.value), score.tier), (Tier::Verified, Tier::Trusted), "reached, and held below");
    let text = score.to_string();
    assert!(text.contains("FiduciaryPledgeVC: 0.30 × 0.5^(1/365) = 0.2994, counted"), "{text}");
    for reason in &score.reasons {
        assert_eq!((reason.age_days, reason.issuer, reason.counted), (1, issuer.did(), true));
        assert!((reason.contribution - reason.weight * reason.factor).abs() < 1e-12);
    }
    world.clock.advance(DAY * 14);
    assert_eq!(node.score(&did(3)).unwrap().tier, Tier::Trusted, "0.6803 after 15 days");
    world.clock.advance(DAY);
    assert_eq!(node.score(&did(3)).unwrap().tier, Tier::Verified, "0.6790 after 16 days");
    world.clock.advance(DAY * 349);
    assert_eq!(node.score(&did(3)).unwrap().value, 0.35, "half after 365 days");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_trusted_at_first_and_distrust_takes_the_score_away() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.import_credential(&issue(&issuer, CredentialType::FiduciaryPledge, did(3)).await).await.unwrap();
    assert!(node.issuers().unwrap().is_empty());
    let score = node.score(&did(3)).unwrap();
    assert_eq!((score.value, score.tier), (0.0, Tier::Unknown));
    assert_eq!(score.reasons[0].why, "this node does not trust its issuer for FiduciaryPledgeVC");
    assert_eq!(score.reasons[0].contribution, 0.3, "what it would add is shown");

    node.trust_issuer(issuer.did(), &[CredentialType::Uptime]).unwrap();
    assert_eq!(node.score(&did(3)).unwrap().value, 0.0, "trust for one type is not trust for another");
    node.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
    assert_eq!(node.score(&did(3)).unwrap().value, 0.3);
    assert_eq!(node.issuers().unwrap()[0].types, [CredentialType::FiduciaryPledge]);
    node.distrust_issuer(&issuer.did()).unwrap();
    assert_eq!(node.score(&did(3)).unwrap().value, 0.0);
    assert_eq!(code(node.distrust_issuer(&issuer.did())), ErrorCode::NotFound);
    assert_eq!(code(node.trust_issuer(issuer.did(), &[])), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subjects_own_word_counts_for_nothing() {
    let world = World::new();
    let (node, boaster) = (world.node(1), world.node(2));
    vouch(&node, &boaster, &CredentialType::WEIGHED, boaster.did()).await;
    let score = node.score(&boaster.did()).unwrap();
    assert_eq!(score.value, 0.0);
    assert!(score.reasons.iter().all(|reason| reason.why == "its subject issued it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_endorsements_weigh_as_much_as_the_freshest_one() {
    let world = World::new();
    let node = world.node(1);
    for seed in 10..30 {
        let endorser = world.node(seed);
        vouch(&node, &endorser, &[CredentialType::PeerEndorsement], did(3)).await;
        world.clock.advance(DAY);
    }
    let score = node.score(&did(3)).unwrap();
    assert_eq!(score.tier, Tier::Unknown);
    let counted: Vec<_> = score.reasons.iter().filter(|reason| reason.counted).collect();
    assert_eq!((counted.len(), counted[0].age_days, counted[0].issuer), (1, 1, did(29)));
    assert_eq!(score.reasons.len(), 20);
    assert_eq!(score.reasons[5].why, "a better credential of this type counts already");
    assert!((score.value - 0.05 * 0.5f64.powf(1.0 / 365.0)).abs() < 1e-12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_counts_only_while_it_is_in_force() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &[CredentialType::Uptime]).unwrap();
    world.clock.advance(DAY);
    let text = issuer.issue(CredentialType::Uptime, did(3), Map::new(), Some(DAY)).await.unwrap().to_json();

    let earlier = ManualClock::at(world.now() - DAY);
    let signer = Keypair::from_seed([1; 32]).signer().unwrap();
    let slow = TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(earlier.clone())).unwrap();
    slow.trust_issuer(issuer.did(), &[CredentialType::Uptime]).unwrap();
    let refused = slow.import_credential(&text).await.unwrap_err();
    assert_eq!((refused.code(), refused.context()["rule"].as_str()), (ErrorCode::InvalidArgument, "dates"));
    let minute = Duration::from_secs(60);
    earlier.advance(DAY - minute);
    let summary = slow.import_credential(&text).await.unwrap();
    assert_eq!(summary.validity(earlier.now()), Validity::NotYet, "clocks may differ by minutes");
    let score = slow.score(&did(3)).unwrap();
    assert_eq!(score.value, 0.0, "a future date earns nothing");
    assert!(score.reasons[0].why.starts_with("it holds only from 2026-06-02"), "{}", score.reasons[0].why);
    earlier.advance(minute);
    assert_eq!(slow.score(&did(3)).unwrap().value, 0.2);

    node.import_credential(&text).await.unwrap();
    world.clock.advance(DAY + Duration::from_secs(1));
    let score = node.score(&did(3)).unwrap();
    assert_eq!((score.value, &*score.reasons[0].why), (0.0, "it has expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lifetime_is_kwaainets_unless_the_issuer_says_another() {
    let world = World::new();
    let issuer = world.node(2);
    let end = async |kind, valid_for| {
        let credential = issuer.issue(kind, did(3), Map::new(), valid_for).await.unwrap();
        let summary = credential.summary().clone();
        summary.valid_until.map(|until| until.duration_since(summary.valid_from.unwrap()).as_secs() / 86_400)
    };
    assert_eq!(end(CredentialType::FiduciaryPledge, None).await, None);
    assert_eq!(end(CredentialType::SummitAttendee, None).await, Some(730));
    assert_eq!(end(CredentialType::PeerEndorsement, None).await, Some(90));
    assert_eq!(end(CredentialType::PeerEndorsement, Some(DAY * 5)).await, Some(5));
    for impossible in [Duration::ZERO, Duration::MAX, DAY * 366 * 9000] {
        let refused = issuer.issue(CredentialType::Uptime, did(3), Map::new(), Some(impossible)).await;
        assert_eq!(code(refused), ErrorCode::InvalidArgument, "{impossible:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_with_a_status_of_another_make_counts_half() {
    let world = World::new();
    let node = world.node(1);
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let mut document = issue_document(CredentialType::VerifiedNode, did(2), did(3));
    document.insert("credentialStatus".into(), json!({"type": "StatusList2021Entry", "statusListIndex": "7"}));
    let signed = proof::sign(&document, &*signer, world.now()).await.unwrap();
    node.trust_issuer(did(2), &[CredentialType::VerifiedNode]).unwrap();
    node.import_credential(&Value::Object(signed).to_string()).await.unwrap();
    let score = node.score(&did(3)).unwrap();
    assert!((score.value - 0.1 * score.reasons[0].factor).abs() < 1e-12, "{score}");
    assert!(
        score.reasons[0].why.contains("it counts half, because its status cannot be read"),
        "{}",
        score.reasons[0].why
    );
}

/// A credential as another library may write it: issuer as an object, other contexts, members that nobody here knows.
fn issue_document(kind: CredentialType, issuer: Did, subject: Did) -> Map<String, Value> {
    claims(json!({
        "@context": ["https://www.w3.org/ns/credentials/v2", {"@protected": true, "more": "https://example.org/more"}],
        "id": "urn:uuid:4f2bd8b5-6cf0-4e3e-9d51-1c0f0b6f0001",
        "type": ["VerifiableCredential", kind.as_str(), "SomethingElse"],
        "issuer": {"id": issuer.to_string(), "name": "an issuer"},
        "validFrom": "2026-05-31T00:00:00.5+02:00",
        "credentialSubject": {"id": subject.to_string(), "more": 1.5},
        "evidence": [{"x": null}]
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_another_make_is_kept_to_the_last_member() {
    let world = World::new();
    let node = world.node(1);
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let signed = proof::sign(&issue_document(CredentialType::Uptime, did(2), did(3)), &*signer, world.now()).await;
    let signed = Value::Object(signed.unwrap());
    let summary = node.import_credential(&signed.to_string()).await.unwrap();
    let kept = node.credential(&summary.id).unwrap();
    assert_eq!(Value::Object(kept.document().clone()), signed);
    assert_eq!((kept.kind(), kept.subject()), (Some(CredentialType::Uptime), Some(did(3))));
    assert_eq!(kept.claims().unwrap()["more"], 1.5);
    assert_eq!(summary.types, ["VerifiableCredential", "UptimeVC", "SomethingElse"]);
    assert_eq!(summary.valid_from, Some("2026-05-30T22:00:00.5Z".parse().unwrap()));
    node.verify(&kept.to_json()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_no_credential_are_refused_even_when_well_signed() {
    let world = World::new();
    let node = world.node(1);
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let good = issue_document(CredentialType::Uptime, did(2), did(3));
    let cases = [
        ("@context", json!("https://www.w3.org/2018/credentials/v1"), ErrorCode::InvalidArgument),
        ("@context", json!([{"a": "b"}, "https://www.w3.org/ns/credentials/v2"]), ErrorCode::InvalidArgument),
        ("id", json!(5), ErrorCode::InvalidArgument),
        ("id", json!(format!("urn:kwaai:vc:{}", "0".repeat(64))), ErrorCode::CorruptData),
        ("type", json!(["UptimeVC"]), ErrorCode::InvalidArgument),
        ("type", json!(["VerifiableCredential", "UptimeVC", "VerifiedNodeVC"]), ErrorCode::InvalidArgument),
        ("issuer", json!(did(9).to_string()), ErrorCode::CorruptData),
        ("issuer", json!("https://kwaai.ai"), ErrorCode::Unsupported),
        ("issuer", json!({"name": "nobody"}), ErrorCode::InvalidArgument),
        ("validFrom", json!("2026-06-01"), ErrorCode::InvalidArgument),
        ("validFrom", json!("2027-01-01T00:00:00Z"), ErrorCode::InvalidArgument),
        ("validUntil", json!("2020-01-01T00:00:00Z"), ErrorCode::InvalidArgument),
        ("credentialSubject", json!("did:key:z6Mk"), ErrorCode::InvalidArgument),
        ("credentialSubject", json!([]), ErrorCode::InvalidArgument),
        ("credentialSubject", json!({"id": 5}), ErrorCode::InvalidArgument),
    ];
    for (name, value, expected) in cases {
        let mut document = good.clone();
        document.insert(name.into(), value.clone());
        let signed = proof::sign(&document, &*signer, world.now()).await.unwrap();
        let refused = node.import_credential(&Value::Object(signed).to_string()).await;
        assert_eq!(code(refused), expected, "{name} {value}");
    }
    let mut signed = proof::sign(&good, &*signer, world.now()).await.unwrap();
    signed["@context"].as_array_mut().unwrap().push("https://attacker.example/terms".into());
    let refused = node.import_credential(&Value::Object(signed).to_string()).await;
    assert_eq!(code(refused), ErrorCode::CorruptData, "an appended context is not under the signature");
    assert_eq!(code(node.verify(&Value::Object(good).to_string())), ErrorCode::InvalidArgument, "unsigned");
    assert_eq!(code(node.verify("[]")), ErrorCode::InvalidArgument);
    assert!(node.credentials(&CredentialFilter::default()).unwrap().is_empty(), "nothing refused was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_the_older_data_model_is_read_and_a_mixture_is_refused() {
    let world = World::new();
    let node = world.node(1);
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let mut old = issue_document(CredentialType::Uptime, did(2), did(3));
    old.remove("validFrom");
    old.insert("@context".into(), json!(["https://www.w3.org/2018/credentials/v1", "https://example.org/more"]));
    old.insert("issuanceDate".into(), "2026-05-01T00:00:00Z".into());
    old.insert("expirationDate".into(), "2026-07-01T00:00:00Z".into());
    let read = async |document: &Map<String, Value>| {
        let signed = proof::sign(document, &*signer, world.now()).await.unwrap();
        node.import_credential(&Value::Object(signed).to_string()).await
    };
    let summary = read(&old).await.unwrap();
    assert_eq!(summary.kind, Some(CredentialType::Uptime));
    assert_eq!(summary.valid_from, Some("2026-05-01T00:00:00Z".parse().unwrap()));
    assert_eq!(summary.valid_until, Some("2026-07-01T00:00:00Z".parse().unwrap()));
    node.trust_issuer(did(2), &[CredentialType::Uptime]).unwrap();
    assert_eq!(node.score(&did(3)).unwrap().reasons[0].age_days, 31, "its age counts from issuanceDate");

    let new = issue_document(CredentialType::Uptime, did(2), did(3));
    let both = json!(["https://www.w3.org/2018/credentials/v1", "https://www.w3.org/ns/credentials/v2"]);
    let turned = json!(["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/2018/credentials/v1"]);
    for (document, name, value, rule) in [
        (&old, "validFrom", json!("2026-05-01T00:00:00Z"), "version"),
        (&old, "validUntil", json!("2026-07-01T00:00:00Z"), "version"),
        (&old, "@context", both, "version"),
        (&old, "issuanceDate", json!("2026-05-01"), "dates"),
        (&old, "expirationDate", json!("2026-04-01T00:00:00Z"), "dates"),
        (&new, "issuanceDate", json!("2026-05-01T00:00:00Z"), "version"),
        (&new, "expirationDate", json!("2026-07-01T00:00:00Z"), "version"),
        (&new, "@context", turned, "version"),
        (&new, "@context", json!(["https://www.w3.org/ns/credentials/v2", 5]), "context"),
    ] {
        let mut document = document.clone();
        document.insert(name.into(), value);
        let refused = read(&document).await.unwrap_err();
        assert_eq!((refused.code(), refused.context()["rule"].as_str()), (ErrorCode::InvalidArgument, rule), "{name}");
    }
    old.remove("issuanceDate");
    assert_eq!(read(&old).await.unwrap_err().context()["rule"], "dates", "version 1.1 requires it");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_may_sign_beside_the_issuer_and_not_in_its_place() {
    let world = World::new();
    let node = world.node(1);
    let document = issue_document(CredentialType::Uptime, did(2), did(3));
    let add = async |document: &Map<String, Value>, seed: u8| {
        let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
        let options = ProofOptions::new(ProofPurpose::AssertionMethod, world.now());
        proof::add(document, &*signer, &options).await.unwrap()
    };
    let witnessed = add(&add(&document, 4).await, 5).await;
    let refused = node.verify(&Value::Object(witnessed.clone()).to_string()).unwrap_err();
    assert_eq!((refused.code(), refused.context()["rule"].as_str()), (ErrorCode::CorruptData, "controller"));
    let mut issued = add(&witnessed, 2).await;
    let credential = node.verify(&Value::Object(issued.clone()).to_string()).unwrap();
    let signers: Vec<Did> = credential.proofs(world.now()).unwrap().iter().map(|proof| proof.signer).collect();
    assert_eq!(signers, [did(4), did(5), did(2)]);
    issued["proof"][0]["proofValue"] = issued["proof"][1]["proofValue"].clone();
    let refused = node.verify(&Value::Object(issued).to_string()).unwrap_err();
    assert_eq!(refused.context()["rule"], "signature", "every proof must hold, whoever made it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_keeps_each_credential_once_and_finds_it_by_its_parts() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    let uptime = issue(&issuer, CredentialType::Uptime, did(3)).await;
    let first = node.import_credential(&uptime).await.unwrap();
    assert_eq!(node.import_credential(&uptime).await.unwrap(), first);
    node.import_credential(&issue(&issuer, CredentialType::VerifiedNode, did(3)).await).await.unwrap();
    node.import_credential(&issue(&world.node(4), CredentialType::Uptime, did(5)).await).await.unwrap();

    let count = |filter: CredentialFilter| node.credentials(&filter).unwrap().len();
    let any = CredentialFilter::default();
    assert_eq!(count(any), 3);
    assert_eq!(count(CredentialFilter { subject: Some(did(3)), ..any }), 2);
    assert_eq!(count(CredentialFilter { issuer: Some(did(4)), ..any }), 1);
    assert_eq!(count(CredentialFilter { kind: Some(CredentialType::Uptime), ..any }), 2);
    assert_eq!(count(CredentialFilter { subject: Some(did(3)), kind: Some(CredentialType::Uptime), ..any }), 1);
    let ids: Vec<String> = node.credentials(&any).unwrap().into_iter().map(|summary| summary.id).collect();
    assert!(ids.is_sorted());

    assert_eq!(node.credential(&first.id).unwrap().to_json(), uptime);
    node.remove_credential(&first.id).unwrap();
    assert_eq!(count(CredentialFilter { subject: Some(did(3)), ..any }), 1);
    assert_eq!(code(node.remove_credential(&first.id)), ErrorCode::NotFound);
    assert_eq!(code(node.credential(&first.id)), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_credentials_about_one_subject_is_stopped() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    for number in 0..=MAX_PER_SUBJECT {
        let credential = issuer.issue(CredentialType::Uptime, did(3), claims(json!({"number": number})), None).await;
        let imported = node.import_credential(&credential.unwrap().to_json()).await;
        if number < MAX_PER_SUBJECT {
            imported.unwrap();
        } else {
            assert_eq!(code(imported), ErrorCode::ResourceExhausted);
        }
    }
    assert_eq!(node.credentials(&CredentialFilter::default()).unwrap().len(), MAX_PER_SUBJECT);
    node.import_credential(&issue(&issuer, CredentialType::Uptime, did(4)).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_refuses_a_stranger_and_the_caller_does_not_use_one() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    for purpose in [Purpose::Open, Purpose::Message] {
        node.admit(peer_id(3), purpose).await.unwrap();
        node.require(&did(3), purpose).unwrap();
    }
    let error = node.admit(peer_id(3), Purpose::ServeBlocks).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert_eq!((error.context()["tier"].as_str(), error.context()["needed"].as_str()), ("unknown", "known"));
    let error = node.require(&did(3), Purpose::UseBlocks).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UntrustedPeer);
    assert_eq!((error.context()["tier"].as_str(), error.context()["needed"].as_str()), ("unknown", "known"));

    vouch(&node, &issuer, &[CredentialType::VerifiedNode], did(3)).await;
    node.admit(peer_id(3), Purpose::ServeBlocks).await.unwrap();
    node.require(&did(3), Purpose::UseBlocks).unwrap();
    node.set_policy(Policy::default().with_minimum(Purpose::ServeBlocks, Tier::Trusted).unwrap()).unwrap();
    assert_eq!(code(node.admit(peer_id(3), Purpose::ServeBlocks).await), ErrorCode::PermissionDenied);
    node.require(&did(3), Purpose::UseBlocks).unwrap();
    assert_eq!(code(Policy::default().with_minimum(Purpose::Open, Tier::Known)), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_presents_its_own_credentials_and_a_peer_keeps_those_it_can_use() {
    let world = World::new();
    let (node, peer, issuer) = (world.node(1), world.node(3), world.node(2));
    node.trust_issuer(issuer.did(), &[CredentialType::VerifiedNode]).unwrap();
    for (kind, subject) in [
        (CredentialType::VerifiedNode, peer.did()),
        (CredentialType::Uptime, peer.did()),
        (CredentialType::VerifiedNode, did(4)),
    ] {
        peer.import_credential(&issue(&issuer, kind, subject).await).await.unwrap();
    }
    let short = issuer.issue(CredentialType::VerifiedNode, peer.did(), Map::new(), Some(DAY)).await.unwrap();
    peer.import_credential(&short.to_json()).await.unwrap();
    world.clock.advance(DAY * 2);
    let mut presented = peer.presentable().unwrap();
    assert_eq!(presented.len(), 2, "its own, without the expired one");
    presented.push("{}".into());
    presented.push(issue(&issuer, CredentialType::VerifiedNode, did(4)).await);

    let kept = node.import_presented(&peer.did(), &presented).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].kind, kept[0].subject), (Some(CredentialType::VerifiedNode), Some(peer.did())));
    assert_eq!(node.score(&peer.did()).unwrap().tier, Tier::Known);
    assert_eq!(node.credentials(&CredentialFilter::default()).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_could_mislead_are_refused_at_the_source() {
    let world = World::new();
    let issuer = world.node(2);
    let mut deep = json!(1);
    for _ in 0..500 {
        deep = Value::Array(vec![deep]);
    }
    for (claim, expected) in [
        (json!({"id": did(4).to_string()}), ErrorCode::InvalidArgument),
        (json!({"@type": "Other"}), ErrorCode::InvalidArgument),
        (json!({"tokens": u64::MAX}), ErrorCode::InvalidArgument),
        (json!({"deep": deep}), ErrorCode::ResourceExhausted),
        (json!({"long": "x".repeat(70_000)}), ErrorCode::ResourceExhausted),
    ] {
        let refused = issuer.issue(CredentialType::Uptime, did(3), claims(claim), None).await;
        assert_eq!(code(refused), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_graph_alone_remembers_everything_in_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let graph = TrustGraph::open_dir(dir.path()).unwrap();
    let own = graph.did();
    let kept = graph.issue(CredentialType::Throughput, did(3), Map::new(), None).await.unwrap();
    graph.import_credential(&kept.to_json()).await.unwrap();
    graph.trust_issuer(own, &[CredentialType::Throughput, CredentialType::Uptime]).unwrap();
    let policy = Policy::default().with_minimum(Purpose::Message, Tier::Verified).unwrap();
    graph.set_policy(policy.clone()).unwrap();
    assert_eq!(code(TrustGraph::open_dir(dir.path()).map(|_| ())), ErrorCode::Busy);
    drop(graph);

    let again = TrustGraph::open_dir(dir.path()).unwrap();
    assert_eq!(again.did(), own);
    assert_eq!(again.policy().unwrap(), policy);
    assert_eq!(again.issuers().unwrap()[0].types, [CredentialType::Uptime, CredentialType::Throughput]);
    assert_eq!(again.credential(kept.id()).unwrap(), kept);
    assert_eq!(again.score(&did(3)).unwrap().value, 0.15);
}

#[test]
fn presets_name_kwaainets_roles_and_invent_no_keys() {
    let graph = World::new().node(1);
    for preset in IssuerPreset::ALL {
        let error = graph.trust_preset(preset).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unsupported);
        assert!(error.to_string().contains(preset.title()), "{error}");
        assert!(!preset.types().is_empty());
    }
    assert!(graph.issuers().unwrap().is_empty());
}

#[test]
fn an_issuer_is_one_key_under_every_spelling_of_its_did() {
    let graph = World::new().node(1);
    let key = did(2);
    let spellings = [
        key.to_string(),
        format!("did:peer:0{}", key.multikey()),
        format!("did:peer:{}", key.to_peer_id().unwrap()),
        key.to_peer_id().unwrap().to_string(),
    ];
    for trusted in &spellings {
        for distrusted in &spellings {
            let preset = IssuerPreset::BootstrapServer;
            graph.trust_issuer(Did::parse_any(trusted).unwrap(), preset.types()).unwrap();
            graph.trust_issuer(Did::parse_any(distrusted).unwrap(), preset.types()).unwrap();
            assert_eq!(graph.issuers().unwrap().len(), 1, "{trusted} {distrusted}");
            assert_eq!(graph.issuers().unwrap()[0].did, key);
            graph.distrust_issuer(&Did::parse_any(distrusted).unwrap()).unwrap();
            assert!(graph.issuers().unwrap().is_empty(), "{trusted} {distrusted}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_proof_no_longer_counts() {
    let world = World::new();
    let pair = Keypair::from_seed([2; 32]);
    let document = issue_document(CredentialType::Uptime, did(2), did(3));
    let mut config = claims(json!({
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-jcs-2022",
        "created": "2026-06-01T00:00:00Z",
        "expires": "2026-06-02T00:00:00Z",
        "verificationMethod": did(2).verification_method(),
        "proofPurpose": "assertionMethod",
    }));
    let hashes = proof::hash_data(&document, &config).unwrap();
    let signature = pair.signer().unwrap().sign(&hashes).await.unwrap();
    config.insert("proofValue".into(), format!("z{}", bs58::encode(signature).into_string()).into());
    let mut signed = document;
    signed.insert("proof".into(), Value::Object(config));
    let text = Value::Object(signed).to_string();

    let node = world.node(1);
    node.trust_issuer(did(2), &[CredentialType::Uptime]).unwrap();
    node.import_credential(&text).await.unwrap();
    assert!(node.score(&did(3)).unwrap().reasons[0].counted);
    world.clock.advance(DAY);
    let score = node.score(&did(3)).unwrap();
    assert_eq!(score.value, 0.0);
    assert!(score.reasons[0].why.starts_with("its proof does not hold"), "{}", score.reasons[0].why);
    assert_eq!(code(Credential::verify(&text, world.now())), ErrorCode::InvalidArgument);
}
