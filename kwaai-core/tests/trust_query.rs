//! Asking others how far they trust somebody: what the bytes are, who learns what, and what is refused by which rule.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use graphs::{alone, did, on_clock};
use kwaai_core::clock::ManualClock;
use kwaai_core::identity::Did;
use kwaai_core::net::Peers;
use kwaai_core::trust::{
    Askers, CredentialType, Disclosure, Disclosures, MAX_STATEMENT_BYTES, Minimum, Purpose, QUESTIONS_PER_HOUR,
    STATEMENT_LIFETIME, Tier, TrustAnswer, TrustGraph, TrustQuestion, TrustStatement,
};
use kwaai_core::{Error, ErrorCode};
use liar::{Liar, address, network, node};
use serde_json::{Map, Value};
use statement::{broken, forged, rule};

#[path = "support/graphs.rs"]
mod graphs;
#[path = "support/liar.rs"]
mod liar;
#[path = "support/statement.rs"]
mod statement;

const GRACE: Duration = Duration::from_secs(2);
const PLEDGE: CredentialType = CredentialType::FiduciaryPledge;
const VERIFIED: CredentialType = CredentialType::VerifiedNode;
const UPTIME: CredentialType = CredentialType::Uptime;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Three nodes on one clock: 1 asks, 2 answers, 3 is asked about. 4 issues credentials that 2 believes.
struct World {
    clock: ManualClock,
    asker: TrustGraph,
    responder: TrustGraph,
    issuer: TrustGraph,
    askers: Askers,
}

impl World {
    async fn new() -> World {
        let clock = ManualClock::at("2026-06-01T10:30:00.25Z".parse().unwrap());
        let graph = |seed| on_clock(seed, Arc::new(clock.clone()));
        let (asker, responder, issuer) = (graph(1), graph(2), graph(4));
        responder.trust_issuer(did(4), &CredentialType::ALL).unwrap();
        let world = World { asker, responder, issuer, askers: Askers::default(), clock };
        world.vouch(did(3), &[PLEDGE, VERIFIED]).await;
        world
    }

    async fn vouch(&self, subject: Did, kinds: &[CredentialType]) {
        for kind in kinds {
            let credential = self.issuer.issue(*kind, subject, Map::new(), None).await.unwrap();
            self.responder.import_credential(&credential.to_json()).await.unwrap();
        }
    }

    fn disclose(&self, to: &[(Tier, Disclosure)]) {
        let disclosures = to.iter().fold(Disclosures::default(), |all, (tier, level)| all.with(*tier, *level));
        self.responder.set_disclosures(&disclosures).unwrap();
    }

    async fn question(&self, about: Did, at_least: Option<Minimum>) -> TrustQuestion {
        self.asker.question(did(2), about, at_least, [7; 16]).await.unwrap()
    }

    async fn statement(&self, question: &TrustQuestion) -> Result<TrustStatement, Error> {
        self.responder.answer(&self.askers, Some(question.asker), question.to_json()).await
    }

    async fn ask(&self, about: Did, at_least: Option<Minimum>) -> TrustAnswer {
        let question = self.question(about, at_least).await;
        let statement = self.statement(&question).await.unwrap();
        self.asker.check_statement(&question, statement.to_json()).unwrap().answer
    }
}

fn tier(tier: Tier) -> Option<Minimum> {
    Some(tier.into())
}

fn score(value: f64) -> Option<Minimum> {
    Some(Minimum::score(value).unwrap())
}

// Written by another implementation of JCS and Ed25519, from the description of the format.
const QUESTION: &str = include_str!("golden/trust_question.json").trim_ascii_end();
const STATEMENT: &str = include_str!("golden/trust_statement.json").trim_ascii_end();

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_question_and_of_its_answer_are_fixed() {
    let world = World::new().await;
    world.disclose(&[(Tier::Unknown, Disclosure::Value)]);
    let question = world.question(did(3), score(0.55)).await;
    assert_eq!(question.to_json(), QUESTION);
    assert_eq!(TrustQuestion::read(QUESTION).unwrap(), question);
    assert_eq!(forged(QUESTION, 1, |_| {}).await, QUESTION, "signed as the format says");
    let question = world.question(did(3), None).await;
    let statement = world.statement(&question).await.unwrap();
    assert_eq!(statement.to_json(), STATEMENT);
    assert_eq!(TrustStatement::read(STATEMENT).unwrap(), statement);
    assert_eq!(forged(STATEMENT, 2, |_| {}).await, STATEMENT, "signed as the format says");
    let lifetime = statement.expires.as_second() - statement.made.as_second();
    assert_eq!(lifetime as u64, STATEMENT_LIFETIME.as_secs());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_anything_until_the_owner_allows_it() {
    let world = World::new().await;
    assert!(world.responder.disclosures().unwrap().are_off());
    for at_least in [None, tier(Tier::Known), score(0.1)] {
        assert_eq!(world.ask(did(3), at_least).await, TrustAnswer::Unknown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_answers_what_it_allows_and_no_more() {
    let yes = |minimum: Option<Minimum>| TrustAnswer::AtLeast { minimum: minimum.unwrap(), holds: true };
    let no = |minimum: Option<Minimum>| TrustAnswer::AtLeast { minimum: minimum.unwrap(), holds: false };
    let world = World::new().await;
    world.disclose(&[(Tier::Unknown, Disclosure::Threshold)]);
    assert_eq!(world.ask(did(3), None).await, TrustAnswer::Unknown);
    assert_eq!(world.ask(did(3), tier(Tier::Verified)).await, yes(tier(Tier::Verified)));

    world.disclose(&[(Tier::Unknown, Disclosure::Tier)]);
    assert_eq!(world.ask(did(3), None).await, TrustAnswer::Tier(Tier::Verified));
    assert_eq!(world.ask(did(3), tier(Tier::Trusted)).await, no(tier(Tier::Trusted)));
    assert_eq!(world.ask(did(3), tier(Tier::Known)).await, yes(tier(Tier::Known)));

    world.disclose(&[(Tier::Unknown, Disclosure::Value)]);
    assert_eq!(world.ask(did(3), None).await, TrustAnswer::Score { value: 0.5, tier: Tier::Verified });
    assert_eq!(world.ask(did(3), score(0.5)).await, yes(score(0.5)));
    assert_eq!(world.ask(did(3), score(0.51)).await, no(score(0.51)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_disclosed_depends_on_the_tier_of_the_asker() {
    let world = World::new().await;
    world.disclose(&[(Tier::Known, Disclosure::Tier), (Tier::Trusted, Disclosure::Value)]);
    assert_eq!(world.ask(did(3), None).await, TrustAnswer::Unknown);
    world.vouch(did(1), &[VERIFIED]).await;
    assert_eq!(world.ask(did(3), None).await, TrustAnswer::Tier(Tier::Verified));
    world.vouch(did(1), &[PLEDGE, UPTIME]).await;
    assert_eq!(world.ask(did(3), None).await, TrustAnswer::Score { value: 0.5, tier: Tier::Verified });
    assert_eq!(world.ask(did(1), None).await, TrustAnswer::Score { value: 0.7, tier: Tier::Trusted });
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_known_and_nothing_allowed_are_the_same_statement() {
    let world = World::new().await;
    let stranger = did(9);
    let question = world.question(stranger, None).await;
    let refused = world.statement(&question).await.unwrap();
    for level in [Disclosure::Threshold, Disclosure::Tier, Disclosure::Value] {
        world.disclose(&[(Tier::Unknown, level)]);
        assert_eq!(world.statement(&question).await.unwrap().to_json(), refused.to_json(), "{level:?}");
    }
    assert_eq!(world.ask(stranger, tier(Tier::Known)).await, TrustAnswer::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_cannot_close_in_on_a_score_by_asking_again() {
    let world = World::new().await;
    world.disclose(&[(Tier::Unknown, Disclosure::Threshold)]);
    let answered = |answer| matches!(answer, TrustAnswer::AtLeast { .. });
    assert!(answered(world.ask(did(3), score(0.55)).await));
    assert!(answered(world.ask(did(3), score(0.55)).await), "the same question is answered again");
    assert!(!answered(world.ask(did(3), score(0.45)).await));
    assert!(!answered(world.ask(did(3), tier(Tier::Known)).await));
    world.vouch(did(5), &[VERIFIED]).await;
    assert!(answered(world.ask(did(5), score(0.45)).await), "another subject");
    world.clock.advance(24 * HOUR);
    assert!(answered(world.ask(did(3), score(0.45)).await), "another day");
    world.disclose(&[(Tier::Unknown, Disclosure::Tier)]);
    assert!(answered(world.ask(did(3), tier(Tier::Known)).await), "tiers tell nothing new to who may know the tier");
    assert!(!answered(world.ask(did(3), score(0.5)).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_with_too_many_questions_waits_for_the_next_hour_and_others_do_not() {
    let world = World::new().await;
    let question = world.question(did(3), None).await;
    for _ in 0..QUESTIONS_PER_HOUR {
        world.statement(&question).await.unwrap();
    }
    assert_eq!(world.statement(&question).await.unwrap_err().code(), ErrorCode::Busy);
    let other = world.issuer.question(did(2), did(3), None, [8; 16]).await.unwrap();
    world.statement(&other).await.unwrap();
    world.clock.advance(HOUR);
    world.statement(&world.question(did(3), None).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_breaks_a_rule_is_refused_by_its_name() {
    let world = World::new().await;
    let question = world.question(did(3), None).await;
    let answer = async |caller, text: String| rule(world.responder.answer(&world.askers, Some(caller), &text).await);
    let text = question.to_json();
    assert_eq!(answer(did(8), text.into()).await, broken(ErrorCode::PermissionDenied, "asker"));
    let elsewhere = forged(text, 1, |members| members["responder"] = did(8).to_string().into()).await;
    assert_eq!(answer(did(1), elsewhere).await, broken(ErrorCode::InvalidArgument, "audience"));
    let by_another = forged(text, 8, |_| {}).await;
    assert_eq!(answer(did(1), by_another).await, broken(ErrorCode::CorruptData, "signature"));
    for (rule, asked) in [("expired", "2026-06-01T10:24:59Z"), ("not_yet", "2026-06-01T10:35:01Z")] {
        let text = forged(text, 1, |members| members["asked"] = asked.into()).await;
        assert_eq!(answer(did(1), text).await, broken(ErrorCode::InvalidArgument, rule));
    }
    for asked in ["2026-06-01T10:25:00Z", "2026-06-01T10:35:00Z"] {
        let text = forged(text, 1, |members| members["asked"] = asked.into()).await;
        world.responder.answer(&world.askers, Some(did(1)), &text).await.unwrap();
    }
    let praise = world.asker.question(did(2), did(2), None, [0; 16]).await;
    assert_eq!(praise.unwrap_err().code(), ErrorCode::InvalidArgument);
    world.disclose(&[(Tier::Unknown, Disclosure::Value)]);
    world.vouch(did(2), &[VERIFIED]).await;
    let praise = forged(text, 1, |members| members["about"] = did(2).to_string().into()).await;
    let praise = world.responder.answer(&world.askers, None, &praise).await.unwrap();
    assert_eq!(praise.answer, TrustAnswer::Unknown, "nobody praises itself");
}

type Change = fn(&mut Map<String, Value>);

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_breaks_a_rule_is_refused_by_its_name() {
    let world = World::new().await;
    world.disclose(&[(Tier::Unknown, Disclosure::Value)]);
    let question = world.question(did(3), tier(Tier::Known)).await;
    let statement = world.statement(&question).await.unwrap();
    let check = |text: &str| rule(world.asker.check_statement(&question, text));
    let text = statement.to_json();

    let changed = text.replace(r#""holds":true"#, r#""holds":false"#);
    assert_eq!(check(&changed), broken(ErrorCode::CorruptData, "signature"));
    assert_eq!(check(&forged(text, 8, |_| {}).await), broken(ErrorCode::CorruptData, "signature"));
    let by_another = forged(text, 8, |members| members["responder"] = did(8).to_string().into()).await;
    assert_eq!(check(&by_another), broken(ErrorCode::CorruptData, "responder"));
    let cases: [(&str, ErrorCode, Change); 8] = [
        ("audience", ErrorCode::CorruptData, |members| members["asker"] = did(8).to_string().into()),
        ("subject", ErrorCode::CorruptData, |members| members["about"] = did(8).to_string().into()),
        ("nonce", ErrorCode::CorruptData, |members| members["nonce"] = "08".repeat(16).into()),
        ("answer", ErrorCode::CorruptData, |members| members["answer"] = serde_json::json!({"tier": "known"})),
        ("answer", ErrorCode::CorruptData, |members| members["answer"]["atLeast"] = 0.1.into()),
        ("not_yet", ErrorCode::InvalidArgument, |members| members["made"] = "2026-06-01T10:35:01Z".into()),
        ("expired", ErrorCode::InvalidArgument, |members| members["expires"] = "2026-06-01T10:30:00Z".into()),
        ("lifetime", ErrorCode::InvalidArgument, |members| members["expires"] = "2026-06-01T10:40:01Z".into()),
    ];
    for (rule, code, change) in cases {
        assert_eq!(check(&forged(text, 2, change).await), broken(code, rule));
    }
    let forms: [Change; 14] = [
        |members| members["type"] = "TrustQuestion".into(),
        |members| members["version"] = "1".into(),
        |members| drop(members.remove("nonce")),
        |members| members["nonce"] = "0A".repeat(16).into(),
        |members| members["nonce"] = "00".repeat(17).into(),
        |members| members["asker"] = 5.into(),
        |members| members["made"] = "yesterday".into(),
        |members| members["answer"] = "yes".into(),
        |members| members["answer"] = serde_json::json!({"tier": "huge"}),
        |members| members["answer"] = serde_json::json!({"score": 1.5, "tier": "known"}),
        |members| members["answer"] = serde_json::json!({"score": 0.5}),
        |members| members["answer"] = serde_json::json!({"atLeast": "known", "holds": 1}),
        |members| members["answer"] = serde_json::json!({"tier": "known", "more": 1}),
        |members| drop(members.insert("more".into(), 1.into())),
    ];
    for change in forms {
        let text = forged(text, 2, change).await;
        assert_eq!(check(&text), broken(ErrorCode::InvalidArgument, "form"), "{text}");
    }
    let newer = forged(text, 2, |members| members["version"] = 2.into()).await;
    assert_eq!(check(&newer).0, ErrorCode::Unsupported);
    assert_eq!(check(&" ".repeat(MAX_STATEMENT_BYTES + 1)), broken(ErrorCode::ResourceExhausted, "form"));

    let again = world.asker.question(did(2), did(3), tier(Tier::Known), [9; 16]).await.unwrap();
    assert_eq!(rule(world.asker.check_statement(&again, text)), broken(ErrorCode::CorruptData, "nonce"), "replayed");
    world.asker.check_statement(&question, text).unwrap();
    world.clock.advance(STATEMENT_LIFETIME);
    assert_eq!(check(text), broken(ErrorCode::InvalidArgument, "expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_disclosed_is_kept_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let disclosures = Disclosures::default().with(Tier::Verified, Disclosure::Threshold);
    TrustGraph::open_dir(dir.path()).unwrap().set_disclosures(&disclosures).unwrap();
    let again = TrustGraph::open_dir(dir.path()).unwrap().disclosures().unwrap();
    assert_eq!(again, disclosures);
    assert_eq!(serde_json::to_string(&again).unwrap(), r#"{"from":{"verified":"threshold"}}"#);
    assert_eq!((again.to(Tier::Known), again.to(Tier::Trusted)), (Disclosure::Nothing, Disclosure::Threshold));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_asks_another_and_learns_what_that_ones_owner_allows() {
    let (asker, responder) = (node(11).await, node(12).await);
    let issuer = alone(4);
    responder.trust().trust_issuer(did(4), &CredentialType::ALL).unwrap();
    let about = issuer.issue(VERIFIED, did(3), Map::new(), None).await.unwrap();
    responder.trust().import_credential(&about.to_json()).await.unwrap();
    asker.connect(&address(&responder)).await.unwrap();

    let peer = responder.peer_id();
    assert_eq!(asker.ask_trust(peer, did(3)).await.unwrap().answer, TrustAnswer::Unknown, "nothing at first");
    let known = Disclosures::default().with(Tier::Known, Disclosure::Tier);
    responder.trust().set_disclosures(&known).unwrap();
    assert_eq!(asker.ask_trust(peer, did(3)).await.unwrap().answer, TrustAnswer::Unknown, "to a stranger nothing");
    responder.trust().set_disclosures(&known.with(Tier::Unknown, Disclosure::Threshold)).unwrap();
    let statement = asker.ask_trust_at_least(peer, did(3), Tier::Known).await.unwrap();
    assert_eq!(statement.answer, TrustAnswer::AtLeast { minimum: Tier::Known.into(), holds: true });
    assert_eq!((statement.responder, statement.asker, statement.about), (did(12), did(11), did(3)));
    assert_eq!(TrustStatement::read(statement.to_json()).unwrap(), statement);

    assert_eq!(asker.ask_trust(peer, did(12)).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    for node in [&asker, &responder] {
        node.shutdown(GRACE).await.unwrap();
    }
    assert_eq!(asker.ask_trust(peer, did(3)).await.unwrap_err().code(), ErrorCode::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_shows_its_credentials_before_it_is_refused() {
    let (asker, responder) = (node(11).await, node(12).await);
    let issuer = alone(4);
    responder.trust().trust_issuer(did(4), &CredentialType::ALL).unwrap();
    for (holder, subject) in [(&responder, did(3)), (&asker, did(11))] {
        let credential = issuer.issue(VERIFIED, subject, Map::new(), None).await.unwrap();
        holder.trust().import_credential(&credential.to_json()).await.unwrap();
    }
    responder.trust().set_disclosures(&Disclosures::default().with(Tier::Known, Disclosure::Tier)).unwrap();
    asker.connect(&address(&responder)).await.unwrap();
    let statement = asker.ask_trust(responder.peer_id(), did(3)).await.unwrap();
    assert_eq!(statement.answer, TrustAnswer::Tier(Tier::Known));
    for node in [asker, responder] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_believes_no_forged_replayed_or_misdirected_statement_of_a_peer() {
    let graph = alone(12);
    let liar = Liar::new(move |question: String| {
        let graph = graph.clone();
        async move { Ok(graph.answer(&Askers::default(), None, &question).await?.to_json().to_owned()) }.boxed()
    });
    let network = network(12).await;
    network.serve_unary("kwaainet.trust.query", Purpose::Open, liar.clone()).unwrap();
    let asker = node(11).await;
    asker.connect(&network.listen_addresses()[0].to_string()).await.unwrap();
    let peer = network.local_peer();

    asker.ask_trust(peer, did(3)).await.unwrap();
    let honest = liar.said();
    let says = async |text: Vec<u8>| {
        liar.say(text);
        let error = asker.ask_trust(peer, did(3)).await.unwrap_err();
        assert_eq!(error.context()["peer"], peer.to_string());
        (error.code(), error.context()["rule"].clone())
    };
    assert_eq!(says(honest.clone().into()).await, broken(ErrorCode::CorruptData, "nonce"), "replayed");
    let praised = honest.replace(r#""answer":"unknown""#, r#""answer":{"tier":"trusted"}"#);
    assert_eq!(says(praised.into()).await, broken(ErrorCode::CorruptData, "signature"), "changed");
    let misdirected = forged(&honest, 12, |members| members["asker"] = did(8).to_string().into()).await;
    assert_eq!(says(misdirected.into()).await, broken(ErrorCode::CorruptData, "audience"));
    let by_another = forged(&honest, 8, |members| members["responder"] = did(8).to_string().into()).await;
    assert_eq!(says(by_another.into()).await, broken(ErrorCode::CorruptData, "responder"));
    assert_eq!(says(b"\xff".to_vec()).await, broken(ErrorCode::InvalidArgument, "form"));
    assert_eq!(says(b"{}".to_vec()).await, broken(ErrorCode::InvalidArgument, "form"));
    asker.shutdown(GRACE).await.unwrap();
    network.shutdown(GRACE).await.unwrap();
}
