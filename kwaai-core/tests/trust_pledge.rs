//! The fiduciary pledge from the wish to the withdrawal, its badge, and credentials that travel as digests.

use std::sync::Arc;
use std::time::Duration;

use graphs::{alone, did, on_clock};
use kwaai_core::clock::ManualClock;
use kwaai_core::node::{BlockShare, Contribution};
use kwaai_core::shard::Blocks;
use kwaai_core::trust::{
    Credential, CredentialFilter, CredentialType, DEFAULT_TTL, MAX_ANNOUNCED, PLEDGE_NAME, PLEDGE_REQUEST_LIFETIME,
    Pledge, PledgeRequest, PledgeWithdrawal, TrustGraph,
};
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::{Map, Value};
use statement::{broken, forged, rule};

#[path = "support/graphs.rs"]
mod graphs;
#[path = "support/statement.rs"]
mod statement;

const GRACE: Duration = Duration::from_secs(2);
const PLEDGE: CredentialType = CredentialType::FiduciaryPledge;
const VERIFIED: CredentialType = CredentialType::VerifiedNode;
const TEXT: &str = "I act in the interest of those whose data I hold.\n";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pledge() -> Pledge {
    Pledge::of_text(TEXT).unwrap()
}

/// On one clock: 1 pledges, 2 issues, 3 looks on and trusts 2.
struct World {
    clock: ManualClock,
    pledger: TrustGraph,
    issuer: TrustGraph,
    reader: TrustGraph,
}

impl World {
    fn new() -> World {
        let clock = ManualClock::at("2026-06-01T10:30:00.25Z".parse().unwrap());
        let graph = |seed| on_clock(seed, Arc::new(clock.clone()));
        let (pledger, issuer, reader) = (graph(1), graph(2), graph(3));
        reader.trust_issuer(did(2), &[PLEDGE, VERIFIED]).unwrap();
        World { pledger, issuer, reader, clock }
    }

    /// A pledge that 1 carries and 3 knows.
    async fn pledged(&self) -> Credential {
        let request = self.pledger.request_pledge(did(2), &pledge()).await.unwrap();
        let credential = self.issuer.issue_pledge(request.to_json(), &pledge(), None).await.unwrap();
        self.pledger.accept_pledge(&credential.to_json(), &pledge()).await.unwrap();
        self.reader.import_presented(&did(1), &self.pledger.presentable().unwrap()).await.unwrap();
        self.bring_lists(&self.pledger).await;
        self.bring_lists(&self.reader).await;
        credential
    }

    /// Brings the issuer's status lists to a node that wants them.
    async fn bring_lists(&self, node: &TrustGraph) {
        for list in node.wanted_status_lists().unwrap() {
            let list = self.issuer.status_list(&did(2), &list.url).await.unwrap();
            node.keep_status_list(&list).await.unwrap();
        }
    }
}

// Written by another implementation of JCS, Ed25519 and Data Integrity, from the description of the format.
const REQUEST: &str = include_str!("golden/pledge_request.json").trim_ascii_end();
const WITHDRAWAL: &str = include_str!("golden/pledge_withdrawal.json").trim_ascii_end();

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_request_and_of_a_withdrawal_are_fixed() {
    let world = World::new();
    let request = world.pledger.request_pledge(did(2), &pledge()).await.unwrap();
    assert_eq!(request.to_json(), REQUEST);
    assert_eq!(PledgeRequest::read(REQUEST).unwrap(), request);
    assert_eq!(forged(REQUEST, 1, |_| {}).await, REQUEST, "signed as the format says");
    // One without a status, whose place in a list is drawn at random.
    let claims = serde_json::json!({"pledgeName": pledge().name(), "pledgeHash": hex(pledge().hash())});
    let credential = world.issuer.issue(PLEDGE, did(1), claims.as_object().unwrap().clone(), None).await.unwrap();
    world.pledger.accept_pledge(&credential.to_json(), &pledge()).await.unwrap();
    let withdrawal = world.pledger.withdraw_pledge(credential.id()).await.unwrap();
    assert_eq!(withdrawal.to_json(), WITHDRAWAL);
    assert_eq!(PledgeWithdrawal::read(WITHDRAWAL, "2026-06-01T10:30:00Z".parse().unwrap()).unwrap(), withdrawal);
    assert_eq!(forged(WITHDRAWAL, 1, |_| {}).await, WITHDRAWAL, "signed as the format says");
}

#[test]
fn a_pledge_is_its_name_and_the_hash_of_its_text() {
    let pledge = Pledge::of_text("abc").unwrap();
    assert_eq!(pledge.hash()[..4], [0xba, 0x78, 0x16, 0xbf], "FIPS 180-4, example of one block");
    assert_eq!(pledge.name(), PLEDGE_NAME);
    assert!(pledge.is_of("abc") && !pledge.is_of("abc\n"));
    assert_ne!(pledge, Pledge::named("Another Pledge", "abc").unwrap());
    for (name, text) in [("", "abc"), ("two\nlines", "abc"), (&*"x".repeat(201), "abc"), ("name", "")] {
        assert_eq!(Pledge::named(name, text).unwrap_err().code(), ErrorCode::InvalidArgument, "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pledge_is_asked_for_issued_carried_seen_withdrawn_and_gone() {
    let world = World::new();
    let credential = world.pledged().await;
    let claims = credential.claims().unwrap();
    assert_eq!(claims["pledgeName"], PLEDGE_NAME);
    assert_eq!(claims["pledgeHash"].as_str().unwrap().len(), 64);
    assert_eq!(Pledge::of_credential(&credential).unwrap(), pledge());
    let score = world.reader.score(&did(1)).unwrap();
    assert!(score.is_pledged());
    assert_eq!(score.value, 0.3);

    let withdrawal = world.pledger.withdraw_pledge(credential.id()).await.unwrap();
    assert!(world.pledger.presentable().unwrap().is_empty(), "it is shown no more");
    assert_eq!(world.pledger.withdrawals().unwrap(), std::slice::from_ref(&withdrawal));
    let again = world.pledger.accept_pledge(&credential.to_json(), &pledge()).await;
    assert_eq!(rule(again), broken(ErrorCode::InvalidArgument, "withdrawn"));
    assert_eq!(world.issuer.pledge_to_revoke(withdrawal.to_json()).unwrap(), credential);
    assert!(world.reader.score(&did(1)).unwrap().is_pledged(), "it has not been told yet");

    world.reader.import_withdrawal(withdrawal.to_json()).await.unwrap();
    assert!(!world.reader.score(&did(1)).unwrap().is_pledged());
    let presented = world.reader.import_presented(&did(1), &[credential.to_json()]).await.unwrap();
    assert!(presented.is_empty(), "a copy of it is taken no more");
    world.clock.advance(Duration::from_secs(1));
    assert_ne!(world.pledged().await.id(), credential.id());
    assert!(world.reader.score(&did(1)).unwrap().is_pledged(), "it may be pledged again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_comes_while_the_wallet_is_locked_is_not_lost() {
    let world = World::new();
    let credential = world.pledged().await;
    let withdrawal = world.pledger.withdraw_pledge(credential.id()).await.unwrap();
    world.reader.set_passphrase("correct horse").await.unwrap();
    assert!(world.reader.score(&did(1)).unwrap().is_pledged());
    world.reader.lock().unwrap();
    world.reader.import_withdrawal(withdrawal.to_json()).await.unwrap();
    world.reader.unlock("correct horse").await.unwrap();
    assert!(!world.reader.score(&did(1)).unwrap().is_pledged());
    assert_eq!(world.reader.credential(credential.id()).unwrap_err().code(), ErrorCode::NotFound);
    let bundle = world.issuer.export_credentials().unwrap();
    assert_eq!(world.reader.import_credentials(&bundle).await.unwrap().kept.len(), 0);
    let again = world.reader.import_all(&[credential.to_json()]).await;
    assert_eq!(rule(again), broken(ErrorCode::InvalidArgument, "withdrawn"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_revokes_a_pledge_and_the_badge_goes() {
    let world = World::new();
    let credential = world.pledged().await;
    let elsewhere = world.pledger.revoke(credential.id()).unwrap_err();
    assert_eq!(elsewhere.code(), ErrorCode::NotFound, "only its issuer revokes it");
    world.issuer.revoke(credential.id()).unwrap();
    assert!(world.reader.score(&did(1)).unwrap().is_pledged(), "the list that it has is from before");
    world.clock.advance(DEFAULT_TTL / 2);
    world.bring_lists(&world.reader).await;
    let score = world.reader.score(&did(1)).unwrap();
    assert!(!score.is_pledged());
    assert_eq!((score.value, &*score.reasons[0].why), (0.0, "its issuer revoked it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_certifies_only_what_was_asked_of_it_and_just_now() {
    let world = World::new();
    let request = world.pledger.request_pledge(did(2), &pledge()).await.unwrap();
    let text = request.to_json();
    let issue = async |text: &str, pledge: Pledge| rule(world.issuer.issue_pledge(text, &pledge, None).await);
    let other = Pledge::of_text("I promise nothing.").unwrap();
    assert_eq!(issue(text, other).await, broken(ErrorCode::InvalidArgument, "pledge"));
    let renamed = Pledge::named("Another name", TEXT).unwrap();
    assert_eq!(issue(text, renamed).await, broken(ErrorCode::InvalidArgument, "pledge"));
    let elsewhere = world.reader.issue_pledge(text, &pledge(), None).await;
    assert_eq!(rule(elsewhere), broken(ErrorCode::InvalidArgument, "audience"));
    let in_anothers_name = forged(text, 9, |_| {}).await;
    assert_eq!(issue(&in_anothers_name, pledge()).await, broken(ErrorCode::CorruptData, "signature"));
    let early = forged(text, 1, |members| members["requested"] = "2026-06-01T10:35:01Z".into()).await;
    assert_eq!(issue(&early, pledge()).await, broken(ErrorCode::InvalidArgument, "not_yet"));
    let forms: [fn(&mut Map<String, Value>); 4] = [
        |members| members["pledgeHash"] = "ab".into(),
        |members| members["pledgeName"] = "".into(),
        |members| drop(members.remove("issuer")),
        |members| drop(members.insert("more".into(), 1.into())),
    ];
    for change in forms {
        let text = forged(text, 1, change).await;
        assert_eq!(issue(&text, pledge()).await, broken(ErrorCode::InvalidArgument, "form"), "{text}");
    }
    assert_eq!(issue(&" ".repeat(5000), pledge()).await, broken(ErrorCode::ResourceExhausted, "form"));
    world.clock.advance(PLEDGE_REQUEST_LIFETIME);
    world.issuer.issue_pledge(text, &pledge(), None).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(issue(text, pledge()).await, broken(ErrorCode::InvalidArgument, "expired"));
    let own = world.pledger.request_pledge(did(1), &pledge()).await;
    assert_eq!(own.unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_carries_only_its_own_pledge_of_the_text_it_pledged() {
    let world = World::new();
    let issue = async |kind, subject, claims: Value| {
        let claims = claims.as_object().unwrap().clone();
        world.issuer.issue(kind, subject, claims, None).await.unwrap().to_json()
    };
    let hash = "00".repeat(32);
    for (rule_broken, credential) in [
        ("kind", issue(VERIFIED, did(1), serde_json::json!({})).await),
        ("claims", issue(PLEDGE, did(1), serde_json::json!({})).await),
        ("claims", issue(PLEDGE, did(1), serde_json::json!({"pledgeName": "x", "pledgeHash": "sha256"})).await),
        ("pledge", issue(PLEDGE, did(1), serde_json::json!({"pledgeName": PLEDGE_NAME, "pledgeHash": hash})).await),
        ("subject", issue(PLEDGE, did(5), serde_json::json!({"pledgeName": PLEDGE_NAME, "pledgeHash": hash})).await),
    ] {
        let accepted = world.pledger.accept_pledge(&credential, &pledge()).await;
        assert_eq!(rule(accepted), broken(ErrorCode::InvalidArgument, rule_broken));
    }
    assert!(world.pledger.credentials(&CredentialFilter::default()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_withdraws_what_another_pledged() {
    let world = World::new();
    let credential = world.pledged().await;
    let by_reader = world.reader.withdraw_pledge(credential.id()).await;
    assert_eq!(rule(by_reader), broken(ErrorCode::InvalidArgument, "subject"));
    assert_eq!(world.pledger.withdraw_pledge("urn:kwaai:vc:0").await.unwrap_err().code(), ErrorCode::NotFound);
    let other = world.issuer.issue(VERIFIED, did(1), Map::new(), None).await.unwrap();
    world.pledger.import_credential(&other.to_json()).await.unwrap();
    let no_pledge = world.pledger.withdraw_pledge(other.id()).await;
    assert_eq!(rule(no_pledge), broken(ErrorCode::InvalidArgument, "kind"));

    let honest = world.pledger.withdraw_pledge(credential.id()).await.unwrap();
    let text = honest.to_json();
    let stolen = forged(text, 9, |members| members["pledger"] = did(9).to_string().into()).await;
    for reader in [&world.issuer, &world.reader] {
        assert_eq!(rule(reader.pledge_to_revoke(&stolen)), broken(ErrorCode::CorruptData, "subject"));
        assert_eq!(rule(reader.import_withdrawal(&stolen).await), broken(ErrorCode::CorruptData, "subject"));
    }
    let unsigned = forged(text, 9, |_| {}).await;
    assert_eq!(rule(world.issuer.pledge_to_revoke(&unsigned)), broken(ErrorCode::CorruptData, "signature"));
    let another = forged(text, 1, |members| members["credential"] = Value::Object(other.document().clone())).await;
    assert_eq!(rule(world.issuer.pledge_to_revoke(&another)), broken(ErrorCode::InvalidArgument, "kind"));
    let changed = forged(text, 1, |members| members["credential"]["validFrom"] = "2026-06-01T10:30:01Z".into()).await;
    assert_eq!(world.issuer.pledge_to_revoke(&changed).unwrap_err().code(), ErrorCode::CorruptData);
    let elsewhere = rule(world.reader.pledge_to_revoke(text));
    assert_eq!(elsewhere, broken(ErrorCode::InvalidArgument, "issuer"));
    assert!(world.reader.score(&did(1)).unwrap().is_pledged(), "nothing of this took the pledge away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_pledge_comes_back_in_no_way() {
    let world = World::new();
    let credential = world.pledged().await;
    let text = credential.to_json();
    let bundle = world.reader.export_credentials().unwrap();
    let withdrawal = world.pledger.withdraw_pledge(credential.id()).await.unwrap();
    world.reader.import_withdrawal(withdrawal.to_json()).await.unwrap();
    let withdrawn = broken(ErrorCode::InvalidArgument, "withdrawn");
    assert_eq!(rule(world.reader.import_credential(&text).await), withdrawn);
    assert_eq!(rule(world.reader.import_all(std::slice::from_ref(&text)).await), withdrawn);
    let imported = world.reader.import_credentials(&bundle).await.unwrap();
    assert!(imported.kept.iter().all(|kept| kept.id != credential.id()), "{imported:?}");
    assert_eq!(imported.refused.len(), 1);
    assert!(!world.reader.score(&did(1)).unwrap().is_pledged());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_withdrawals_are_checked_and_not_kept() {
    let world = World::new();
    let credential = world.pledged().await;
    let withdrawal = world.pledger.withdraw_pledge(credential.id()).await.unwrap();
    let indifferent = alone(7);
    indifferent.import_withdrawal(withdrawal.to_json()).await.unwrap();
    assert!(indifferent.withdrawals().unwrap().is_empty());
    world.reader.import_withdrawal(withdrawal.to_json()).await.unwrap();
    assert_eq!(world.reader.withdrawals().unwrap(), [withdrawal]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_badge_needs_an_issuer_that_is_trusted_for_it_and_a_pledge_in_force() {
    let world = World::new();
    let badge = || world.reader.score(&did(1)).unwrap().is_pledged();
    assert!(!badge());
    let request = world.pledger.request_pledge(did(2), &pledge()).await.unwrap();
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let credential = world.issuer.issue_pledge(request.to_json(), &pledge(), Some(year)).await.unwrap();
    world.reader.import_credential(&credential.to_json()).await.unwrap();
    assert!(badge());
    world.reader.trust_issuer(did(2), &[VERIFIED]).unwrap();
    assert!(!badge());
    world.reader.trust_issuer(did(2), &[PLEDGE]).unwrap();
    world.clock.advance(year - Duration::from_secs(1));
    assert!(badge());
    world.clock.advance(Duration::from_secs(1));
    assert!(!badge());
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_digests_are_announced_the_newest_of_each_type_first() {
    let world = World::new();
    let mut newest = Vec::new();
    for round in 0..5 {
        for kind in [VERIFIED, PLEDGE] {
            let credential = world.issuer.issue(kind, did(1), Map::new(), None).await.unwrap();
            world.pledger.import_credential(&credential.to_json()).await.unwrap();
            if round == 4 {
                newest.insert(0, credential.id().to_owned());
            }
        }
        world.clock.advance(Duration::from_secs(1));
    }
    let announced = world.pledger.announced().unwrap();
    assert_eq!(announced.len(), MAX_ANNOUNCED);
    assert_eq!(announced.iter().take(2).map(ToString::to_string).collect::<Vec<_>>(), newest);
    assert_eq!(world.reader.lacking(&announced).unwrap(), announced);
    let texts = world.pledger.presentable_of(&announced[..2]).unwrap();
    assert_eq!(texts.len(), 2);
    assert_eq!(world.reader.import_fetched(&did(1), &announced[..1], &texts).await.unwrap().len(), 1, "what was asked");
    assert_eq!(world.reader.import_fetched(&did(5), &announced, &texts).await.unwrap().len(), 0, "about the peer");
    assert_eq!(world.reader.lacking(&announced).unwrap(), announced[1..]);
    let about_another = world.issuer.issue(PLEDGE, did(5), Map::new(), None).await.unwrap();
    world.pledger.import_credential(&about_another.to_json()).await.unwrap();
    let digest = about_another.id().parse().unwrap();
    assert!(
        world.pledger.presentable_of(&[digest]).unwrap().is_empty(),
        "credentials about others are shown to nobody"
    );
}

fn tiny_model() -> std::path::PathBuf {
    std::env::current_dir().unwrap().join("../examples/models/tiny-kwaai")
}

async fn joined(bootstrap: &Node) -> Node {
    let bootstrap = vec![bootstrap.info().unwrap().addresses[0].to_string()];
    Node::start(Config { bootstrap, ..Config::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_used_for_a_credential_that_came_as_a_digest_and_shows_its_badge() {
    let app = Node::start(Config::default()).await.unwrap();
    let host = joined(&app).await;
    let issuer = alone(4);
    app.trust().trust_issuer(did(4), &[PLEDGE, VERIFIED]).unwrap();
    let request = host.trust().request_pledge(did(4), &pledge()).await.unwrap();
    let credential = issuer.issue_pledge(request.to_json(), &pledge(), None).await.unwrap();
    host.trust().accept_pledge(&credential.to_json(), &pledge()).await.unwrap();
    for place in 0..MAX_ANNOUNCED {
        let claims = serde_json::json!({ "place": place }).as_object().unwrap().clone();
        let other = issuer.issue(VERIFIED, host.did(), claims, None).await.unwrap();
        host.trust().import_credential(&other.to_json()).await.unwrap();
    }
    let model = app.shards().load(tiny_model(), Blocks::None).await.unwrap();
    let share = BlockShare { model: tiny_model(), blocks: (0..2).into() };
    host.contribute(Contribution { blocks: vec![share], ..Contribution::default() }).await.unwrap();

    let coverage = app.shards().coverage(&model).await.unwrap();
    assert_eq!(coverage.hosts.len(), 1);
    assert!(coverage.hosts[0].refused.is_none(), "{:?}", coverage.hosts[0].refused);
    let kept = app.trust().credentials(&CredentialFilter::default()).unwrap();
    let kept: Vec<String> = kept.into_iter().map(|kept| kept.id).collect();
    let mut announced: Vec<String> = host.trust().announced().unwrap().iter().map(ToString::to_string).collect();
    announced.sort();
    assert_eq!(kept, announced, "what was announced was fetched, and not the whole list");
    assert!(kept.contains(&credential.id().to_owned()));
    let peers = app.peers().await.unwrap();
    let seen = peers.iter().find(|peer| peer.peer_id == host.peer_id()).unwrap();
    assert!(seen.pledged);

    let withdrawal = host.trust().withdraw_pledge(credential.id()).await.unwrap();
    app.trust().import_withdrawal(withdrawal.to_json()).await.unwrap();
    let peers = app.peers().await.unwrap();
    assert!(!peers.iter().find(|peer| peer.peer_id == host.peer_id()).unwrap().pledged);
    for node in [app, host] {
        node.shutdown(GRACE).await.unwrap();
    }
}
