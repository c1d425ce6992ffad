//! Hosts that are gone, slow, full, or lie.

use std::time::{Duration, Instant};

use kwaai_core::vpk::{Mode, PartState};
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::Map;

use crate::hosts::{Conduct, GRACE, Host, Random, config, ids, items, names, nearest};

#[tokio::test(flavor = "multi_thread")]
async fn of_five_hosts_one_is_gone_and_one_lies_and_the_answer_is_right_and_the_liar_named() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(5, &owner).await;
    let notes = owner.vpk().create("notes", config(Mode::Split, names(&hosts))).await.unwrap();
    let all = items(0..40);
    notes.upsert(all.clone()).await.unwrap();
    notes.flush().await.unwrap();
    let query = Random(5).vector();
    let expected = nearest(&all, &query, 10);

    // One that answers nothing delays nobody.
    hosts[1].behave(Conduct::Silent);
    let start = Instant::now();
    assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), expected);
    assert!(start.elapsed() < Duration::from_secs(20), "it waited for the silent one");

    // Two liars and one away are too many: no answer, rather than a wrong one.
    hosts[1].behave(Conduct::Away);
    hosts[3].behave(Conduct::LiesAboutScores);
    hosts[4].behave(Conduct::LiesAboutScores);
    let error = notes.search(&query, 10, &Map::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData, "{error}");

    hosts[4].behave(Conduct::Honest);
    hosts[1].network.shutdown(GRACE).await.unwrap();
    for _ in 0..5 {
        assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), expected);
    }
    // The liar's reply may have been the last; it is looked at all the same.
    let deadline = Instant::now() + Duration::from_secs(20);
    while notes.stats().liars.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(notes.stats().liars, [hosts[3].name()]);

    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_host_of_a_sealed_collection_is_not_asked_again_after_a_lie() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(1, &owner).await;
    let notes = owner.vpk().create("notes", config(Mode::Seal, names(&hosts))).await.unwrap();
    notes.upsert(items(0..10)).await.unwrap();
    notes.flush().await.unwrap();
    let query = Random(5).vector();
    notes.search(&query, 3, &Map::new()).await.unwrap();
    hosts[0].behave(Conduct::LiesAboutScores);
    let error = notes.search(&query, 3, &Map::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData, "{error}");
    hosts[0].behave(Conduct::Honest);
    let error = notes.search(&query, 3, &Map::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied, "{error}");
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_away_gets_what_it_missed_in_its_order() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(4, &owner).await;
    let notes = owner.vpk().create("notes", config(Mode::Split, names(&hosts))).await.unwrap();
    let all = items(0..40);
    let query = Random(5).vector();
    notes.upsert(all[..10].to_vec()).await.unwrap();
    notes.flush().await.unwrap();
    hosts[2].behave(Conduct::Away);
    for from in [10, 20, 30] {
        notes.upsert(all[from..from + 10].to_vec()).await.unwrap();
        notes.flush().await.unwrap();
        assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), nearest(&all[..from + 10], &query, 10));
    }
    assert_eq!(notes.stats().behind, [hosts[2].name()]);
    assert_eq!(hosts[2].segments(owner.did(), notes.id()), 1);
    let report = notes.verify().await.unwrap().swap_remove(2);
    assert!(report.segments.iter().all(|part| *part == PartState::Unknown));

    hosts[2].behave(Conduct::Honest);
    notes.flush().await.unwrap();
    assert_eq!(notes.stats().behind, []);
    let reports = notes.verify().await.unwrap();
    assert!(reports.iter().all(|report| report.is_right()), "{reports:?}");
    // Now another can be away, and the one that was is needed.
    hosts[0].behave(Conduct::Away);
    assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), nearest(&all, &query, 10));
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_take_nothing_lose_nothing_and_everything_is_found_meanwhile() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(3, &owner).await;
    let notes = owner.vpk().create("notes", config(Mode::Split, names(&hosts))).await.unwrap();
    let all = items(0..20);
    let query = Random(5).vector();
    hosts[1].behave(Conduct::Full);
    notes.upsert(all.clone()).await.unwrap();
    assert_eq!(notes.flush().await.unwrap_err().code(), ErrorCode::ResourceExhausted);
    assert_eq!(notes.stats().buffered, 20);
    assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), nearest(&all, &query, 10));
    for host in &hosts {
        assert_eq!(host.segments(owner.did(), notes.id()), 0, "a part at one host alone is of no use");
    }
    hosts[1].behave(Conduct::Away);
    assert_eq!(notes.flush().await.unwrap_err().code(), ErrorCode::Unreachable);
    hosts[1].behave(Conduct::Honest);
    notes.flush().await.unwrap();
    assert_eq!((notes.stats().buffered, notes.stats().segments), (0, 1));
    assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), nearest(&all, &query, 10));
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_hands_out_changed_is_found_by_verifying() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(4, &owner).await;
    let notes = owner.vpk().create("notes", config(Mode::Split, names(&hosts))).await.unwrap();
    notes.upsert(items(0..10)).await.unwrap();
    notes.flush().await.unwrap();
    hosts[1].behave(Conduct::HandsOutOther);
    let reports = notes.verify().await.unwrap();
    for (host, report) in reports.iter().enumerate() {
        assert_eq!(report.is_right(), host != 1, "{report:?}");
    }
    assert_eq!(reports[1].segments, [PartState::Wrong]);
    assert!(reports[1].payloads.iter().all(|part| *part == PartState::Wrong));
    assert_eq!(reports[1].manifest, PartState::Wrong);
    owner.shutdown(GRACE).await.unwrap();
}
