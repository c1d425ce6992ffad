//! Several copies: one that is slow, and one that lies.

use std::time::{Duration, Instant};

use kwaai_core::vpk::Mode;
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::Map;

use crate::hosts::{Conduct, GRACE, Host, Random, config, ids, items, names, nearest};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_does_not_answer_does_not_set_the_latency() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(2, &owner).await;
    let notes = owner.vpk().create("notes", config(Mode::Plain, names(&hosts))).await.unwrap();
    let (all, query) = (items(0..20), Random(5).vector());
    notes.upsert(all.clone()).await.unwrap();
    notes.flush().await.unwrap();
    for silent in [0, 1] {
        hosts[silent].behave(Conduct::Silent);
        for _ in 0..5 {
            let start = Instant::now();
            assert_eq!(ids(&notes.search(&query, 5, &Map::new()).await.unwrap()), nearest(&all, &query, 5));
            // A call that is not answered ends after thirty seconds.
            assert!(start.elapsed() < Duration::from_secs(15), "it waited for the silent one");
        }
        hosts[silent].behave(Conduct::Honest);
    }
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_copy_that_answers_wrongly_is_named_and_another_asked_under_new_keys() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(2, &owner).await;
    let notes = owner.vpk().create("notes", config(Mode::Seal, names(&hosts))).await.unwrap();
    let (all, query) = (items(0..20), Random(5).vector());
    notes.upsert(all.clone()).await.unwrap();
    notes.flush().await.unwrap();
    hosts.iter().for_each(|host| host.behave(Conduct::Away));
    assert_eq!(notes.search(&query, 5, &Map::new()).await.unwrap_err().code(), ErrorCode::Unreachable);
    hosts[0].behave(Conduct::LiesAboutScores);
    hosts[1].behave(Conduct::LiesAboutScores);
    let error = notes.search(&query, 5, &Map::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData, "{error}");
    assert_eq!(notes.stats().liars.len(), 2);

    // Opened anew, one of them is honest.
    hosts[1].behave(Conduct::Honest);
    owner.vpk().destroy("notes").await.unwrap();
    let notes = owner.vpk().create("notes", config(Mode::Seal, names(&hosts))).await.unwrap();
    notes.upsert(all.clone()).await.unwrap();
    notes.flush().await.unwrap();
    for _ in 0..5 {
        assert_eq!(ids(&notes.search(&query, 5, &Map::new()).await.unwrap()), nearest(&all, &query, 5));
    }
    assert!(notes.stats().liars.iter().all(|liar| *liar == hosts[0].name()), "the honest one is not named");
    owner.shutdown(GRACE).await.unwrap();
}
