//! Whole nodes, over real sockets.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::clock::ManualClock;
use kwaai_core::config::Preset;
use kwaai_core::event::{Item, Stream};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::llm::{ChatMessage, GenerateEvent, GenerateRequest};
use kwaai_core::net::{Cause, Diagnosis, Message, Verdict};
use kwaai_core::node::{BlockShare, Contribution};
use kwaai_core::shard::{Blocks, Route};
use kwaai_core::trust::{CredentialType, Purpose, Tier};
use kwaai_core::{Config, ErrorCode, Node, TrustGraph};

const GRACE: Duration = Duration::from_secs(2);
const PLEDGE: CredentialType = CredentialType::FiduciaryPledge;
const VERIFIED: CredentialType = CredentialType::VerifiedNode;
const UPTIME: CredentialType = CredentialType::Uptime;

async fn node(name: &str) -> Node {
    Node::start(Config { name: Some(name.into()), ..Config::default() }).await.unwrap()
}

async fn joined(name: &str, bootstrap: &Node) -> Node {
    let bootstrap = vec![bootstrap.info().unwrap().addresses[0].to_string()];
    Node::start(Config { name: Some(name.into()), bootstrap, ..Config::default() }).await.unwrap()
}

async fn value<T>(stream: &mut Stream<T>) -> T {
    let next = tokio::time::timeout(Duration::from_secs(60), stream.next());
    match next.await.expect("an item within a minute").unwrap() {
        Some(Item::Value(value)) => value,
        Some(Item::Lagged { missed }) => panic!("{missed} items were missed"),
        None => panic!("the stream ended"),
    }
}

/// An issuer outside of the network, and nodes that trust it.
struct Foundation {
    graph: TrustGraph,
    _dir: tempfile::TempDir,
}

impl Foundation {
    fn new() -> Foundation {
        let dir = tempfile::tempdir().unwrap();
        Foundation { graph: TrustGraph::open_dir(dir.path()).unwrap(), _dir: dir }
    }

    fn trusted_by(&self, nodes: &[&Node]) {
        for node in nodes {
            node.trust().trust_issuer(self.graph.did(), &[PLEDGE, VERIFIED, UPTIME]).unwrap();
        }
    }

    async fn vouch(&self, node: &Node, kinds: &[CredentialType]) {
        for kind in kinds {
            let credential = self.graph.issue(*kind, node.did(), serde_json::Map::new(), None).await.unwrap();
            node.trust().import_credential(&credential.to_json()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_nodes_that_know_one_address_find_each_other_and_talk() {
    let first = node("first").await;
    let mut nodes = Vec::new();
    for i in 0..9 {
        nodes.push(joined(&format!("node-{i}"), &first).await);
    }
    let mut inboxes: Vec<Stream<Message>> = nodes.iter().map(Node::messages).collect();
    for (i, from) in nodes.iter().enumerate() {
        let to = &nodes[(i + 1) % nodes.len()];
        from.send_message(to.peer_id(), &format!("hello from {i}")).await.unwrap();
    }
    for (i, inbox) in inboxes.iter_mut().enumerate() {
        let sender = (i + nodes.len() - 1) % nodes.len();
        let message = value(inbox).await;
        assert_eq!(message.from, nodes[sender].peer_id());
        assert_eq!(message.text, format!("hello from {sender}"));
    }
    for node in nodes.iter().chain([&first]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

/// A process of its own that runs a node, ended when dropped.
struct Process {
    child: Child,
    address: String,
    // A closed pipe would end the process at its next line.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(bootstrap: Option<&str>) -> Process {
        let program = example("echo_node");
        let mut command = Command::new(program);
        command.args(bootstrap).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = output.next().unwrap().unwrap();
        let address = line.strip_prefix("listening ").unwrap().to_owned();
        Process { child, address, _output: output }
    }

    fn peer(&self) -> kwaai_core::identity::PeerId {
        self.address.rsplit('/').next().unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Examples are built beside the tests, in the sibling folder of `deps`.
fn example(name: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    deps.parent().unwrap().parent().unwrap().join("examples").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_that_know_one_address_find_each_other() {
    let first = Process::start(None);
    let (second, third) = (Process::start(Some(&first.address)), Process::start(Some(&first.address)));
    let fourth = Node::start(Config { bootstrap: vec![first.address.clone()], ..Config::default() }).await.unwrap();
    let mut inbox = fourth.messages();
    for process in [&second, &third, &first] {
        // A process that has only just started may not be known to the first one yet.
        let mut events = fourth.events();
        while fourth.find_peer(process.peer()).await.is_err() {
            let _ = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
        }
        fourth.send_message(process.peer(), "are you there?").await.unwrap();
        let answer = value(&mut inbox).await;
        assert_eq!((answer.from, answer.text.as_str()), (process.peer(), "are you there?"));
    }
    fourth.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_its_identity_and_its_credentials_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::preset(Preset::Desktop, Some(dir.path().to_path_buf()));
    let foundation = Foundation::new();
    let first = Node::start(config.clone()).await.unwrap();
    foundation.vouch(&first, &[PLEDGE]).await;
    let peer = first.peer_id();
    first.shutdown(GRACE).await.unwrap();
    drop(first);
    let again = Node::start(config).await.unwrap();
    assert_eq!(again.peer_id(), peer);
    assert_eq!(again.trust().presentable().unwrap().len(), 1);
    again.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_kwaainet_directory_is_read_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let key = Keypair::from_seed([7; 32]);
    key.save(&dir.path().join("identity.key")).unwrap();
    std::fs::write(dir.path().join("config.yaml"), "public_name: alice-linux-x86_64\nforce_private: true\n").unwrap();
    std::fs::create_dir(dir.path().join("credentials")).unwrap();
    std::fs::write(dir.path().join("credentials").join("old.json"), "{}").unwrap();
    let before = ["identity.key", "config.yaml", "credentials/old.json"].map(|f| std::fs::read(dir.path().join(f)));

    let node = Node::start(Config::load(Preset::Desktop, Some(dir.path())).unwrap()).await.unwrap();
    assert_eq!((node.peer_id(), node.name()), (key.peer_id(), "alice-linux-x86_64"));
    node.shutdown(GRACE).await.unwrap();
    let after = ["identity.key", "config.yaml", "credentials/old.json"].map(|f| std::fs::read(dir.path().join(f)));
    assert_eq!(before.map(Result::unwrap), after.map(Result::unwrap));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_directory_and_a_second_on_the_same_port_are_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let first = Node::start(Config::preset(Preset::Desktop, Some(dir.path().to_path_buf()))).await.unwrap();
    let same_dir = Node::start(Config::preset(Preset::Desktop, Some(dir.path().to_path_buf()))).await.unwrap_err();
    assert_eq!(same_dir.code(), ErrorCode::Busy);
    assert!(same_dir.context().contains_key("remedy"));
    let tcp = first.info().unwrap().addresses.iter().find(|a| a.to_string().contains("/tcp/")).unwrap().to_string();
    let listen = vec![tcp.split("/p2p/").next().unwrap().to_owned()];
    let same_port = Node::start(Config { listen, ..Config::default() }).await.unwrap_err();
    assert_eq!(same_port.code(), ErrorCode::Busy, "{same_port:?}");
    first.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_key_file_that_is_missing_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("absent.key");
    let config = Config { identity_key: Some(path.clone()), ..Config::default() };
    let error = Node::start(config).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.context()["file"].ends_with("absent.key"));
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_vanished_is_not_replaced_by_another_identity() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::preset(Preset::Desktop, Some(dir.path().to_path_buf()));
    let first = Node::start(config.clone()).await.unwrap();
    first.shutdown(GRACE).await.unwrap();
    drop(first);
    std::fs::remove_file(dir.path().join("identity.key")).unwrap();
    let error = Node::start(config).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.context()["file"].ends_with("identity.key"));
    assert!(!dir.path().join("identity.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_that_fails_shares_nothing_and_leaves_the_policy_alone() {
    let host = node("host").await;
    let missing = BlockShare { model: "/nowhere".into(), blocks: (0..2).into() };
    let share = BlockShare { model: tiny_model(), blocks: (0..2).into() };
    let blocks = vec![share, missing];
    let contribution = Contribution { min_tier: Some(Tier::Unknown), blocks, ..Contribution::default() };
    assert_eq!(host.contribute(contribution).await.unwrap_err().code(), ErrorCode::NotFound);
    assert!(host.shards().served().is_empty());
    assert_eq!(host.trust().policy().unwrap().minimum(Purpose::ServeBlocks), Tier::Known.into());
    host.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_shutdown_everything_answers_closed() {
    let (node, other) = (node("one").await, node("two").await);
    let (shards, address) = (node.shards(), other.info().unwrap().addresses[0].to_string());
    let rag = node.rag("notes", Default::default()).await.unwrap();
    node.shutdown(GRACE).await.unwrap();
    node.shutdown(GRACE).await.unwrap();
    assert!(node.is_closed());
    assert_eq!(node.connect(&address).await.unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(node.peers().await.unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(node.rag("notes", Default::default()).await.err().unwrap().code(), ErrorCode::Closed);
    assert_eq!(rag.stats().await.unwrap_err().code(), ErrorCode::Closed);
    let model = shards.load(tiny_model(), Blocks::None).await.unwrap();
    assert_eq!(shards.coverage(&model).await.unwrap_err().code(), ErrorCode::Closed);
    other.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_current_thread_runtime_is_refused() {
    let error = Node::start(Config::default()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported);
    assert!(error.context()["remedy"].contains("multi-thread"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_gives_back_its_memory_after_a_shutdown() {
    let node = node("brief").await;
    let trust = node.trust();
    node.shutdown(GRACE).await.unwrap();
    drop(node);
    // The trust graph is the last thing that holds the store; it still answers.
    assert_eq!(trust.credentials(&Default::default()).unwrap().len(), 0);
}

fn tiny_model() -> PathBuf {
    std::env::current_dir().unwrap().join("../examples/models/tiny-kwaai")
}

async fn share(node: &Node, blocks: std::ops::Range<u32>) {
    let blocks = vec![BlockShare { model: tiny_model(), blocks: blocks.into() }];
    let contribution = Contribution { min_tier: Some(Tier::Known), blocks, ..Contribution::default() };
    node.contribute(contribution).await.unwrap();
}

fn question(text: &str) -> GenerateRequest {
    GenerateRequest { messages: vec![ChatMessage::user(text)], max_tokens: 24, ..GenerateRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_over_two_hosts_give_the_same_bits_as_the_model_whole_and_a_stranger_is_not_used() {
    let app = node("app").await;
    let (heron, wren, stranger) = (joined("heron", &app).await, joined("wren", &app).await, joined("x", &app).await);
    let foundation = Foundation::new();
    foundation.trusted_by(&[&app, &heron, &wren]);
    foundation.vouch(&heron, &[PLEDGE, VERIFIED, UPTIME]).await;
    foundation.vouch(&wren, &[VERIFIED]).await;
    foundation.vouch(&app, &[VERIFIED]).await;

    let whole = app.shards().load(tiny_model(), Blocks::All).await.unwrap();
    let ends = app.shards().load(tiny_model(), Blocks::None).await.unwrap();
    let blocks = ends.config().blocks as u32;
    share(&stranger, 0..blocks).await;
    let tokens: Vec<u32> = (5..25).collect();
    let expected = app.shards().logits(&whole, &tokens, Route::Local).await.unwrap();
    for boundary in 1..blocks {
        share(&heron, 0..boundary).await;
        share(&wren, boundary..blocks).await;
        let over_peers = app.shards().logits(&ends, &tokens, Route::Peers).await.unwrap();
        assert_eq!(expected, over_peers, "split at block {boundary}");
    }

    let mut stream = app.shards().generate(&ends, question("What is kwaainet?"), Route::Peers).await.unwrap();
    let path = loop {
        if let GenerateEvent::Done { path, .. } = value(&mut stream).await {
            break path;
        }
    };
    let used: Vec<_> = path.iter().map(|hop| hop.peer.clone().unwrap()).collect();
    assert_eq!(used, [heron.peer_id().to_string(), wren.peer_id().to_string()]);
    let coverage = app.shards().coverage(&ends).await.unwrap();
    let seen = coverage.hosts.iter().find(|host| host.peer == stranger.peer_id()).expect("the stranger offers blocks");
    assert_eq!(seen.refused.as_ref().unwrap().code(), ErrorCode::UntrustedPeer);
    for node in [app, heron, wren, stranger] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_refuses_a_caller_below_its_minimum_tier_whatever_the_caller_chooses() {
    let host = node("host").await;
    let caller = joined("caller", &host).await;
    let foundation = Foundation::new();
    foundation.trusted_by(&[&host, &caller]);
    foundation.vouch(&host, &[PLEDGE, VERIFIED]).await;
    let model = caller.shards().load(tiny_model(), Blocks::None).await.unwrap();
    share(&host, 0..model.config().blocks as u32).await;

    let refused = caller.shards().logits(&model, &[1, 2, 3], Route::Peers).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied, "{refused:?}");
    foundation.vouch(&caller, &[VERIFIED]).await;
    host.trust().import_credential(&caller.trust().presentable().unwrap()[0]).await.unwrap();
    caller.shards().logits(&model, &[1, 2, 3], Route::Peers).await.unwrap();

    host.trust()
        .set_policy(host.trust().policy().unwrap().with_minimum(Purpose::ServeBlocks, Tier::Trusted).unwrap())
        .unwrap();
    let refused = caller.shards().logits(&model, &[1, 2, 3], Route::Peers).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);
    for node in [host, caller] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_show_their_credentials_and_the_app_shows_its_arithmetic() {
    let app = node("app").await;
    let host = joined("heron", &app).await;
    let foundation = Foundation::new();
    foundation.trusted_by(&[&app]);
    foundation.vouch(&host, &[PLEDGE, VERIFIED, UPTIME]).await;
    host.connect(&app.info().unwrap().addresses[0].to_string()).await.unwrap();
    let mut events = app.events();
    while !app.peers().await.unwrap().iter().any(|peer| peer.name == "heron") {
        value(&mut events).await;
    }
    let peers = app.peers().await.unwrap();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].did, Some(Did::from_peer_id(&host.peer_id()).unwrap()));
    assert_eq!((peers[0].tier, peers[0].score), (Tier::Trusted, 0.7));
    assert_eq!(peers[0].reasons.iter().filter(|reason| reason.counted).count(), 3);
    for node in [app, host] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_until_the_node_contributes_and_nothing_after_it_stops() {
    let host = node("host").await;
    let caller = joined("caller", &host).await;
    let model = caller.shards().load(tiny_model(), Blocks::None).await.unwrap();
    assert!(caller.shards().coverage(&model).await.unwrap().hosts.is_empty());
    share(&host, 0..2).await;
    assert_eq!(caller.shards().coverage(&model).await.unwrap().hosts.len(), 1);
    host.contribute(Contribution::default()).await.unwrap();
    assert!(host.shards().served().is_empty());
    let spans = caller.shards().coverage(&model).await.unwrap().hosts.into_iter().flat_map(|host| host.spans);
    assert_eq!(spans.count(), 0);
    for node in [host, caller] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_named_with_the_amount() {
    let hour = jiff::SignedDuration::from_hours(1);
    let late = Arc::new(ManualClock::at(jiff::Timestamp::now() - hour));
    let alice = node("alice").await;
    let bootstrap = vec![alice.info().unwrap().addresses[0].to_string()];
    let bob = Node::start(Config { bootstrap: bootstrap.clone(), clock: late, ..Config::default() }).await.unwrap();
    bob.connect(&bootstrap[0]).await.unwrap();
    let found = bob.diagnose().await.unwrap();
    let [Diagnosis { cause: Cause::ClockOff, text, .. }] = &found[..] else { panic!("{found:?}") };
    assert!(text.contains("36") && text.contains("behind"), "{text}");
    assert_eq!(bob.info().unwrap().reachability.verdict, Verdict::Unknown);
    for node in [alice, bob] {
        node.shutdown(GRACE).await.unwrap();
        assert_eq!(node.diagnose().await.unwrap_err().code(), ErrorCode::Closed);
    }
}
