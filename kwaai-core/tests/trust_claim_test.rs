//! What credentials claim, put to the test, over real sockets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::clock::{ManualClock, SystemClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::node::{BlockShare, Contribution, TestOptions};
use kwaai_core::shard::{Blocks, Model};
use kwaai_core::store::Store;
use kwaai_core::trust::{
    CredentialType, MAX_TESTS, Measurement, PROBE_LIFETIME, Probe, Purpose, Tier, TrustGraph, Verdict,
};
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::{Value, json};
use statement::{broken, forged, key, rule};

#[path = "support/statement.rs"]
mod statement;

const GRACE: Duration = Duration::from_secs(2);
const SILENT: Measurement = Measurement { tokens_per_second: None, tokens: 0, correct: None, latency_ms: None };

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn graph(seed: u8, clock: &ManualClock) -> TrustGraph {
    let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
    TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(clock.clone())).unwrap()
}

fn window(mut more: Value) -> serde_json::Map<String, Value> {
    let all = json!({"observedFrom": "2026-05-01T00:00:00Z", "observedUntil": "2026-05-31T00:00:00Z", "samples": 1000});
    let members = more.as_object_mut().unwrap();
    members.extend(all.as_object().unwrap().clone());
    members.clone()
}

/// 1 tests, 2 issued, 3 is tested.
struct World {
    clock: ManualClock,
    tester: TrustGraph,
    tested: TrustGraph,
}

impl World {
    fn new() -> World {
        let clock: ManualClock = "2026-06-01T10:30:00Z".parse().unwrap();
        World { tester: graph(1, &clock), tested: graph(3, &clock), clock }
    }

    async fn claim(&self, kind: CredentialType, claims: Value) -> String {
        let credential = graph(2, &self.clock).issue(kind, did(3), window(claims), None).await.unwrap();
        self.tester.import_credential(&credential.to_json()).await.unwrap().id
    }

    /// One test, in which the peer answers or does not.
    async fn test(&self, id: &str, answers: bool, measured: Measurement) -> kwaai_core::trust::ClaimTest {
        self.clock.advance(Duration::from_secs(3600));
        self.test_again(id, answers, measured).await
    }

    /// One more within the hour.
    async fn test_again(&self, id: &str, answers: bool, measured: Measurement) -> kwaai_core::trust::ClaimTest {
        let probe = self.tester.begin_test(id, 7).await.unwrap();
        let answer = if answers { Some(self.tested.answer_probe(probe.to_json()).await.unwrap()) } else { None };
        self.tester.finish_test(&probe, answer.as_deref(), measured, 0.05).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uptime_holds_or_fails_with_the_share_of_probes_that_were_answered() {
    let world = World::new();
    let id = world.claim(CredentialType::Uptime, json!({"upShare": 0.99})).await;
    for sample in 1..=5 {
        let test = world.test(&id, true, SILENT).await;
        let expected = if sample < 5 { Verdict::Inconclusive } else { Verdict::Holds };
        assert_eq!((test.verdict, test.samples, test.measured), (expected, sample, Some(1.0)));
    }
    let silent = world.test(&id, false, SILENT).await;
    assert_eq!((silent.verdict, silent.answer.is_some()), (Verdict::Inconclusive, false), "one silence proves nothing");
    let seen = world.tester.reputation(&did(3)).unwrap().unwrap();
    assert_eq!((seen.evidence.good, seen.evidence.bad, seen.transport_faults), (5.0, 0.0, 1.0));
    let mut last = silent;
    for _ in 0..3 {
        last = world.test(&id, false, SILENT).await;
    }
    assert_eq!((last.verdict, last.measured), (Verdict::Fails, Some(5.0 / 9.0)));
    assert_eq!((&*last.claim, last.claimed, last.peer), ("upShare", 0.99, did(3)));
    let rows = world.tester.tests(&id).unwrap();
    assert_eq!((rows.len(), rows.last()), (9, Some(&last)), "every test is a row of evidence, the newest last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_answers_fails_after_five_hours_and_not_at_once() {
    let world = World::new();
    let id = world.claim(CredentialType::Uptime, json!({"upShare": 0.99})).await;
    for sample in 1..=5 {
        let expected = if sample < 5 { Verdict::Inconclusive } else { Verdict::Fails };
        assert_eq!(world.test(&id, false, SILENT).await.verdict, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_probes_in_an_hour_say_no_more_than_one() {
    let world = World::new();
    let id = world.claim(CredentialType::Uptime, json!({"upShare": 0.99})).await;
    for _ in 0..30 {
        let test = world.test_again(&id, true, SILENT).await;
        assert_eq!((test.verdict, test.samples), (Verdict::Inconclusive, 1));
        world.clock.advance(Duration::from_secs(30));
    }
    for _ in 0..10 {
        let test = world.test_again(&id, false, SILENT).await;
        assert_eq!(test.verdict, Verdict::Inconclusive, "nor is an hour's silence a proof of the contrary");
    }
    assert_eq!(world.test(&id, true, SILENT).await.samples, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_evidence_goes_with_the_credential() {
    let world = World::new();
    let (one, other) = (json!({"upShare": 0.99}), json!({"upShare": 0.98}));
    let (one, other) =
        (world.claim(CredentialType::Uptime, one).await, world.claim(CredentialType::Uptime, other).await);
    for id in [&one, &other, &one] {
        world.test(id, true, SILENT).await;
    }
    world.tester.remove_credential(&one).unwrap();
    assert_eq!((world.tester.tests(&one).unwrap().len(), world.tester.tests(&other).unwrap().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_below_the_tolerance_fails_and_moves_the_reputation() {
    let world = World::new();
    let claims = json!({"model": "m", "tokensPerSecond": 10});
    let id = world.claim(CredentialType::Throughput, claims).await;
    let reached = |rate| Measurement { tokens_per_second: Some(rate), tokens: 32, latency_ms: Some(20.0), ..SILENT };
    assert_eq!(world.test(&id, true, reached(9.5)).await.verdict, Verdict::Holds);
    assert_eq!(world.test(&id, true, reached(9.4)).await.verdict, Verdict::Fails);
    let wrong = Measurement { correct: Some(false), ..reached(100.0) };
    assert_eq!(world.test(&id, true, wrong).await.verdict, Verdict::Fails, "fast and wrong");
    let silent = world.test(&id, false, reached(50.0)).await;
    assert_eq!((silent.verdict, silent.measured), (Verdict::Inconclusive, None), "a rate without an answer is none");
    let idle = world.test(&id, true, SILENT).await;
    assert_eq!((idle.verdict, idle.measured), (Verdict::Inconclusive, None), "it answers, and serves nothing");
    let seen = world.tester.reputation(&did(3)).unwrap().unwrap();
    let counted = (seen.evidence.good, seen.evidence.bad, seen.transport_faults);
    assert_eq!(counted, (1.0, 2.0, 1.0), "who serves nothing has done nothing wrong");
    assert_eq!(seen.latency_ms, Some(20.0));
    assert!((seen.throughput.unwrap() - (9.5 + 9.4 + 100.0) / 30.0).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_peers_own_answer_to_this_probe_counts() {
    let world = World::new();
    let id = world.claim(CredentialType::Uptime, json!({"upShare": 0.99})).await;
    let probe = world.tester.begin_test(&id, 7).await.unwrap();
    assert_eq!((Probe::read(probe.to_json()).unwrap(), probe.seed), (probe.clone(), 7));
    let answer = world.tested.answer_probe(probe.to_json()).await.unwrap();
    let other = world.tester.begin_test(&id, 8).await.unwrap();
    let finish = async |probe: &Probe, answer: &str| {
        rule(world.tester.finish_test(probe, Some(answer), SILENT, 0.2).await.map(drop))
    };
    assert_eq!(finish(&other, &answer).await, broken(ErrorCode::CorruptData, "nonce"));
    let by_another = forged(&answer, 4, |members| members["subject"] = did(4).to_string().into()).await;
    assert_eq!(finish(&probe, &by_another).await, broken(ErrorCode::CorruptData, "subject"));
    let unsigned = forged(&answer, 4, |_| {}).await;
    assert_eq!(finish(&probe, &unsigned).await, broken(ErrorCode::CorruptData, "signature"));
    assert!(world.tester.tests(&id).unwrap().is_empty() && world.tester.reputation(&did(3)).unwrap().is_none());

    let elsewhere = graph(4, &world.clock).answer_probe(probe.to_json()).await;
    assert_eq!(rule(elsewhere), broken(ErrorCode::InvalidArgument, "audience"));
    world.clock.advance(PROBE_LIFETIME + Duration::from_secs(301));
    let late = world.tested.answer_probe(probe.to_json()).await;
    assert_eq!(rule(late), broken(ErrorCode::InvalidArgument, "expired"));
    let forged_by_another = forged(probe.to_json(), 9, |_| {}).await;
    assert_eq!(rule(world.tested.answer_probe(&forged_by_another).await), broken(ErrorCode::CorruptData, "signature"));
    assert_eq!(forged(probe.to_json(), 1, |_| {}).await, probe.to_json(), "signed as the format says");
    assert_eq!(key(1).did().unwrap(), probe.tester);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tested_says_so() {
    let world = World::new();
    let code = async |id: &str| world.tester.begin_test(id, 1).await.unwrap_err().code();
    assert_eq!(code("urn:kwaai:vc:0").await, ErrorCode::NotFound);
    let event = world.claim(CredentialType::VerifiedNode, json!({})).await;
    assert!(matches!(code(&event).await, ErrorCode::Unsupported | ErrorCode::InvalidArgument));
    let own = graph(2, &world.clock).issue(CredentialType::Uptime, did(1), window(json!({"upShare": 1})), None).await;
    let own = world.tester.import_credential(&own.unwrap().to_json()).await.unwrap().id;
    assert_eq!(code(&own).await, ErrorCode::InvalidArgument);
    let id = world.claim(CredentialType::Uptime, json!({"upShare": 0.5})).await;
    let probe = world.tester.begin_test(&id, 1).await.unwrap();
    for tolerance in [-0.1, 1.1, f64::NAN] {
        let refused = world.tester.finish_test(&probe, None, SILENT, tolerance).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidArgument, "{tolerance}");
    }
    for _ in 0..MAX_TESTS + 3 {
        world.test(&id, false, SILENT).await;
    }
    let rows = world.tester.tests(&id).unwrap();
    assert_eq!(rows.len(), MAX_TESTS, "the oldest are forgotten");
    assert!(rows.is_sorted_by_key(|row| row.at));
}

fn tiny_model() -> PathBuf {
    std::env::current_dir().unwrap().join("../examples/models/tiny-kwaai")
}

async fn vouched(node: &Node, kind: CredentialType, about: &Node, claims: Value) -> String {
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let issuer = TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(SystemClock)).unwrap();
    let credential = issuer.issue(kind, about.did(), window(claims), None).await.unwrap();
    node.trust().import_credential(&credential.to_json()).await.unwrap().id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_tested_with_tokens_that_it_computes() {
    let app = Node::start(Config::default()).await.unwrap();
    let bootstrap = vec![app.info().unwrap().addresses[0].to_string()];
    let host = Node::start(Config { bootstrap, ..Config::default() }).await.unwrap();
    let policy = app.trust().policy().unwrap().with_minimum(Purpose::UseBlocks, Tier::Unknown).unwrap();
    app.trust().set_policy(policy).unwrap();
    let model: Model = app.shards().load(tiny_model(), Blocks::All).await.unwrap();
    let claims = |rate: f64| json!({"model": model.id(), "tokensPerSecond": rate});
    let modest = vouched(&app, CredentialType::Throughput, &host, claims(0.01)).await;
    let boastful = vouched(&app, CredentialType::Throughput, &host, claims(1e8)).await;
    let up = vouched(&app, CredentialType::Uptime, &host, json!({"upShare": 0.9})).await;
    let options = || TestOptions { model: Some(model.clone()), tokens: 8, seed: Some(3), ..TestOptions::default() };

    let without = app.test_credential(&modest, options()).await.unwrap();
    assert_eq!((without.verdict, without.measured), (Verdict::Inconclusive, None), "it serves nothing yet");
    let blocks = vec![BlockShare { model: tiny_model(), blocks: (1..model.config().blocks as u32).into() }];
    host.contribute(Contribution { min_tier: Some(Tier::Unknown), blocks, ..Default::default() }).await.unwrap();
    let test = app.test_credential(&modest, options()).await.unwrap();
    assert_eq!((test.verdict, test.correct, test.samples, test.seed), (Verdict::Holds, Some(true), 8, 3));
    assert!(test.measured.unwrap() > 0.01 && test.answer.is_some());
    assert_eq!(app.test_credential(&boastful, options()).await.unwrap().verdict, Verdict::Fails);
    assert_eq!(app.test_credential(&up, TestOptions::default()).await.unwrap().measured, Some(1.0));

    for (options, why) in [
        (TestOptions::default(), "no model"),
        (TestOptions { tokens: 7, ..options() }, "too few tokens"),
        (TestOptions { tokens: 513, ..options() }, "too many tokens"),
    ] {
        let refused = app.test_credential(&modest, options).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument, "{why}");
    }
    host.shutdown(GRACE).await.unwrap();
    let silent = app.test_credential(&up, TestOptions::default()).await.unwrap();
    assert_eq!((silent.verdict, silent.measured, silent.answer), (Verdict::Inconclusive, Some(0.5), None));
    app.shutdown(GRACE).await.unwrap();
    assert_eq!(app.test_credential(&up, TestOptions::default()).await.unwrap_err().code(), ErrorCode::Closed);
}
