//! An owner whose process is killed while it puts in, takes out, seals and rotates: afterwards it has the old state or the
//! new, finds all of it, and its host keeps nothing else.
//!
//! `KWAAINET_CRASH_POINTS=1000` kills at that many points; without it there are fewer, to be quick.

#![cfg(feature = "vpk")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use killed::{FIRST_STEP, interrupt, points};
use kwaai_core::TrustGraph;
use kwaai_core::clock::SystemClock;
use kwaai_core::identity::Keypair;
use kwaai_core::store::Store;
use kwaai_core::vpk::{CollectionConfig, DepotPolicy, HostName, Item, Metric, Mode, Vpk};

#[path = "support/killed.rs"]
mod killed;

const CHILD: &str = "KWAAINET_TEST_OWNER";

/// No process lives long enough to do more.
const STEPS: usize = 5000;
const DIMENSION: usize = 8;
const IDS: u64 = 40;

/// Owner and host in one process, so that both die at the same moment.
async fn open(dir: &Path) -> Vpk {
    let store = Store::open(&dir.join("node")).unwrap();
    let pair = Keypair::from_seed([1; 32]);
    let (signer, clock) = (pair.signer().unwrap(), Arc::new(SystemClock));
    let trust = TrustGraph::open(store.clone(), signer, clock.clone()).unwrap();
    let vpk = Vpk::new(store, trust, pair.did().unwrap(), clock, None);
    vpk.host(DepotPolicy::of(256 << 20)).await.unwrap();
    vpk
}

enum Action {
    Put(Vec<u64>),
    Delete(Vec<u64>),
    Flush,
    Rotate,
}

fn action(step: usize) -> Action {
    let id = |factor: usize| (step * factor) as u64 % IDS;
    match step % 8 {
        2 => Action::Delete(vec![id(3), id(11)]),
        4 | 6 => Action::Flush,
        7 if step % 16 == 15 => Action::Rotate,
        _ => Action::Put(vec![id(1), id(7), id(13)]),
    }
}

/// After so many steps, the step that put each vector in.
fn state(steps: usize) -> BTreeMap<u64, usize> {
    let mut kept = BTreeMap::new();
    for step in 0..steps {
        match action(step) {
            Action::Put(ids) => kept.extend(ids.into_iter().map(|id| (id, step))),
            Action::Delete(ids) => kept.retain(|id, _| !ids.contains(id)),
            Action::Flush | Action::Rotate => {}
        }
    }
    kept
}

fn item(id: u64, step: usize) -> Item {
    let vector = (0..DIMENSION).map(|at| ((step + 3) * (at + 2) % 17) as f32 - 8.3).collect();
    Item::new(id, vector).with_payload(format!("step {step}"))
}

/// Not a test by itself: the process that is killed. It reports every step that is done on a line.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_owns_a_collection_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let vpk = open(Path::new(&dir)).await;
    let collection = vpk.open("all").await.unwrap();
    let first: usize = std::env::var(FIRST_STEP).unwrap().parse().unwrap();
    println!("\ndone {first}");
    for step in first..first + STEPS {
        match action(step) {
            Action::Put(ids) => {
                collection.upsert(ids.into_iter().map(|id| item(id, step)).collect()).await.unwrap();
            }
            Action::Delete(ids) => drop(collection.delete(ids).await.unwrap()),
            Action::Flush => collection.flush().await.unwrap(),
            Action::Rotate => collection.rotate().await.unwrap(),
        }
        println!("\ndone {}", step + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_killed_while_it_changes_a_collection_finds_the_old_state_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    {
        let vpk = open(dir.path()).await;
        let config = CollectionConfig {
            mode: Mode::Plain,
            dimension: DIMENSION,
            metric: Metric::Cosine,
            hosts: vec![HostName::Here],
            colluding: 0,
        };
        vpk.create("all", config).await.unwrap();
    }
    let (mut first, mut interrupted) = (0, 0);
    for point in 0..points(40) {
        let child = "child_that_owns_a_collection_until_it_is_killed";
        let steps = 1 + rand::random_range(0..9);
        let done = interrupt(child, CHILD, dir.path(), first, steps, Duration::from_millis(30));
        assert!(done < first + STEPS, "the process was not interrupted");
        interrupted += usize::from(done > first);
        let vpk = open(dir.path()).await;
        let collection = vpk.open("all").await.unwrap();
        let found = collection.search(&[1.0; DIMENSION], 1000, &serde_json::Map::new()).await.unwrap();
        let kept: BTreeMap<u64, String> =
            found.hits.into_iter().map(|hit| (hit.id, String::from_utf8(hit.payload.unwrap()).unwrap())).collect();
        let expected =
            |steps| state(steps).into_iter().map(|(id, step)| (id, format!("step {step}"))).collect::<BTreeMap<_, _>>();
        first = [done, done + 1].into_iter().find(|steps| expected(*steps) == kept).unwrap_or_else(|| {
            panic!("point {point}: after {done} steps it has {kept:?}, not {:?}", expected(done));
        });
        if point % 8 == 7 {
            collection.flush().await.unwrap();
            let report = collection.verify().await.unwrap().remove(0);
            assert!(report.is_right(), "point {point}: {report:?}");
            assert_eq!(report.segments.len(), collection.stats().segments, "point {point}");
        }
    }
    assert!(interrupted > points(40) / 2, "only {interrupted} processes came to write");
}
