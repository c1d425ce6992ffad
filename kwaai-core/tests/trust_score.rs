//! Scores from credentials, own experience, the word of others and endorsements.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::propagation::{
    EigenTrust, MAX_PEERS, PRAISE_CAP, RECOMMENDED_CAP, STRANGERS_CAP, WARNINGS_CAP, eigentrust, recommended,
    recommender_weights,
};
use kwaai_core::trust::{
    CredentialType, ENDORSEMENT_BUDGET, Evidence, Experience, MAX_ENDORSED, Observation, Outcome, Recommendation,
    Thresholds, Tier, TrustGraph, answer_for, blend, endorsed_score, worth,
};
use kwaai_core::{Error, ErrorCode};
use proptest::prelude::*;
use serde_json::{Map, Value};

#[path = "support/shared.rs"]
mod shared;

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    clock: ManualClock,
}

impl World {
    fn new() -> World {
        World { clock: ManualClock::at("2026-06-01T10:30:00Z".parse().unwrap()) }
    }

    fn node(&self, seed: u8) -> TrustGraph {
        let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
        TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(self.clock.clone())).unwrap()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn see(&self, node: &TrustGraph, peer: Did, outcome: Outcome, times: usize) {
        for _ in 0..times {
            node.record(&peer, Observation::new(outcome, self.now())).unwrap();
        }
    }
}

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code()
}

/// Issues by `issuer` and imports into `node`, without changing whom it trusts.
async fn import(
    node: &TrustGraph,
    issuer: &TrustGraph,
    kind: CredentialType,
    subject: Did,
    days: Option<u32>,
) -> String {
    let credential = issuer.issue(kind, subject, Map::new(), days.map(|days| DAY * days)).await.unwrap();
    node.import_credential(&credential.to_json()).await.unwrap().id
}

const BUT_ENDORSEMENT: [CredentialType; 5] = [
    CredentialType::FiduciaryPledge,
    CredentialType::VerifiedNode,
    CredentialType::Uptime,
    CredentialType::Throughput,
    CredentialType::SummitAttendee,
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_credential_reports_must_reach_the_thresholds() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &[CredentialType::Uptime, CredentialType::Throughput]).unwrap();
    let report = async |kind, claims: Value| {
        let claims = claims.as_object().unwrap().clone();
        let credential = issuer.issue(kind, did(3), claims, None).await.unwrap();
        node.import_credential(&credential.to_json()).await.unwrap();
    };
    let observed = |share: f64| serde_json::json!({"upShare": share, "observedFrom": "2026-05-01T00:00:00Z", "observedUntil": "2026-05-31T00:00:00Z"});
    report(CredentialType::Uptime, observed(0.9)).await;
    let mut silent = observed(0.99);
    silent.as_object_mut().unwrap().remove("upShare");
    report(CredentialType::Uptime, silent).await;
    let score = node.score(&did(3)).unwrap();
    assert_eq!(score.value, 0.0);
    let mut why: Vec<&str> = score.reasons.iter().map(|reason| &*reason.why).collect();
    why.sort_unstable();
    assert_eq!(why, ["it has no readable upShare", "the node was up for a share of 0.9, 0.95 are needed"]);
    report(CredentialType::Throughput, serde_json::json!({"tokensPerSecond": 12})).await;
    report(CredentialType::Uptime, observed(0.95)).await;
    assert_eq!(node.score(&did(3)).unwrap().value, 0.35);
    let strict = Thresholds { uptime_min_share: 0.96, ..Thresholds::default() };
    node.set_thresholds(&strict).unwrap();
    assert_eq!(node.score(&did(3)).unwrap().value, 0.15, "thresholds hold at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_experience_the_score_is_kwaainets_to_the_last_bit() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &BUT_ENDORSEMENT).unwrap();
    for kind in BUT_ENDORSEMENT {
        import(&node, &issuer, kind, did(3), None).await;
    }
    // What is said by others moves nothing as long as this node has nothing to compare it with.
    let evidence = Evidence { good: 0.0, bad: 20.0 };
    node.add_recommendation(Recommendation { recommender: did(9), about: did(3), evidence, at: world.now() }).unwrap();
    for days in [0u64, 1, 30, 364] {
        let score = node.score(&did(3)).unwrap();
        let expected = kwaai_core::trust::formula(BUT_ENDORSEMENT.map(|kind| (kind, days)));
        assert_eq!((score.value, score.lower_bound, score.parts.credentials), (expected, expected, expected));
        assert_eq!((score.parts.experience, score.parts.recommended, score.parts.standing), (None, None, 1.0));
        world.clock.advance(DAY * [1, 29, 334, 1][[0u64, 1, 30, 364].iter().position(|d| *d == days).unwrap()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn experience_moves_the_score_by_its_weight_and_is_forgotten_with_a_half_life_of_30_days() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
    import(&node, &issuer, CredentialType::FiduciaryPledge, did(3), None).await;
    world.see(&node, did(3), Outcome::Good, 9);
    world.see(&node, did(3), Outcome::Bad, 1);
    world.see(&node, did(3), Outcome::TransportFault, 50);
    let score = node.score(&did(3)).unwrap();
    assert_eq!(score.parts.experience, Some(Evidence { good: 9.0, bad: 1.0 }));
    assert!((score.value - (3.0 + 9.0) / 20.0).abs() < 1e-12, "{score}");
    assert!(score.lower_bound < score.value);
    world.clock.advance(DAY * 30);
    let later = node.score(&did(3)).unwrap();
    assert_eq!(later.parts.experience, Some(Evidence { good: 4.5, bad: 0.5 }));
    world.clock.advance(DAY * 200);
    let score = node.score(&did(3)).unwrap();
    assert_eq!((score.value, score.parts.experience), (score.parts.credentials, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_turns_bad_after_a_hundred_good_answers_is_unknown_after_five_bad_ones() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &BUT_ENDORSEMENT).unwrap();
    for kind in BUT_ENDORSEMENT {
        import(&node, &issuer, kind, did(3), None).await;
    }
    world.see(&node, did(3), Outcome::Good, 100);
    assert_eq!(node.score(&did(3)).unwrap().tier, Tier::Trusted);
    world.clock.advance(Duration::from_secs(1));
    world.see(&node, did(3), Outcome::Bad, 1);
    assert_eq!(node.score(&did(3)).unwrap().tier, Tier::Trusted, "anybody errs once");
    world.clock.advance(Duration::from_secs(1));
    world.see(&node, did(3), Outcome::Bad, 4);
    assert_eq!(node.score(&did(3)).unwrap().tier, Tier::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_tier_does_not_flap_and_falls_at_once_with_the_credential_it_stood_on() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &BUT_ENDORSEMENT).unwrap();
    for kind in &BUT_ENDORSEMENT[..2] {
        import(&node, &issuer, *kind, did(3), None).await;
    }
    let uptime = import(&node, &issuer, CredentialType::Uptime, did(3), Some(5)).await;
    let tier = |peer| node.score(&peer).unwrap().tier;
    world.clock.advance(DAY * 4);
    assert!(node.score(&did(3)).unwrap().value < 0.7);
    assert_eq!(tier(did(3)), Tier::Trusted);
    world.clock.advance(DAY);
    assert_eq!(tier(did(3)), Tier::Trusted);
    world.clock.advance(Duration::from_secs(1));
    let expired = node.score(&did(3)).unwrap();
    assert_eq!(expired.reasons.last().unwrap().why, "it has expired");
    assert!(expired.tier < Tier::Trusted, "{expired}");
    node.remove_credential(&uptime).unwrap();

    import(&node, &issuer, CredentialType::SummitAttendee, did(4), None).await;
    world.clock.advance(DAY * 100);
    assert_eq!(tier(did(4)), Tier::Known, "0.0827 is held");
    node.distrust_issuer(&issuer.did()).unwrap();
    assert_eq!(tier(did(4)), Tier::Unknown);
    node.trust_issuer(issuer.did(), &BUT_ENDORSEMENT).unwrap();
    world.clock.advance(DAY * 18);
    assert_eq!(tier(did(4)), Tier::Unknown, "0.0799 is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endorsement_is_worth_what_the_endorser_is_and_sybils_are_worth_nothing() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
    let (honest, sybil, target) = (world.node(4), world.node(5), did(6));
    import(&node, &issuer, CredentialType::FiduciaryPledge, honest.did(), None).await;
    for seed in 10..60 {
        import(&node, &world.node(seed), CredentialType::PeerEndorsement, target, None).await;
        import(&node, &sybil, CredentialType::PeerEndorsement, did(seed), None).await;
    }
    assert_eq!(node.score(&target).unwrap().value, 0.0, "fifty who are nobody");
    import(&node, &honest, CredentialType::PeerEndorsement, sybil.did(), None).await;
    let reached = node.score(&sybil.did()).unwrap();
    assert!((reached.value - 0.05 * 0.3).abs() < 1e-12, "{reached}");
    assert_eq!((reached.reasons[0].share, reached.parts.endorsements), (0.3, reached.value));
    assert_eq!(node.score(&did(10)).unwrap().value, 0.0, "worth is not passed on");

    import(&node, &honest, CredentialType::PeerEndorsement, target, None).await;
    import(&node, &honest, CredentialType::PeerEndorsement, target, Some(3)).await;
    let score = node.score(&target).unwrap();
    assert!((score.value - 0.05 * 0.3).abs() < 1e-12, "an endorser counts once");
    assert!(score.reasons.iter().any(|reason| reason.why == "its issuer endorses this peer already"));
    // The endorser answers for the one it endorsed.
    world.see(&node, sybil.did(), Outcome::Bad, 8);
    let less = node.score(&target).unwrap().value;
    assert!(less < 0.05 * 0.3 * 0.1, "{less}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_endorser_answers_for_what_it_endorsed_too() {
    let world = World::new();
    let (node, endorser) = (world.node(1), world.node(2));
    node.trust_issuer(endorser.did(), &[CredentialType::PeerEndorsement]).unwrap();
    for subject in [3, 4] {
        import(&node, &endorser, CredentialType::PeerEndorsement, did(subject), None).await;
    }
    assert_eq!(node.score(&did(3)).unwrap().value, 0.05);
    world.see(&node, did(4), Outcome::Bad, 6);
    assert!(node.score(&did(3)).unwrap().value < 0.05 * 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_of_others_counts_as_far_as_it_agrees_with_own_experience() {
    let world = World::new();
    let node = world.node(1);
    for (peer, outcome) in
        [(10, Outcome::Good), (11, Outcome::Good), (12, Outcome::Bad), (13, Outcome::Good), (14, Outcome::Good)]
    {
        world.see(&node, did(peer), outcome, 10);
    }
    let (good, bad) = (Evidence { good: 10.0, bad: 0.0 }, Evidence { good: 0.0, bad: 10.0 });
    let say = |recommender: u8, about: u8, evidence| {
        let (recommender, about) = (did(recommender), did(about));
        node.add_recommendation(Recommendation { recommender, about, evidence, at: world.now() }).unwrap();
    };
    for (about, honest, liar) in [(10, good, bad), (11, good, bad), (12, bad, good), (20, good, bad)] {
        say(13, about, honest);
        say(14, about, liar);
    }
    let score = node.score(&did(20)).unwrap();
    // Ten answers of one recommender are heard as one, and those of all recommenders together as five.
    assert_eq!(score.parts.recommended, Some(Evidence { good: 1.0, bad: 0.0 }), "{score}");
    assert!((score.value - 1.0 / 11.0).abs() < 1e-14, "{score}");
    for recommender in 40..48 {
        world.see(&node, did(recommender), Outcome::Good, 1);
        for (about, honest) in [(10, good), (11, good), (12, bad), (20, good)] {
            say(recommender, about, honest);
        }
    }
    assert_eq!(node.score(&did(20)).unwrap().parts.recommended, Some(Evidence { good: 5.0, bad: 0.0 }));
    // Strangers who agree with everything come to one answer, however many they are.
    for stranger in 100..110 {
        for (about, evidence) in [(11, good), (12, bad), (30, bad)] {
            say(stranger, about, evidence);
        }
    }
    assert!(node.score(&did(30)).unwrap().parts.recommended.unwrap().total() <= 1.0);
    assert_eq!(
        code(node.add_recommendation(Recommendation {
            recommender: did(5),
            about: did(5),
            evidence: good,
            at: world.now()
        })),
        ErrorCode::InvalidArgument
    );
    assert_eq!(
        code(node.add_recommendation(Recommendation {
            recommender: did(5),
            about: did(6),
            evidence: Evidence { good: f64::NAN, bad: 0.0 },
            at: world.now()
        })),
        ErrorCode::InvalidArgument
    );
    assert_eq!(
        code(node.add_recommendation(Recommendation {
            recommender: did(5),
            about: did(6),
            evidence: good,
            at: world.now() + DAY
        })),
        ErrorCode::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_percent_slanderers_move_no_honest_tier() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &BUT_ENDORSEMENT).unwrap();
    let honest: Vec<u8> = (10..40).collect();
    for (place, peer) in honest.iter().enumerate() {
        for kind in &BUT_ENDORSEMENT[..1 + place % 5] {
            import(&node, &issuer, *kind, did(*peer), None).await;
        }
    }
    for peer in &honest[..10] {
        world.see(&node, did(*peer), Outcome::Good, 5);
    }
    let peers: Vec<Did> = honest.iter().map(|peer| did(*peer)).collect();
    let tiers = || node.scores(&peers).unwrap().iter().map(|score| score.tier).collect::<Vec<_>>();
    let before = tiers();
    for liar in 40..60 {
        for about in &honest {
            let evidence = Evidence { good: 0.0, bad: 100.0 };
            let word = Recommendation { recommender: did(liar), about: did(*about), evidence, at: world.now() };
            node.add_recommendation(word).unwrap();
        }
    }
    assert_eq!(tiers(), before);
}

#[test]
fn one_attack_edge_gains_the_same_for_one_sybil_and_a_million() {
    let edge = (worth(0.5, 1.0, 1), 1.0);
    let alone = endorsed_score([edge]);
    let crowd = endorsed_score(std::iter::once(edge).chain(std::iter::repeat_n((worth(0.0, 1.0, 1), 1.0), 1_000_000)));
    assert_eq!((alone, crowd), (0.025, 0.025));
    assert_eq!(endorsed_score(std::iter::repeat_n((1.0, 1.0), 1_000_000)), 0.05);
    assert_eq!(answer_for([]), 1.0);
    assert_eq!(worth(1.0, 1.0, MAX_ENDORSED + 1), 0.0);
}

/// The published vectors, or `None` where they are not installed.
fn vectors() -> Option<Value> {
    let path = shared::shared("vectors/eigentrust/power-iteration.json")?;
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

#[test]
fn eigentrust_gives_the_vectors_to_a_billionth() {
    let Some(all) = vectors() else { return };
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect::<Vec<_>>();
    let cases = all["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let mut ratings: Vec<_> = case["edges"]
            .as_array()
            .unwrap()
            .iter()
            .map(&numbers)
            .map(|edge| (edge[0] as usize, edge[1] as usize, edge[2]))
            .collect();
        let (pretrusted, alpha) = (numbers(&case["pretrust"]), case["a"].as_f64().unwrap());
        let trust = eigentrust(&ratings, &pretrusted, alpha, 1e-12).unwrap();
        for (ours, theirs) in trust.iter().zip(numbers(&case["trust"])) {
            assert!((ours - theirs).abs() < 1e-9, "{}: {ours} and {theirs}", case["name"]);
        }
        ratings.reverse();
        assert_eq!(eigentrust(&ratings, &pretrusted, alpha, 1e-12).unwrap(), trust, "order changes no bit");
    }
}

#[test]
fn eigentrust_refuses_what_it_cannot_compute() {
    let p = [1.0, 0.0];
    for (ratings, pretrusted, alpha, epsilon) in [
        (vec![(0, 2, 1.0)], &p[..], 0.1, 1e-9),
        (vec![(0, 1, f64::NAN)], &p[..], 0.1, 1e-9),
        (vec![(0, 1, f64::INFINITY)], &p[..], 0.1, 1e-9),
        (vec![], &[0.0, 0.0][..], 0.1, 1e-9),
        (vec![], &[1.0, -1.0][..], 0.1, 1e-9),
        (vec![], &[][..], 0.1, 1e-9),
        (vec![], &p[..], 0.0, 1e-9),
        (vec![], &p[..], f64::NAN, 1e-9),
        (vec![], &p[..], 0.1, 0.0),
    ] {
        assert_eq!(code(eigentrust(&ratings, pretrusted, alpha, epsilon)), ErrorCode::InvalidArgument);
    }
    assert_eq!(code(eigentrust(&[], &vec![1.0; MAX_PEERS + 1], 0.1, 1e-9)), ErrorCode::ResourceExhausted);
}

fn ratings() -> impl Strategy<Value = Vec<(usize, usize, f64)>> {
    prop::collection::vec((0usize..12, 0usize..12, -5i32..20), 0..60)
        .prop_map(|all| all.into_iter().map(|(from, to, rating)| (from, to, f64::from(rating))).collect())
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (0u32..200, 0u32..200).prop_map(|(good, bad)| Evidence { good: f64::from(good), bad: f64::from(bad) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_updated_graph_has_the_trust_of_a_new_one(all in ratings(), change in (0usize..12, 0usize..12, 0i32..20)) {
        let mut pretrusted = vec![0.0; 12];
        pretrusted[0] = 1.0;
        pretrusted[1] = 2.0;
        let change = (change.0, change.1, f64::from(change.2));
        let mut unique = all;
        unique.sort_by_key(|(from, to, _)| (*from, *to));
        unique.dedup_by_key(|(from, to, _)| (*from, *to));
        let mut graph = EigenTrust::new(&unique, &pretrusted, 0.2, 1e-13).unwrap();
        graph.update(&[change]).unwrap();
        unique.retain(|(from, to, _)| (*from, *to) != (change.0, change.1));
        unique.push(change);
        let fresh = eigentrust(&unique, &pretrusted, 0.2, 1e-13).unwrap();
        for (updated, fresh) in graph.trust().iter().zip(&fresh) {
            prop_assert!((updated - fresh).abs() < 1e-10);
        }
        prop_assert!((fresh.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_good_answer_never_lowers_a_score_and_a_bad_one_never_raises_it(
        credentials in 0.0f64..=1.0,
        own in evidence(),
        heard in (0u32..3, 0u32..3),
        standing in 0.0f64..=1.0,
    ) {
        let heard = Evidence { good: f64::from(heard.0), bad: f64::from(heard.1) };
        let blend = |own: Evidence, heard: Evidence| blend(credentials, own, heard.into(), standing);
        let now = blend(own, heard);
        prop_assert!(now.lower_bound <= now.value && (0.0..=1.0).contains(&now.value) && now.lower_bound >= 0.0);
        for (own, heard) in [(own.and(Evidence { good: 1.0, bad: 0.0 }), heard), (own, heard.and(Evidence { good: 1.0, bad: 0.0 }))] {
            let more = blend(own, heard);
            prop_assert!(more.value >= now.value - 1e-14 && more.lower_bound >= now.lower_bound - 1e-14);
            prop_assert!(more.expectation >= now.expectation - 1e-14);
        }
        for (own, heard) in [(own.and(Evidence { good: 0.0, bad: 1.0 }), heard), (own, heard.and(Evidence { good: 0.0, bad: 1.0 }))] {
            let worse = blend(own, heard);
            prop_assert!(worse.value <= now.value && worse.lower_bound <= now.lower_bound && worse.expectation <= now.expectation);
        }
    }

    #[test]
    fn the_order_of_observations_changes_no_bit(outcomes in prop::collection::vec((0i64..3_000_000, 0u8..3), 0..40)) {
        let now: Timestamp = "2026-07-10T00:00:00Z".parse().unwrap();
        let start: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let observe = |(second, outcome): &(i64, u8)| {
            let outcome = [Outcome::Good, Outcome::Bad, Outcome::TransportFault][usize::from(*outcome)];
            Observation::new(outcome, start + Duration::from_secs(*second as u64))
        };
        let gather = |all: &[(i64, u8)]| {
            let mut experience = Experience::default();
            all.iter().for_each(|one| experience.add(&observe(one), now));
            experience
        };
        let mut sorted = outcomes.clone();
        sorted.sort_unstable();
        let (one, other) = (gather(&outcomes), gather(&sorted));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.evidence(now), other.evidence(now));
        prop_assert_eq!(one.standing(now).to_bits(), other.standing(now).to_bits());
    }

    #[test]
    fn endorsements_never_add_more_than_the_edges_into_a_set_carry(
        scores in prop::collection::vec(0.0f64..=1.0, 1..8),
        sybils in 1usize..40,
        edges in prop::collection::vec((0usize..8, 0usize..40), 0..30),
    ) {
        // Sybils have no score of their own, whatever they sign; what reaches them are the edges of the honest.
        let mut edges: Vec<_> = edges.into_iter().map(|(from, to)| (from % scores.len(), to % sybils)).collect();
        edges.sort_unstable();
        edges.dedup();
        let count = |from: usize| edges.iter().filter(|(other, _)| *other == from).count();
        let gain: f64 = (0..sybils)
            .map(|sybil| {
                let honest = edges.iter().filter(|(_, to)| *to == sybil).map(|(from, _)| (worth(scores[*from], 1.0, count(*from)), 1.0));
                endorsed_score(honest.chain(std::iter::repeat_n((worth(0.0, 1.0, sybils), 1.0), sybils)))
            })
            .sum();
        let carried: f64 = edges.iter().map(|(from, _)| 0.05 * scores[*from]).sum();
        prop_assert!(gain <= carried + 1e-9);
        let budget: f64 = scores.iter().map(|score| 0.05 * score * ENDORSEMENT_BUDGET as f64).sum();
        prop_assert!(gain <= budget + 1e-9);
    }

    #[test]
    fn recommendations_are_capped_whatever_is_said(said in prop::collection::vec((0u8..6, 0u8..6, evidence()), 0..40), own in prop::collection::vec((0u8..6, evidence()), 0..6)) {
        let mut word = std::collections::BTreeMap::<u8, std::collections::BTreeMap<u8, Evidence>>::new();
        for (from, about, evidence) in said {
            word.entry(from).or_default().insert(about, evidence);
        }
        let own = own.into_iter().collect();
        let weights = recommender_weights(&own, &word, |peer| peer == 0);
        prop_assert!(weights.values().all(|weight| (0.0..=1.0).contains(weight)));
        for about in 0..6 {
            let heard = recommended(&weights, &word, about, |_| false);
            prop_assert!(heard.evidence.total() <= RECOMMENDED_CAP + 1e-12);
            prop_assert!(heard.choice.good <= PRAISE_CAP && heard.choice.bad <= WARNINGS_CAP);
            prop_assert!(recommended(&weights, &word, about, |_| true).choice.total() <= STRANGERS_CAP + 1e-12);
        }
    }
}

#[tokio::test]
async fn many_peers_have_the_scores_that_each_has_alone() {
    let world = World::new();
    let (node, issuer) = (world.node(1), world.node(2));
    node.trust_issuer(issuer.did(), &CredentialType::ALL).unwrap();
    let peers: Vec<Did> = (0..1_500u16)
        .map(|number| {
            let mut seed = [9; 32];
            seed[..2].copy_from_slice(&number.to_le_bytes());
            Keypair::from_seed(seed).did().unwrap()
        })
        .collect();
    for (place, peer) in peers.iter().enumerate().step_by(70) {
        import(&node, &issuer, BUT_ENDORSEMENT[place % BUT_ENDORSEMENT.len()], *peer, None).await;
        world.see(&node, peers[place + 1], Outcome::Good, place % 9);
    }
    let alone: Vec<_> = peers.iter().map(|peer| node.score(peer).unwrap()).collect();
    assert!(alone.iter().filter(|score| score.value > 0.0).count() > 20);
    assert_eq!(node.scores(&peers).unwrap(), alone);
}

#[tokio::test]
async fn a_good_answer_brings_no_forgiven_one_back() {
    let world = World::new();
    let (node, issuer, peer) = (world.node(1), world.node(2), did(3));
    node.trust_issuer(issuer.did(), &CredentialType::ALL).unwrap();
    for kind in BUT_ENDORSEMENT {
        import(&node, &issuer, kind, peer, None).await;
    }
    for days in [0, 5, 10, 20, 40, 120] {
        world.see(&node, peer, Outcome::Bad, 6);
        world.clock.advance(DAY * days);
        let before = node.score(&peer).unwrap();
        world.see(&node, peer, Outcome::Good, 1);
        let after = node.score(&peer).unwrap();
        assert!(after.value >= before.value && after.tier >= before.tier, "{days}: {before}\n{after}");
    }
}

#[tokio::test]
async fn a_renewed_credential_keeps_the_tier_that_was_reached() {
    let world = World::new();
    let (node, issuer, peer) = (world.node(1), world.node(2), did(3));
    node.trust_issuer(issuer.did(), &CredentialType::ALL).unwrap();
    for kind in [CredentialType::FiduciaryPledge, CredentialType::VerifiedNode, CredentialType::Uptime] {
        import(&node, &issuer, kind, peer, None).await;
    }
    world.clock.advance(DAY * 10);
    let before = node.score(&peer).unwrap();
    assert_eq!(before.tier, Tier::Trusted, "held below its threshold: {before}");
    import(&node, &issuer, CredentialType::Uptime, peer, None).await;
    let after = node.score(&peer).unwrap();
    assert!(after.value > before.value && after.tier == Tier::Trusted, "{after}");
    // What had fallen before the renewal did not reach it.
    world.clock.advance(DAY * 60);
    assert_eq!(node.score(&peer).unwrap().tier, Tier::Verified);
    import(&node, &issuer, CredentialType::Uptime, peer, None).await;
    let renewed = node.score(&peer).unwrap();
    assert!(renewed.value < 0.7 && renewed.tier == Tier::Verified, "{renewed}");
}

#[test]
fn a_graph_that_needs_too_many_steps_is_refused() {
    let ratings = [(0, 1, 1.0), (1, 0, 1.0)];
    assert_eq!(code(eigentrust(&ratings, &[1.0, 0.0], 1e-12, 1e-15)), ErrorCode::InvalidArgument);
    assert_eq!(code(eigentrust(&ratings, &[1.0, 0.0], f64::MIN_POSITIVE, 1.0)), ErrorCode::InvalidArgument);
    eigentrust(&ratings, &[1.0, 0.0], 0.01, 1e-15).unwrap();
}
