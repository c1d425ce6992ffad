//! Hosts that are replaced while the collection is searched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kwaai_core::vpk::{Collection, Hit, HostName, Item, Mode, PartState};
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::Map;

use crate::hosts::{Conduct, GRACE, Host, Random, config, ids, items, names, nearest, until};

/// Questions with their answers, as a scan of the same whole numbers gives them that no host takes part in.
async fn exact(owner: &Node, mode: Mode, hosts: &[Host], all: &[Item]) -> Vec<(Vec<f32>, Vec<Hit>)> {
    let twin = owner.vpk().create("twin", config(mode, names(hosts))).await.unwrap();
    twin.upsert(all.to_vec()).await.unwrap();
    let mut answers = Vec::new();
    let mut random = Random(100);
    for _ in 0..20 {
        let query = random.vector();
        let found = twin.search(&query, 10, &Map::new()).await.unwrap();
        answers.push((query, found.hits));
    }
    assert_eq!(twin.stats().buffered, all.len());
    twin.destroy().await.unwrap();
    answers
}

/// Searches without a pause, and compares each answer with the exact one.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(collection: &Collection, answers: &[(Vec<f32>, Vec<Hit>)]) -> Load {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let tasks = (0..3usize).map(|task| {
            let (collection, answers, stop, done) = (collection.clone(), answers.to_vec(), stop.clone(), done.clone());
            tokio::spawn(async move {
                for at in task.. {
                    let (query, hits) = &answers[at % answers.len()];
                    let found = collection.search(query, 10, &Map::new()).await.unwrap();
                    assert_eq!(&found.hits, hits);
                    done.fetch_add(1, Ordering::AcqRel);
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                }
            })
        });
        let tasks = tasks.collect();
        Load { stop, done, tasks }
    }

    /// Waits until so many more searches were answered.
    async fn more(&self, count: usize) {
        let enough = self.done.load(Ordering::Acquire) + count;
        until(async || {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a search failed");
            (self.done.load(Ordering::Acquire) >= enough).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Release);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn filled(owner: &Node, mode: Mode, hosts: &[Host]) -> (Collection, Vec<Item>) {
    let notes = owner.vpk().create("notes", config(mode, names(hosts))).await.unwrap();
    let all = items(0..60);
    for part in all.chunks(20) {
        notes.upsert(part.to_vec()).await.unwrap();
        notes.flush().await.unwrap();
    }
    (notes, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_killed_and_replaced_while_searches_go_on_and_every_answer_is_exact() {
    let owner = Node::start(Config::default()).await.unwrap();
    let mut hosts = Host::several(5, &owner).await;
    let spare = hosts.pop().unwrap();
    let (notes, all) = filled(&owner, Mode::Split, &hosts).await;
    notes.delete(vec![3]).await.unwrap();
    let all: Vec<Item> = all.into_iter().filter(|item| item.id != 3).collect();
    let before = (notes.site(), hosts[0].stamps(owner.did(), notes.site()));
    assert_eq!(notes.repair(Vec::new()).await.unwrap().lost, [], "nothing is to be done");

    let load = Load::start(&notes, &exact(&owner, Mode::Split, &hosts, &all).await);
    load.more(20).await;
    hosts[1].network.shutdown(GRACE).await.unwrap();
    load.more(20).await;
    let repair = notes.repair(vec![spare.name()]).await.unwrap();
    assert_eq!((repair.lost, repair.added), (vec![hosts[1].name()], vec![spare.name()]));
    load.more(20).await;
    // Now another may be lost.
    hosts[2].behave(Conduct::Away);
    load.more(20).await;
    hosts[2].behave(Conduct::Honest);
    load.end().await;

    assert_eq!(notes.config().hosts, [hosts[0].name(), spare.name(), hosts[2].name(), hosts[3].name()]);
    let stats = notes.stats();
    assert_eq!((stats.epoch, stats.vectors, stats.deleted, stats.segments), (2, 59, 0, 1));
    notes.flush().await.unwrap();
    let reports = notes.verify().await.unwrap();
    assert!(reports.iter().all(|report| report.is_right()), "{reports:?}");
    // Nothing of the old site was used again, and whoever can be told has forgotten it.
    assert_ne!(notes.site(), before.0);
    let stamps = spare.stamps(owner.did(), notes.site());
    assert!(stamps.iter().all(|stamp| before.1.iter().all(|old| old.nonce != stamp.nonce)));
    for host in [&hosts[0], &hosts[2], &hosts[3], &spare] {
        assert_eq!(host.collections(owner.did()), [notes.site()]);
    }
    assert_eq!(hosts[1].collections(owner.did()), [before.0], "it could not be told");
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hands_out_something_else_is_replaced_and_told_to_forget_what_it_has() {
    let owner = Node::start(Config::default()).await.unwrap();
    let mut hosts = Host::several(5, &owner).await;
    let spare = hosts.pop().unwrap();
    let (notes, all) = filled(&owner, Mode::Split, &hosts).await;
    hosts[3].behave(Conduct::HandsOutOther);
    let beside = notes.repair(vec![hosts[0].name()]).await.unwrap_err();
    assert_eq!(beside.code(), ErrorCode::InvalidArgument);
    // A new host that takes nothing leaves everything as it was.
    spare.behave(Conduct::Full);
    let error = notes.repair(vec![spare.name()]).await.unwrap_err();
    assert_eq!((error.code(), notes.stats().epoch), (ErrorCode::ResourceExhausted, 1));
    let query = Random(5).vector();
    assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), nearest(&all, &query, 10));
    spare.behave(Conduct::Honest);
    until(async || spare.collections(owner.did()).is_empty().then_some(())).await;

    let repair = notes.repair(vec![spare.name()]).await.unwrap();
    assert_eq!((repair.lost, repair.added), (vec![hosts[3].name()], vec![spare.name()]));
    assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), nearest(&all, &query, 10));
    assert!(notes.verify().await.unwrap().iter().all(|report| report.is_right()));
    until(async || hosts[3].collections(owner.did()).is_empty().then_some(())).await;
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_host_has_any_more_is_not_repaired_and_says_so() {
    let owner = Node::start(Config::default()).await.unwrap();
    let mut hosts = Host::several(2, &owner).await;
    let spare = hosts.pop().unwrap();
    let (notes, _) = filled(&owner, Mode::Seal, &hosts).await;
    hosts[0].behave(Conduct::Away);
    let error = notes.repair(vec![spare.name()]).await.unwrap_err();
    assert_eq!((error.code(), error.context()["needed"].as_str()), (ErrorCode::Unreachable, "1"), "{error}");
    hosts[0].behave(Conduct::Honest);
    assert_eq!(notes.repair(vec![spare.name()]).await.unwrap().lost, Vec::<HostName>::new());
    let report = notes.verify().await.unwrap().remove(0);
    assert_eq!(report.segments, [PartState::Right; 3]);
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_made_anew_where_one_is_lost_and_every_answer_is_exact() {
    for mode in [Mode::Seal, Mode::Plain] {
        let owner = Node::start(Config::default()).await.unwrap();
        let mut hosts = Host::several(3, &owner).await;
        let spare = hosts.pop().unwrap();
        let (notes, all) = filled(&owner, mode, &hosts).await;
        let load = Load::start(&notes, &exact(&owner, mode, &hosts, &all).await);
        load.more(5).await;
        hosts[0].network.shutdown(GRACE).await.unwrap();
        load.more(5).await;
        let repair = notes.repair(vec![spare.name()]).await.unwrap();
        assert_eq!((repair.lost, repair.added), (vec![hosts[0].name()], vec![spare.name()]));
        // The new copy alone suffices.
        hosts[1].behave(Conduct::Away);
        load.more(5).await;
        load.end().await;
        owner.shutdown(GRACE).await.unwrap();
    }
}
