//! Scores that follow a peer to its next key, and leave the one that it gave up.
#![cfg(feature = "experimental-key-rotation")]

use std::sync::Arc;

use jiff::Timestamp;
use kwaai_core::ErrorCode;
use kwaai_core::clock::ManualClock;
use kwaai_core::identity::rotation::KeyHistory;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{CredentialType, LinkType, Observation, Outcome, Recommendation, Tier, TrustGraph};
use serde_json::Map;

const NOW: &str = "2026-06-01T10:30:00Z";

fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

fn did(seed: u8) -> Did {
    key(seed).did().unwrap()
}

/// 2 issues; 3 is the peer, with 13 and 23 as its later keys.
struct World {
    graph: TrustGraph,
    issuer: TrustGraph,
}

impl World {
    async fn new() -> World {
        let clock = ManualClock::at(NOW.parse().unwrap());
        let node = |seed| {
            let signer = key(seed).signer().unwrap();
            TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(clock.clone())).unwrap()
        };
        let (graph, issuer) = (node(1), node(2));
        graph.trust_issuer(issuer.did(), &CredentialType::ALL).unwrap();
        let world = World { graph, issuer };
        for kind in [CredentialType::FiduciaryPledge, CredentialType::VerifiedNode, CredentialType::Uptime] {
            world.vouch(3, kind).await;
        }
        world
    }

    async fn vouch(&self, seed: u8, kind: CredentialType) {
        let credential = self.issuer.issue(kind, did(seed), Map::new(), None).await.unwrap();
        self.graph.import_credential(&credential.to_json()).await.unwrap();
    }

    fn see(&self, seed: u8, outcome: Outcome, times: usize) {
        for _ in 0..times {
            self.graph.record(&did(seed), Observation::new(outcome, Timestamp::MAX)).unwrap();
        }
    }

    fn value(&self, seed: u8) -> f64 {
        self.graph.score(&did(seed)).unwrap().value
    }
}

async fn history(seeds: &[u8]) -> KeyHistory {
    let mut history = KeyHistory::begin(&*key(seeds[0]).signer().unwrap(), &did(seeds[1])).await.unwrap();
    for (at, seed) in seeds.iter().enumerate().skip(1) {
        let next = seeds.get(at + 1).map(|next| did(*next));
        history = history.rotate(&*key(*seed).signer().unwrap(), next.as_ref()).await.unwrap();
    }
    history
}

#[tokio::test]
async fn the_newest_key_has_what_all_of_them_had_and_the_others_nothing() {
    let world = World::new().await;
    world.see(3, Outcome::Good, 4);
    world.see(13, Outcome::Bad, 1);
    let before = world.graph.score(&did(3)).unwrap();
    assert_eq!((world.value(13), world.value(23)), (0.0, 0.0));
    let kept = world.graph.keep_key_history(&history(&[3, 13, 23]).await.to_statements()).unwrap();
    assert_eq!((kept.identity(), kept.current()), (did(3), did(23)));

    let after = world.graph.score(&did(23)).unwrap();
    assert_eq!(after.parts.credentials, before.parts.credentials);
    let seen = after.parts.experience.unwrap();
    assert_eq!((seen.good, seen.bad), (4.0, 1.0), "the bad comes along");
    for seed in [3, 13] {
        let left = world.graph.score(&did(seed)).unwrap();
        assert_eq!((left.value, left.tier, left.parts.experience), (0.0, Tier::Unknown, None));
        assert!(left.reasons.iter().all(|reason| !reason.counted && reason.why.contains("replaced")), "{left}");
    }
    world.vouch(23, CredentialType::Throughput).await;
    assert!(world.value(23) > after.value);
    let scores = world.graph.scores(&[did(3), did(23)]).unwrap();
    assert_eq!(scores[0].value, 0.0);
    assert_eq!(scores[1], world.graph.score(&did(23)).unwrap());
}

#[tokio::test]
async fn histories_are_kept_over_a_restart_and_grow() {
    let dir = tempfile::tempdir().unwrap();
    let open = || TrustGraph::open_dir(dir.path()).unwrap();
    open().keep_key_history(&history(&[3, 13]).await.to_statements()).unwrap();
    assert_eq!(open().key_history(&did(13)).unwrap(), Some(history(&[3, 13]).await));
    assert_eq!(open().key_history(&did(4)).unwrap(), None);
    let longer = KeyHistory::begin(&*key(4).signer().unwrap(), &did(14)).await.unwrap();
    let graph = open();
    graph.keep_key_history(&longer.to_statements()).unwrap();
    let longer = longer.rotate(&*key(14).signer().unwrap(), Some(&did(24))).await.unwrap();
    assert_eq!(graph.keep_key_history(&longer.to_statements()).unwrap(), longer);
    let older = graph.keep_key_history(&longer.to_statements()[..1]).unwrap();
    assert_eq!(older, longer, "an older copy takes nothing back");
    assert_eq!(graph.key_history(&did(4)).unwrap(), Some(longer));
}

#[tokio::test]
async fn a_fork_and_a_key_of_another_history_are_refused_and_change_nothing() {
    let world = World::new().await;
    world.graph.keep_key_history(&history(&[3, 13]).await.to_statements()).unwrap();
    let before = world.graph.score(&did(13)).unwrap();
    let refused = |statements: Vec<String>| world.graph.keep_key_history(&statements).unwrap_err().code();
    assert_eq!(refused(history(&[3, 33]).await.to_statements()), ErrorCode::CorruptData);
    assert_eq!(refused(history(&[5, 13]).await.to_statements()), ErrorCode::AlreadyExists);
    let mut forged = history(&[3, 13]).await.to_statements();
    forged[1] = forged[1].replace("\"sequence\":1", "\"sequence\":2");
    assert_eq!(refused(forged), ErrorCode::InvalidArgument);
    assert_eq!(world.graph.score(&did(13)).unwrap(), before);
    assert_eq!(world.value(33), 0.0);
    assert_eq!(world.graph.key_history(&did(5)).unwrap(), None);
}

#[tokio::test]
async fn what_is_heard_about_a_key_is_heard_about_the_next_but_not_from_the_peer_itself() {
    let world = World::new().await;
    // Whom this node names for endorsements, it believes.
    for seed in [3, 4] {
        world.graph.trust_issuer(did(seed), &[CredentialType::PeerEndorsement]).unwrap();
    }
    let now = NOW.parse().unwrap();
    let word = |recommender, about| Recommendation {
        recommender: did(recommender),
        about: did(about),
        evidence: kwaai_core::trust::Evidence { good: 2.0, bad: 0.0 },
        at: now,
    };
    for seed in [8, 9] {
        world.see(seed, Outcome::Good, 1);
    }
    world.graph.add_recommendation(word(3, 13)).unwrap();
    let recommended = || world.graph.score(&did(13)).unwrap().parts.recommended;
    assert!(recommended().is_some());
    world.graph.keep_key_history(&history(&[3, 13]).await.to_statements()).unwrap();
    assert_eq!(recommended(), None, "an earlier key's word about the next one");
    world.graph.add_recommendation(word(4, 3)).unwrap();
    world.graph.add_recommendation(word(3, 60)).unwrap();
    assert_eq!(world.graph.score(&did(60)).unwrap().parts.recommended, None, "a replaced key's word");
    assert!(recommended().is_some_and(|heard| heard.good > 0.0));
    assert_eq!(world.graph.score(&did(3)).unwrap().parts.recommended, None);
}

#[tokio::test]
async fn an_endorser_answers_for_its_earlier_key_and_a_replaced_one_says_nothing() {
    let world = World::new().await;
    let endorser = |seed: u8| {
        TrustGraph::open(
            Store::in_memory().unwrap(),
            key(seed).signer().unwrap(),
            Arc::new(ManualClock::at(NOW.parse().unwrap())),
        )
        .unwrap()
    };
    let endorse = async |by: u8, about: u8| {
        let credential =
            endorser(by).issue(CredentialType::PeerEndorsement, did(about), Map::new(), None).await.unwrap();
        world.graph.import_credential(&credential.to_json()).await.unwrap();
    };
    endorse(13, 50).await;
    for seed in [40, 41, 42] {
        endorse(3, seed).await;
        world.see(seed, Outcome::Bad, 6);
    }
    endorse(3, 51).await;
    let endorsed = |seed| world.graph.score(&did(seed)).unwrap().parts.endorsements;
    let before = endorsed(51);
    world.graph.keep_key_history(&history(&[3, 13]).await.to_statements()).unwrap();
    assert_eq!(endorsed(51), 0.0, "a key that was replaced endorses nobody");
    assert!(endorsed(50) <= before + 1e-12, "{} {before}", endorsed(50));
}

#[tokio::test]
async fn a_peer_shows_under_its_new_key_what_its_earlier_keys_had() {
    let world = World::new().await;
    let (statements, clock) = (history(&[3, 13]).await.to_statements(), ManualClock::at(NOW.parse().unwrap()));
    let node = |seed| {
        let signer = key(seed).signer().unwrap();
        TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(clock.clone())).unwrap()
    };
    let (peer, reader) = (node(13), node(1));
    reader.trust_issuer(world.issuer.did(), &CredentialType::ALL).unwrap();
    let pledge = world.issuer.issue(CredentialType::FiduciaryPledge, did(3), Map::new(), None).await.unwrap();
    let friend = node(5);
    let endorsement = friend.issue(CredentialType::PeerEndorsement, did(3), Map::new(), None).await.unwrap();
    let person = node(6);
    let links = [
        person.issue_binding(did(3), LinkType::Person, None).await.unwrap(),
        node(3).issue_binding(did(6), LinkType::Node, None).await.unwrap(),
    ];
    let verified = world.issuer.issue(CredentialType::VerifiedNode, did(6), Map::new(), None).await.unwrap();
    let friends = world.issuer.issue(CredentialType::FiduciaryPledge, did(5), Map::new(), None).await.unwrap();
    reader.import_credential(&friends.to_json()).await.unwrap();
    for credential in [&pledge, &endorsement, &links[0], &links[1], &verified] {
        peer.import_credential(&credential.to_json()).await.unwrap();
    }
    assert!(peer.presentable().unwrap().is_empty(), "all is about another key as yet");
    peer.keep_key_history(&statements).unwrap();
    let shown = peer.presentable().unwrap();
    assert_eq!(shown.len(), 5);
    assert!(reader.import_presented(&did(13), &shown).await.unwrap().is_empty(), "the reader knows of no history");
    reader.keep_key_history(&statements).unwrap();
    assert_eq!(reader.import_presented(&did(13), &shown).await.unwrap().len(), 5);
    assert_eq!(reader.score(&did(13)).unwrap().value, 0.3 + 0.2 + 0.3 * 0.05);
    assert!(
        reader.import_presented(&did(3), &shown).await.unwrap().is_empty(),
        "the key that was replaced has nothing"
    );
}

#[tokio::test]
async fn a_history_that_replaces_the_key_of_this_very_node_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let clock = ManualClock::at(NOW.parse().unwrap());
    let store = Store::in_memory().unwrap();
    let node = |seed| TrustGraph::open(store.clone(), key(seed).signer().unwrap(), Arc::new(clock.clone())).unwrap();
    let pledge = world.issuer.issue(CredentialType::FiduciaryPledge, did(3), Map::new(), None).await.unwrap();
    node(3).import_credential(&pledge.to_json()).await.unwrap();
    let whole = history(&[3, 13, 23]).await.to_statements();
    for (seed, statements) in [(3, &whole[..2]), (3, &whole[..]), (13, &whole[..])] {
        let error = node(seed).keep_key_history(statements).unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
        assert_eq!(error.context()["key"], did(seed).to_string());
        assert_eq!(node(seed).key_history(&did(seed)).unwrap(), None);
    }
    assert_eq!(node(3).presentable().unwrap().len(), 1);
    // What commits to a next key replaces none yet, and the node that runs on the newest key keeps it all.
    node(3).keep_key_history(&whole[..1]).unwrap();
    node(23).keep_key_history(&whole).unwrap();
    assert_eq!(node(23).presentable().unwrap().len(), 1);
}

#[tokio::test]
async fn under_its_newest_key_a_peer_is_not_heard_about_its_earlier_one() {
    let world = World::new().await;
    for seed in [5, 6, 7] {
        world.see(seed, Outcome::Good, 4);
    }
    let say = |recommender, about, bad| {
        let evidence = kwaai_core::trust::Evidence { good: 4.0, bad };
        let at = NOW.parse().unwrap();
        world.graph.add_recommendation(Recommendation {
            recommender: did(recommender),
            about: did(about),
            evidence,
            at,
        })
    };
    for recommender in [13, 8, 4] {
        for about in [5, 6, 7] {
            say(recommender, about, 0.0).unwrap();
        }
    }
    world.graph.keep_key_history(&history(&[3, 13]).await.to_statements()).unwrap();
    world.graph.keep_key_history(&history(&[4, 14]).await.to_statements()).unwrap();
    let heard = || world.graph.score(&did(13)).unwrap().parts.recommended;
    say(13, 3, 0.0).unwrap();
    assert_eq!(heard(), None, "it speaks of itself");
    say(4, 3, 0.0).unwrap();
    assert_eq!(heard(), None, "a key that was replaced does not speak");
    say(8, 3, 0.0).unwrap();
    assert!(heard().is_some());
    let both = world.graph.scores(&[did(13), did(9)]).unwrap();
    assert_eq!(both[0], world.graph.score(&did(13)).unwrap());
}
