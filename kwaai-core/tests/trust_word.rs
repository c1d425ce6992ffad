//! Recommendations that travel: what the bytes of a word are, who is told what, and what is refused by which rule.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use graphs::{alone, did, on_clock};
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::Did;
use kwaai_core::net::Peers;
use kwaai_core::store::Store;
use kwaai_core::trust::{
    Askers, CredentialType, Disclosure, Disclosures, Evidence, MAX_PER_RECOMMENDER, MAX_WORD_BYTES,
    MAX_WORD_REQUEST_BYTES, Observation, Outcome, Purpose, QUESTIONS_PER_HOUR, Recommendation, STATEMENT_LIFETIME,
    Seen, TakenWord, Tier, TrustGraph, TrustWord, WordRequest,
};
use kwaai_core::{Error, ErrorCode};
use liar::{Liar, address, network, node};
use serde_json::{Map, Value, json};
use statement::{broken, forged, key, rule};

#[path = "support/graphs.rs"]
mod graphs;
#[path = "support/liar.rs"]
mod liar;
#[path = "support/statement.rs"]
mod statement;

const GRACE: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn saw(graph: &TrustGraph, peer: Did, good: usize, bad: usize) {
    for (outcome, count) in [(Outcome::Good, good), (Outcome::Bad, bad)] {
        for _ in 0..count {
            graph.record(&peer, Observation::new(outcome, jiff::Timestamp::MAX)).unwrap();
        }
    }
}

fn open_to(graph: &TrustGraph, tier: Tier, level: Disclosure) {
    graph.set_disclosures(&Disclosures::default().with(tier, level)).unwrap();
}

/// Two nodes on one clock: 1 asks, 2 answers.
struct World {
    clock: ManualClock,
    asker: TrustGraph,
    responder: TrustGraph,
    askers: Askers,
}

impl World {
    /// The responder has seen 3 and 4, and tells everybody.
    fn new() -> World {
        let clock = ManualClock::at("2026-06-01T10:30:00.25Z".parse().unwrap());
        let graph = |seed| on_clock(seed, Arc::new(clock.clone()));
        let (asker, responder) = (graph(1), graph(2));
        saw(&responder, did(3), 2, 0);
        saw(&responder, did(4), 4, 1);
        open_to(&responder, Tier::Unknown, Disclosure::Experience);
        World { asker, responder, askers: Askers::default(), clock }
    }

    async fn request(&self) -> WordRequest {
        self.asker.request_word(did(2), [7; 16]).await.unwrap()
    }

    async fn word(&self, request: &WordRequest) -> Result<TrustWord, Error> {
        self.responder.answer_word(&self.askers, Some(request.asker()), request.to_json()).await
    }

    async fn take(&self) -> TakenWord {
        let request = self.request().await;
        let word = self.word(&request).await.unwrap();
        self.asker.take_word(&request, word.to_json()).unwrap()
    }

    fn kept(&self) -> Vec<(Did, Evidence)> {
        self.asker.recommendations().unwrap().iter().map(|word| (word.about, word.evidence)).collect()
    }
}

fn evidence(good: f64, bad: f64) -> Evidence {
    Evidence { good, bad }
}

// Written by another implementation of JCS and Ed25519, from the description of the format.
const REQUEST: &str = include_str!("golden/trust_word_request.json").trim_ascii_end();
const WORD: &str = include_str!("golden/trust_word.json").trim_ascii_end();

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_request_and_of_a_word_are_fixed() {
    let world = World::new();
    let request = world.request().await;
    assert_eq!(request.to_json(), REQUEST);
    assert_eq!(WordRequest::read(REQUEST).unwrap(), request);
    assert_eq!((request.asker(), request.responder()), (did(1), did(2)));
    // Half of the evidence is left after thirty days, and a third answer comes.
    world.clock.advance(30 * DAY);
    saw(&world.responder, did(3), 1, 0);
    let request = world.request().await;
    let word = world.word(&request).await.unwrap();
    assert_eq!(word.to_json(), WORD);
    assert_eq!(TrustWord::read(WORD).unwrap(), word);
    let four = Seen { peer: did(4), evidence: evidence(2.0, 0.5) };
    assert_eq!(word.seen(), [four, Seen { peer: did(3), evidence: evidence(2.0, 0.0) }], "the most evidence first");
    assert_eq!(
        (word.responder(), word.asker(), word.made()),
        (did(2), did(1), "2026-07-01T10:30:00Z".parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_kept_as_the_word_of_who_told_it() {
    let world = World::new();
    let taken = world.take().await;
    assert_eq!(taken, TakenWord { recommender: did(2), count: 2, at: "2026-06-01T10:30:00Z".parse().unwrap() });
    let mut kept = world.asker.recommendations().unwrap();
    kept.sort_by_key(|word| word.about != did(3));
    let said = |about, evidence| Recommendation { recommender: did(2), about, evidence, at: taken.at };
    assert_eq!(kept, [said(did(3), evidence(2.0, 0.0)), said(did(4), evidence(4.0, 1.0))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_but_own_experience_with_others() {
    let world = World::new();
    saw(&world.responder, did(1), 9, 0);
    let hearsay =
        Recommendation { recommender: did(3), about: did(5), evidence: evidence(9.0, 0.0), at: world.clock.now() };
    world.responder.add_recommendation(hearsay).unwrap();
    let request = world.request().await;
    let told: Vec<Did> = world.word(&request).await.unwrap().seen().iter().map(|seen| seen.peer).collect();
    assert_eq!(told, [did(4), did(3)], "neither of the asker nor of whom others speak");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_anything_until_the_owner_allows_it_and_keeping_silent_costs_nothing() {
    let world = World::new();
    assert_eq!(world.take().await.count, 2);
    let (before, scored) = (world.kept(), world.asker.score(&did(2)).unwrap());
    world.clock.advance(Duration::from_secs(1));
    let request = world.request().await;
    let empty = on_clock(2, Arc::new(world.clock.clone()));
    let nobody_seen = empty.answer_word(&Askers::default(), None, request.to_json()).await.unwrap();
    for level in [Disclosure::Nothing, Disclosure::Threshold, Disclosure::Tier, Disclosure::Value] {
        open_to(&world.responder, Tier::Unknown, level);
        assert_eq!(world.word(&request).await.unwrap(), nobody_seen, "{level:?}");
    }
    open_to(&world.responder, Tier::Known, Disclosure::Experience);
    assert_eq!(world.word(&request).await.unwrap(), nobody_seen, "to a stranger nothing");
    assert_eq!(world.take().await.count, 0);
    assert_eq!(world.kept(), before, "what it said before stays");
    assert_eq!(world.asker.score(&did(2)).unwrap(), scored);
    assert_eq!(world.asker.reputation(&did(2)).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_word_replaces_an_older_one_and_not_the_other_way_round() {
    let world = World::new();
    let request = world.request().await;
    let older = world.word(&request).await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    world.responder.reset_reputation(&did(3)).unwrap();
    saw(&world.responder, did(5), 3, 0);
    let again = world.request().await;
    let newer = world.word(&again).await.unwrap();
    let now_kept = |world: &World| world.kept().into_iter().collect::<std::collections::HashMap<_, _>>();
    assert_eq!(world.asker.take_word(&request, older.to_json()).unwrap().count, 2);
    assert_eq!(world.asker.take_word(&again, newer.to_json()).unwrap().count, 2);
    let kept = now_kept(&world);
    assert_eq!((kept.len(), kept[&did(4)], kept[&did(5)]), (2, evidence(4.0, 1.0), evidence(3.0, 0.0)));
    assert_eq!(world.asker.take_word(&request, older.to_json()).unwrap().count, 1, "of 4 a newer word is kept");
    assert_eq!(now_kept(&world)[&did(5)], evidence(3.0, 0.0));
    world.asker.flush().unwrap();
    assert_eq!(world.kept().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_taken_while_both_clocks_were_years_ahead_gives_way_once_they_are_right() {
    let (store, world) = (Store::in_memory().unwrap(), World::new());
    let on = |clock: &ManualClock| {
        TrustGraph::open(store.clone(), key(1).signer().unwrap(), Arc::new(clock.clone())).unwrap()
    };
    let ahead = ManualClock::at(world.clock.now() + 3650 * DAY);
    {
        let (asker, responder) = (on(&ahead), on_clock(2, Arc::new(ahead.clone())));
        saw(&responder, did(3), 9, 0);
        open_to(&responder, Tier::Unknown, Disclosure::Experience);
        let request = asker.request_word(did(2), [7; 16]).await.unwrap();
        let word = responder.answer_word(&world.askers, Some(did(1)), request.to_json()).await.unwrap();
        assert_eq!(asker.take_word(&request, word.to_json()).unwrap().count, 1);
    }
    let asker = on(&world.clock);
    let request = asker.request_word(did(2), [7; 16]).await.unwrap();
    let word = world.word(&request).await.unwrap();
    assert_eq!(asker.take_word(&request, word.to_json()).unwrap().count, 2);
    let about = |peer| asker.recommendations().unwrap().into_iter().find(|said| said.about == peer).unwrap();
    assert_eq!((about(did(3)).evidence, about(did(3)).at), (evidence(2.0, 0.0), word.made()));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_kept_over_a_restart() {
    let (store, world) = (Store::in_memory().unwrap(), World::new());
    let open = || TrustGraph::open(store.clone(), key(1).signer().unwrap(), Arc::new(world.clock.clone())).unwrap();
    let request = world.request().await;
    let word = world.word(&request).await.unwrap();
    let graph = open();
    graph.take_word(&request, word.to_json()).unwrap();
    graph.flush().unwrap();
    assert_eq!(open().recommendations().unwrap(), graph.recommendations().unwrap());
    assert_eq!(open().recommendations().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_has_room_for_the_peers_of_whom_most_is_known() {
    let world = World::new();
    for number in 0..=MAX_PER_RECOMMENDER as u64 {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let peer = kwaai_core::identity::Keypair::from_seed(seed).did().unwrap();
        saw(&world.responder, peer, 3, 0);
    }
    let request = world.request().await;
    let word = world.word(&request).await.unwrap();
    assert_eq!((word.seen().len(), word.seen()[0].peer), (MAX_PER_RECOMMENDER, did(4)));
    assert!(!word.seen().iter().any(|seen| seen.peer == did(3)), "two answers are the least");
    assert!(word.to_json().len() <= MAX_WORD_BYTES);
    let widest = json!({"bad": 999_999_999.999, "good": 999_999_999.999, "peer": did(3).to_string()}).to_string();
    assert!((widest.len() + 1) * MAX_PER_RECOMMENDER + 1024 <= MAX_WORD_BYTES, "the longest that can be told fits");
    assert_eq!(world.asker.take_word(&request, word.to_json()).unwrap().count, MAX_PER_RECOMMENDER);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_with_too_many_requests_waits() {
    let world = World::new();
    let request = world.request().await;
    for _ in 0..QUESTIONS_PER_HOUR {
        world.word(&request).await.unwrap();
    }
    assert_eq!(world.word(&request).await.unwrap_err().code(), ErrorCode::Busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_a_rule_is_refused_by_its_name() {
    let world = World::new();
    let request = world.request().await;
    let answer =
        async |caller, text: String| rule(world.responder.answer_word(&world.askers, Some(caller), &text).await);
    let text = request.to_json();
    assert_eq!(answer(did(8), text.into()).await, broken(ErrorCode::PermissionDenied, "asker"));
    let elsewhere = forged(text, 1, |members| members["responder"] = did(8).to_string().into()).await;
    assert_eq!(answer(did(1), elsewhere).await, broken(ErrorCode::InvalidArgument, "audience"));
    assert_eq!(answer(did(1), forged(text, 8, |_| {}).await).await, broken(ErrorCode::CorruptData, "signature"));
    for (rule, asked) in [("expired", "2026-06-01T10:24:59Z"), ("not_yet", "2026-06-01T10:35:01Z")] {
        let text = forged(text, 1, |members| members["asked"] = asked.into()).await;
        assert_eq!(answer(did(1), text).await, broken(ErrorCode::InvalidArgument, rule));
    }
    let more = forged(text, 1, |members| drop(members.insert("about".into(), did(3).to_string().into()))).await;
    assert_eq!(answer(did(1), more).await, broken(ErrorCode::InvalidArgument, "form"));
    let long = " ".repeat(MAX_WORD_REQUEST_BYTES + 1);
    assert_eq!(answer(did(1), long).await, broken(ErrorCode::ResourceExhausted, "form"));
    assert_eq!(world.responder.request_word(did(2), [0; 16]).await.unwrap_err().code(), ErrorCode::InvalidArgument);
}

type Change = fn(&mut Map<String, Value>);

fn entry(seed: u8, good: Value) -> Value {
    json!({"peer": did(seed).to_string(), "good": good, "bad": 0})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_breaks_a_rule_is_refused_by_its_name_and_nothing_of_it_is_kept() {
    let world = World::new();
    let request = world.request().await;
    let word = world.word(&request).await.unwrap();
    let text = word.to_json();
    let check = |text: &str| rule(world.asker.take_word(&request, text));
    assert_eq!(check(&text.replace("4.0", "5.0")), broken(ErrorCode::CorruptData, "signature"));
    assert_eq!(check(&forged(text, 8, |_| {}).await), broken(ErrorCode::CorruptData, "signature"));
    let by_another = forged(text, 8, |members| members["responder"] = did(8).to_string().into()).await;
    assert_eq!(check(&by_another), broken(ErrorCode::CorruptData, "responder"));
    let invalid = ErrorCode::InvalidArgument;
    let cases: [(&str, ErrorCode, Change); 12] = [
        ("audience", ErrorCode::CorruptData, |members| members["asker"] = did(8).to_string().into()),
        ("nonce", ErrorCode::CorruptData, |members| members["nonce"] = "08".repeat(16).into()),
        ("not_yet", invalid, |members| members["made"] = "2026-06-01T10:35:01Z".into()),
        ("expired", invalid, |members| members["expires"] = "2026-06-01T10:30:00Z".into()),
        ("lifetime", invalid, |members| members["expires"] = "2026-06-01T10:40:01Z".into()),
        ("subject", invalid, |members| members["seen"] = json!([entry(3, 1.into()), entry(2, 1.into())])),
        ("subject", invalid, |members| members["seen"] = json!([entry(1, 1.into())])),
        ("duplicate", invalid, |members| members["seen"] = json!([entry(3, 1.into()), entry(3, 2.into())])),
        ("weight", invalid, |members| members["seen"] = json!([entry(3, (-1).into())])),
        ("weight", invalid, |members| members["seen"] = json!([entry(3, 1.1e9.into())])),
        ("weight", invalid, |members| members["seen"] = json!([entry(3, 1e300.into())])),
        ("count", ErrorCode::ResourceExhausted, |members| {
            members["seen"] = Value::Array(vec![Value::Null; MAX_PER_RECOMMENDER + 1]);
        }),
    ];
    for (rule, code, change) in cases {
        assert_eq!(check(&forged(text, 2, change).await), broken(code, rule));
    }
    let forms: [Change; 9] = [
        |members| members["type"] = "TrustStatement".into(),
        |members| drop(members.remove("seen")),
        |members| members["seen"] = json!({}),
        |members| members["seen"] = json!([1]),
        |members| members["seen"] = json!([{"peer": "nobody", "good": 1, "bad": 0}]),
        |members| members["seen"] = json!([{"peer": did(3).to_string(), "good": "1", "bad": 0}]),
        |members| members["seen"] = json!([{"peer": did(3).to_string(), "good": 1}]),
        |members| members["seen"] = json!([{"peer": did(3).to_string(), "good": 1, "bad": 0, "more": 1}]),
        |members| drop(members.insert("more".into(), 1.into())),
    ];
    for change in forms {
        let text = forged(text, 2, change).await;
        assert_eq!(check(&text), broken(ErrorCode::InvalidArgument, "form"), "{text}");
    }
    let newer = forged(text, 2, |members| members["version"] = 2.into()).await;
    assert_eq!(check(&newer).0, ErrorCode::Unsupported);
    assert_eq!(check(&" ".repeat(MAX_WORD_BYTES + 1)), broken(ErrorCode::ResourceExhausted, "form"));
    let again = world.asker.request_word(did(2), [9; 16]).await.unwrap();
    assert_eq!(rule(world.asker.take_word(&again, text)), broken(ErrorCode::CorruptData, "nonce"), "replayed");
    assert_eq!(world.kept(), []);
    world.asker.take_word(&request, text).unwrap();
    world.clock.advance(STATEMENT_LIFETIME);
    assert_eq!(check(text), broken(ErrorCode::InvalidArgument, "expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_saw_moves_the_score_of_a_third_as_far_as_the_peer_agrees() {
    let (asker, honest, liar) = (node(11).await, node(12).await, node(13).await);
    // Everybody dealt with 3, 4 and 5, and asker and others alike; of 6 the asker knows nothing.
    for (peer, good, bad) in [(3, 20, 0), (4, 20, 0), (5, 0, 20)] {
        saw(&asker.trust(), did(peer), good, bad);
        saw(&honest.trust(), did(peer), good, bad);
        saw(&liar.trust(), did(peer), bad, good);
    }
    saw(&honest.trust(), did(6), 9, 0);
    saw(&liar.trust(), did(7), 9, 0);
    for peer in [&honest, &liar] {
        asker.connect(&address(peer)).await.unwrap();
        assert_eq!(asker.ask_word(peer.peer_id()).await.unwrap().count, 0, "nothing at first");
        open_to(&peer.trust(), Tier::Unknown, Disclosure::Experience);
        let taken = asker.ask_word(peer.peer_id()).await.unwrap();
        assert_eq!((taken.recommender, taken.count), (peer.did(), 4));
    }
    let recommended = |peer| asker.trust().score(&did(peer)).unwrap().parts.recommended;
    assert!(recommended(6).is_some_and(|heard| heard.good > 0.0 && heard.bad == 0.0), "{:?}", recommended(6));
    assert_eq!(recommended(7), None, "who disagrees is not believed");
    assert_eq!(asker.ask_word(asker.peer_id()).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    for node in [&asker, &honest, &liar] {
        node.shutdown(GRACE).await.unwrap();
    }
    assert_eq!(asker.ask_word(honest.peer_id()).await.unwrap_err().code(), ErrorCode::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_shows_its_credentials_before_it_is_told_nothing() {
    let (asker, responder) = (node(11).await, node(12).await);
    let issuer = alone(4);
    responder.trust().trust_issuer(did(4), &CredentialType::ALL).unwrap();
    let credential = issuer.issue(CredentialType::VerifiedNode, did(11), Map::new(), None).await.unwrap();
    asker.trust().import_credential(&credential.to_json()).await.unwrap();
    open_to(&responder.trust(), Tier::Known, Disclosure::Experience);
    saw(&responder.trust(), did(3), 1, 0);
    asker.connect(&address(&responder)).await.unwrap();
    assert_eq!(asker.ask_word(responder.peer_id()).await.unwrap().count, 1);
    for node in [asker, responder] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_no_forged_replayed_or_misdirected_word_of_a_peer() {
    let graph = alone(12);
    saw(&graph, did(3), 1, 0);
    open_to(&graph, Tier::Unknown, Disclosure::Experience);
    let liar = Liar::new(move |request: String| {
        let graph = graph.clone();
        async move { Ok(graph.answer_word(&Askers::default(), None, &request).await?.to_json().to_owned()) }.boxed()
    });
    let network = network(12).await;
    let asker = node(11).await;
    asker.connect(&network.listen_addresses()[0].to_string()).await.unwrap();
    let peer = network.local_peer();
    assert_eq!(asker.ask_word(peer).await.unwrap_err().code(), ErrorCode::Unsupported, "it gives no word");
    network.serve_unary("kwaainet.trust.word", Purpose::Open, liar.clone()).unwrap();

    assert_eq!(asker.ask_word(peer).await.unwrap().count, 1);
    let (honest, kept) = (liar.said(), asker.trust().recommendations().unwrap());
    let says = async |text: Vec<u8>| {
        liar.say(text);
        let error = asker.ask_word(peer).await.unwrap_err();
        assert_eq!(error.context()["peer"], peer.to_string());
        (error.code(), error.context()["rule"].clone())
    };
    assert_eq!(says(honest.clone().into()).await, broken(ErrorCode::CorruptData, "nonce"), "replayed");
    let misdirected = forged(&honest, 12, |members| members["asker"] = did(8).to_string().into()).await;
    assert_eq!(says(misdirected.into()).await, broken(ErrorCode::CorruptData, "audience"));
    let by_another = forged(&honest, 8, |members| members["responder"] = did(8).to_string().into()).await;
    assert_eq!(says(by_another.into()).await, broken(ErrorCode::CorruptData, "responder"));
    let praise = forged(&honest, 12, |members| members["seen"] = json!([entry(12, 9.into())])).await;
    assert_eq!(says(praise.into()).await, broken(ErrorCode::InvalidArgument, "subject"));
    assert_eq!(says(b"\xff".to_vec()).await, broken(ErrorCode::InvalidArgument, "form"));
    assert_eq!(asker.trust().recommendations().unwrap(), kept);
    assert_eq!(
        asker.trust().reputation(&did(12)).unwrap(),
        None,
        "a word that does not hold is not held against anybody"
    );
    asker.shutdown(GRACE).await.unwrap();
    network.shutdown(GRACE).await.unwrap();
}
