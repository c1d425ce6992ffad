//! What a node measures of its peers is kept, shared by its handles, and forgotten on demand.

use std::sync::Arc;
use std::time::Duration;

use kwaai_core::ErrorCode;
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{
    DEFAULT_ALPHA, Evidence, FLUSH_AFTER, FLUSH_COUNT, GlobalTrust, Observation, Outcome, Recommendation, TrustGraph,
};

fn clock() -> ManualClock {
    ManualClock::at("2026-06-01T10:30:00Z".parse().unwrap())
}

fn open(store: &Store, clock: &ManualClock) -> TrustGraph {
    let signer = Keypair::from_seed([1; 32]).signer().unwrap();
    TrustGraph::open(store.clone(), signer, Arc::new(clock.clone())).unwrap()
}

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn good(graph: &TrustGraph, peer: Did, clock: &ManualClock) {
    graph.record(&peer, Observation::new(Outcome::Good, clock.now())).unwrap();
}

/// How many good answers the database has on the disk, as a copy of it tells.
fn stored(store: &Store, clock: &ManualClock, peer: Did) -> f64 {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(store.dir().unwrap()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let copy = Store::open(copy.path()).unwrap();
    open(&copy, clock).reputation(&peer).unwrap().map_or(0.0, |reputation| reputation.evidence.good)
}

#[test]
fn measurements_are_means_weighed_by_age() {
    let (store, clock) = (Store::in_memory().unwrap(), clock());
    let graph = open(&store, &clock);
    let seen = |outcome, latency, delivered| Observation {
        latency_ms: Some(latency),
        promised: Some(10.0),
        delivered: Some(delivered),
        ..Observation::new(outcome, clock.now())
    };
    graph.record(&did(2), seen(Outcome::Good, 100.0, 9.0)).unwrap();
    graph.record(&did(2), seen(Outcome::Good, 300.0, 6.0)).unwrap();
    graph.record(&did(2), Observation::new(Outcome::TransportFault, clock.now())).unwrap();
    let reputation = graph.reputation(&did(2)).unwrap().unwrap();
    assert_eq!(reputation.evidence, Evidence { good: 2.0, bad: 0.0 });
    assert_eq!((reputation.latency_ms, reputation.throughput), (Some(200.0), Some(0.75)));
    assert_eq!((reputation.success, reputation.reliability, reputation.uptime), (0.75, Some(2.0 / 3.0), Some(1.0)));
    clock.advance(Duration::from_secs(86_400 * 30));
    graph.record(&did(2), Observation::new(Outcome::TransportFault, clock.now())).unwrap();
    let reputation = graph.reputation(&did(2)).unwrap().unwrap();
    assert_eq!(reputation.evidence, Evidence { good: 1.0, bad: 0.0 });
    assert_eq!((reputation.transport_faults, reputation.uptime), (1.5, Some(0.5 / 1.5)));
    assert_eq!(graph.reputations().unwrap(), [reputation]);
    for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e10] {
        let observation = Observation { latency_ms: Some(wrong), ..Observation::new(Outcome::Good, clock.now()) };
        assert_eq!(graph.record(&did(2), observation).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    let own = graph.did();
    let refused = graph.record(&own, Observation::new(Outcome::Good, clock.now()));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn observations_reach_the_database_in_batches_and_not_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (Store::open(dir.path()).unwrap(), clock());
    let graph = open(&store, &clock);
    for count in 1..FLUSH_COUNT {
        good(&graph, did(2), &clock);
        if count == 1 || count == FLUSH_COUNT - 1 {
            assert_eq!(stored(&store, &clock, did(2)), 0.0, "after {count}");
        }
    }
    good(&graph, did(2), &clock);
    assert_eq!(stored(&store, &clock, did(2)), FLUSH_COUNT as f64);
    good(&graph, did(2), &clock);
    clock.advance(FLUSH_AFTER);
    good(&graph, did(2), &clock);
    assert_eq!(stored(&store, &clock, did(2)), FLUSH_COUNT as f64 + 2.0);
    good(&graph, did(2), &clock);
    graph.flush().unwrap();
    assert_eq!(stored(&store, &clock, did(2)), FLUSH_COUNT as f64 + 3.0);
}

#[test]
fn the_last_handle_writes_what_is_left_when_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (Store::open(dir.path()).unwrap(), clock());
    let graph = open(&store, &clock);
    let clone = graph.clone();
    good(&graph, did(2), &clock);
    drop(graph);
    assert_eq!(stored(&store, &clock, did(2)), 0.0);
    drop(clone);
    assert_eq!(stored(&store, &clock, did(2)), 1.0);
}

#[test]
fn the_newest_bad_answers_survive_a_graph_that_is_only_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (Store::open(dir.path()).unwrap(), clock());
    let graph = open(&store, &clock);
    (0..16).for_each(|_| good(&graph, did(2), &clock));
    graph.flush().unwrap();
    for _ in 0..5 {
        clock.advance(Duration::from_secs(1));
        graph.record(&did(2), Observation::new(Outcome::Bad, clock.now())).unwrap();
    }
    let before = graph.reputation(&did(2)).unwrap();
    drop(graph);
    assert_eq!(open(&store, &clock).reputation(&did(2)).unwrap(), before);
    assert!(before.unwrap().standing < 0.03);
}

#[test]
fn handles_on_several_threads_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (Store::open(dir.path()).unwrap(), clock());
    let graph = open(&store, &clock);
    let other = open(&store, &clock);
    std::thread::scope(|scope| {
        for handle in [graph.clone(), graph.clone(), other.clone(), other.clone()] {
            let clock = &clock;
            scope.spawn(move || (0..500).for_each(|_| good(&handle, did(2), clock)));
        }
    });
    graph.flush().unwrap();
    other.flush().unwrap();
    assert_eq!(stored(&store, &clock, did(2)), 2000.0, "clones share a buffer, and two graphs on one database do");
}

#[test]
fn what_one_handle_notes_counts_for_the_others_at_once() {
    let (store, clock) = (Store::in_memory().unwrap(), clock());
    let (graph, other) = (open(&store, &clock), open(&store, &clock));
    good(&graph, did(2), &clock);
    assert_eq!(other.reputation(&did(2)).unwrap(), graph.reputation(&did(2)).unwrap());
    assert_eq!(other.score(&did(2)).unwrap().parts.experience, Some(Evidence { good: 1.0, bad: 0.0 }));
    other.reset_reputation(&did(2)).unwrap();
    assert_eq!(graph.reputation(&did(2)).unwrap(), None);
    drop(other);
    good(&graph, did(2), &clock);
    drop(graph);
    assert_eq!(open(&store, &clock).reputation(&did(2)).unwrap().unwrap().evidence.good, 1.0);
}

#[test]
fn an_hour_with_a_clock_that_is_years_off_blinds_nobody() {
    for off in [Duration::from_secs(86_400 * 3650), Duration::from_secs(86_400 * 100)] {
        let store = Store::in_memory().unwrap();
        let (right, ahead, behind) =
            (clock(), ManualClock::at(clock().now() + off), ManualClock::at(clock().now() - off));
        for wrong in [&ahead, &behind] {
            for _ in 0..20 {
                good(&open(&store, &right), did(2), &right);
            }
            for _ in 0..20 {
                open(&store, wrong).record(&did(2), Observation::new(Outcome::Bad, wrong.now())).unwrap();
            }
            let said = Recommendation {
                recommender: did(3),
                about: did(4),
                evidence: Evidence { good: 0.0, bad: 9.0 },
                at: wrong.now(),
            };
            open(&store, wrong).add_recommendation(said).unwrap();
        }
        let graph = open(&store, &right);
        let before = graph.reputation(&did(2)).unwrap().unwrap();
        assert_eq!(before.evidence.good, 40.0, "what was seen at the right time counts still");
        for _ in 0..20 {
            graph.record(&did(2), Observation::new(Outcome::Bad, right.now())).unwrap();
        }
        let after = graph.reputation(&did(2)).unwrap().unwrap();
        assert_eq!((after.evidence.good, after.evidence.bad - before.evidence.bad), (40.0, 20.0));
        assert!(after.standing < 0.01 && after.last <= right.now(), "{after:?}");
        let said = Recommendation {
            recommender: did(3),
            about: did(4),
            evidence: Evidence { good: 5.0, bad: 0.0 },
            at: right.now(),
        };
        graph.add_recommendation(said).unwrap();
        assert_eq!(graph.recommendations().unwrap(), [said]);
    }
}

#[test]
fn what_is_reset_is_gone_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (Store::open(dir.path()).unwrap(), clock());
    let graph = open(&store, &clock);
    good(&graph, did(2), &clock);
    graph.flush().unwrap();
    good(&graph, did(2), &clock);
    graph.reset_reputation(&did(2)).unwrap();
    assert_eq!(graph.reputation(&did(2)).unwrap(), None);
    assert_eq!(stored(&store, &clock, did(2)), 0.0);
    assert_eq!(graph.reset_reputation(&did(2)).unwrap_err().code(), ErrorCode::NotFound);
    good(&graph, did(2), &clock);
    drop(graph);
    assert_eq!(stored(&store, &clock, did(2)), 1.0);
}

#[test]
fn recommendations_survive_and_the_later_word_holds() {
    let (store, clock) = (Store::in_memory().unwrap(), clock());
    let graph = open(&store, &clock);
    let say = |good: f64, at| {
        let evidence = Evidence { good, bad: 1.0 };
        graph.add_recommendation(Recommendation { recommender: did(3), about: did(4), evidence, at }).unwrap();
    };
    let now = clock.now();
    say(5.0, now);
    say(9.0, now - Duration::from_secs(60));
    graph.flush().unwrap();
    let kept = open(&store, &clock).recommendations().unwrap();
    assert_eq!(kept, graph.recommendations().unwrap());
    assert_eq!((kept.len(), kept[0].evidence.good), (1, 5.0));
}

fn shares(found: &[GlobalTrust]) -> Vec<(Did, f64)> {
    found.iter().map(|share| (share.peer, (share.value * 1e6).round() / 1e6)).collect()
}

#[test]
fn trust_spreads_from_this_node_over_those_it_knows_and_those_they_recommend() {
    let (store, clock) = (Store::in_memory().unwrap(), clock());
    let graph = open(&store, &clock);
    assert_eq!(shares(&graph.propagate(&[], DEFAULT_ALPHA).unwrap()), [(did(1), 1.0)]);
    good(&graph, did(2), &clock);
    graph.record(&did(4), Observation::new(Outcome::Bad, clock.now())).unwrap();
    let said = |about, good, bad| Recommendation {
        recommender: did(2),
        about,
        evidence: Evidence { good, bad },
        at: clock.now(),
    };
    graph.add_recommendation(said(did(3), 4.0, 1.0)).unwrap();
    graph.add_recommendation(said(did(5), 1.0, 1.0)).unwrap();
    // This node trusts 2, 2 trusts 3, and 3 says nothing, so that its trust flows back: a tenth of all begins anew here.
    let found = graph.propagate(&[], DEFAULT_ALPHA).unwrap();
    let start = 0.1 / (1.0 - 0.9f64.powi(3));
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    let first = [(did(1), rounded(start)), (did(2), rounded(0.9 * start)), (did(3), rounded(0.81 * start))];
    assert_eq!(shares(&found)[..3], first);
    let nobody: Vec<Did> = found[3..].iter().map(|share| share.peer).collect();
    assert_eq!((nobody.len(), nobody.is_sorted()), (2, true), "of the same value the lesser key is first");
    assert!(found[3..].iter().all(|share| share.value == 0.0), "neither bad nor as good as bad");
    assert!((found.iter().map(|share| share.value).sum::<f64>() - 1.0).abs() < 1e-6);
    let elsewhere = graph.propagate(&[did(6), did(6)], 1.0).unwrap();
    assert_eq!((elsewhere.len(), shares(&elsewhere)[0]), (6, (did(6), 1.0)));
    for alpha in [0.0, 0.009, 1.1, -1.0, f64::NAN, f64::INFINITY] {
        let refused = graph.propagate(&[], alpha).unwrap_err();
        assert_eq!((refused.code(), &*refused.context()["argument"]), (ErrorCode::InvalidArgument, "alpha"));
    }
}
