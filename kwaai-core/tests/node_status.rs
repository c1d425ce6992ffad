//! Status lists on their way between nodes, and what nodes remember of each other, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use kwaai_core::clock::ManualClock;
use kwaai_core::identity::Keypair;
use kwaai_core::node::{BlockShare, Contribution};
use kwaai_core::shard::{Blocks, Route};
use kwaai_core::store::Store;
use kwaai_core::trust::{Credential, CredentialType, DEFAULT_TTL, Minimum, Purpose, Status, Tier, TrustGraph};
use kwaai_core::{Config, Node};
use serde_json::Map;

const GRACE: Duration = Duration::from_secs(2);
const VERIFIED: CredentialType = CredentialType::VerifiedNode;
const NOW: &str = "2026-06-01T10:00:00Z";

/// Nodes on one clock, all of which know the first.
struct World {
    clock: ManualClock,
    first: Node,
}

impl World {
    async fn new() -> World {
        let clock: ManualClock = NOW.parse().unwrap();
        let first = Node::start(Config { clock: Arc::new(clock.clone()), ..Config::default() }).await.unwrap();
        World { clock, first }
    }

    async fn node(&self) -> Node {
        let bootstrap = vec![self.first.info().unwrap().addresses[0].to_string()];
        let clock = Arc::new(self.clock.clone());
        Node::start(Config { bootstrap, clock, ..Config::default() }).await.unwrap()
    }
}

async fn issued(issuer: &Node, subject: &Node) -> Credential {
    issuer.trust().issue_revocable(VERIFIED, subject.did(), Map::new(), None).await.unwrap()
}

async fn import(node: &Node, credential: &Credential) {
    node.trust().import_credential(&credential.to_json()).await.unwrap();
}

fn value(node: &Node, about: &Node) -> f64 {
    node.trust().score(&about.did()).unwrap().value
}

async fn end(nodes: impl IntoIterator<Item = Node>) {
    for node in nodes {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_reaches_who_keeps_the_credential() {
    let world = World::new().await;
    let (issuer, reader, subject) = (world.node().await, world.node().await, world.node().await);
    reader.trust().trust_issuer(issuer.did(), &[VERIFIED]).unwrap();
    let credential = issued(&issuer, &subject).await;
    import(&reader, &credential).await;
    assert_eq!(value(&reader, &subject), 0.1, "it counts half while its status is unknown");
    let refresh = reader.refresh_status_lists().await.unwrap();
    assert_eq!((refresh.fetched, refresh.missing.len()), (2, 0), "a list of revocations and one of suspensions");
    assert_eq!(value(&reader, &subject), 0.2);
    assert_eq!(reader.refresh_status_lists().await.unwrap().fetched, 0, "a young copy is not fetched again");

    issuer.trust().revoke(credential.id()).unwrap();
    world.clock.advance(DEFAULT_TTL / 2);
    assert_eq!(reader.refresh_status_lists().await.unwrap().fetched, 2);
    assert_eq!(reader.trust().status(&credential).unwrap(), Status::Revoked);
    assert_eq!(value(&reader, &subject), 0.0);
    end([issuer, reader, subject, world.first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_outlives_its_issuer_at_those_who_announce_a_copy() {
    let world = World::new().await;
    let (issuer, reader, subject, other) =
        (world.node().await, world.node().await, world.node().await, world.node().await);
    reader.trust().trust_issuer(issuer.did(), &[VERIFIED]).unwrap();
    let credential = issued(&issuer, &subject).await;
    let elsewhere = issued(&issuer, &other).await;
    import(&subject, &credential).await;
    assert_eq!(subject.refresh_status_lists().await.unwrap().fetched, 2);
    issuer.shutdown(GRACE).await.unwrap();
    import(&reader, &elsewhere).await;
    let refresh = reader.refresh_status_lists().await.unwrap();
    assert_eq!((refresh.fetched, refresh.missing), (2, vec![]), "one issuer's credentials share their lists");
    assert_eq!(value(&reader, &other), 0.2);
    end([subject, other, reader, world.first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_nobody_has_is_missing_and_leaves_half() {
    let world = World::new().await;
    let reader = world.node().await;
    let issuer = Keypair::from_seed([7; 32]).signer().unwrap();
    let issuer = TrustGraph::open(Store::in_memory().unwrap(), issuer, Arc::new(world.clock.clone())).unwrap();
    reader.trust().trust_issuer(issuer.did(), &[VERIFIED]).unwrap();
    let credential = issuer.issue_revocable(VERIFIED, world.first.did(), Map::new(), None).await.unwrap();
    import(&reader, &credential).await;
    let refresh = reader.refresh_status_lists().await.unwrap();
    assert_eq!((refresh.fetched, refresh.missing.len()), (0, 2));
    assert_eq!(value(&reader, &world.first), 0.1);
    end([reader, world.first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_a_credential_hands_out_its_status_list_too() {
    let world = World::new().await;
    let (issuer, reader, subject) = (world.node().await, world.node().await, world.node().await);
    let policy = reader.trust().policy().unwrap().with_minimum(Purpose::Message, Minimum::score(0.2).unwrap()).unwrap();
    reader.trust().set_policy(policy).unwrap();
    reader.trust().trust_issuer(issuer.did(), &[VERIFIED]).unwrap();
    let credential = issued(&issuer, &subject).await;
    import(&subject, &credential).await;
    subject.refresh_status_lists().await.unwrap();
    issuer.shutdown(GRACE).await.unwrap();
    subject.send_message(reader.peer_id(), "good morning").await.unwrap();
    assert_eq!(value(&reader, &subject), 0.2);
    end([reader, subject, world.first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_computed_is_remembered_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config { data_dir: Some(dir.path().into()), ..Config::default() };
    let app = Node::start(config()).await.unwrap();
    let bootstrap = vec![app.info().unwrap().addresses[0].to_string()];
    let host = Node::start(Config { bootstrap, ..Config::default() }).await.unwrap();
    let dealt_with = host.did();
    let policy = app.trust().policy().unwrap().with_minimum(Purpose::UseBlocks, Tier::Unknown).unwrap();
    app.trust().set_policy(policy).unwrap();
    let folder = std::env::current_dir().unwrap().join("../examples/models/tiny-kwaai");
    let model = app.shards().load(folder.clone(), Blocks::None).await.unwrap();
    let blocks = vec![BlockShare { model: folder, blocks: (0..model.config().blocks as u32).into() }];
    host.contribute(Contribution { min_tier: Some(Tier::Unknown), blocks, ..Default::default() }).await.unwrap();
    let tokens: Vec<u32> = (5..25).collect();
    for _ in 0..3 {
        app.shards().logits(&model, &tokens, Route::Peers).await.unwrap();
    }
    let seen = app.trust().reputation(&dealt_with).unwrap().unwrap();
    assert_eq!((seen.evidence.good, seen.evidence.bad, seen.transport_faults), (3.0, 0.0, 0.0));
    assert!(seen.latency_ms.unwrap() > 0.0);

    let (trust, clones) = (app.trust(), app.clone());
    app.shutdown(GRACE).await.unwrap();
    host.shutdown(GRACE).await.unwrap();
    drop((app, clones, model));
    drop(trust);
    let again = Node::start(config()).await.unwrap();
    assert_eq!(again.trust().reputation(&dealt_with).unwrap().unwrap().evidence.good, 3.0);
    again.shutdown(GRACE).await.unwrap();
}
