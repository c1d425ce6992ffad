//! An owner whose process is killed while it puts in, takes out, seals, rotates and repairs: afterwards it has the old state or
//! the new, finds all of it, and its hosts keep nothing else.
//!
//! `KWAAINET_CRASH_POINTS=1000` kills at that many points; without it there are fewer, to be quick.

#![cfg(feature = "vpk")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use depots::{Depots, Fault};
use killed::{FIRST_STEP, interrupt, points};
use kwaai_core::TrustGraph;
use kwaai_core::clock::SystemClock;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::store::Store;
use kwaai_core::vpk::{
    Call, Collection, CollectionConfig, CollectionId, Depot, DepotPolicy, Described, HostName, Item, Metric, Mode,
    Placement, Request, Vpk,
};

#[path = "support/depots.rs"]
mod depots;
#[path = "support/killed.rs"]
mod killed;

const CHILD: &str = "KWAAINET_TEST_OWNER";

/// No process lives long enough to do more.
const STEPS: usize = 5000;
const DIMENSION: usize = 8;
const IDS: u64 = 40;

/// So many hosts, of which three keep the shared collection.
const HOSTS: u8 = 4;

/// Other hosts, in this process too.
fn others(dir: &Path) -> Depots {
    let depot = |seed: u8| {
        let pair = Keypair::from_seed([seed; 32]);
        let store = Store::open(&dir.join(format!("host-{seed}"))).unwrap();
        let policy = DepotPolicy::of(256 << 20);
        let depot = Depot::open(store, pair.did().unwrap(), Arc::new(SystemClock), policy).unwrap();
        (pair.peer_id(), depot)
    };
    Depots::new(Keypair::from_seed([1; 32]), (10..10 + HOSTS).map(depot).collect())
}

/// The ids of what a host keeps for the owner.
fn kept_by(others: &Depots, peer: &PeerId) -> Vec<CollectionId> {
    let request = Request { collection: CollectionId([0; 16]), capability: None, call: Call::List };
    let owner = Keypair::from_seed([1; 32]).did().unwrap();
    let listed = Described::read(&others.depots[peer].answer(owner, &request).unwrap()).unwrap();
    listed.into_iter().map(|described| described.collection).collect()
}

/// Owner and hosts in one process, so that all die at the same moment.
async fn open(dir: &Path) -> (Vpk, Arc<Depots>) {
    let store = Store::open(&dir.join("node")).unwrap();
    let pair = Keypair::from_seed([1; 32]);
    let (signer, clock, owner) = (pair.signer().unwrap(), Arc::new(SystemClock), pair.did().unwrap());
    let trust = TrustGraph::open(store.clone(), signer, clock.clone()).unwrap();
    let others = Arc::new(others(dir));
    let vpk = Vpk::new(store, trust, owner, clock, Some(others.clone()));
    vpk.host(DepotPolicy::of(256 << 20)).await.unwrap();
    (vpk, others)
}

/// Has the host that is named take the place of one that is away, and comes back.
async fn repair(collection: &Collection, others: &Depots, step: usize) {
    let hosts = collection.config().hosts;
    let HostName::Peer(away) = hosts[step % hosts.len()] else { panic!("a peer") };
    others.set(away, Some(Fault::Away));
    let spare = others.names().into_iter().filter(|host| !hosts.contains(host)).collect();
    collection.repair(spare).await.unwrap();
    others.set(away, None);
}

enum Action {
    Put(Vec<u64>),
    Delete(Vec<u64>),
    Flush,
    Rotate,
    Repair,
}

fn action(step: usize) -> Action {
    let id = |factor: usize| (step * factor) as u64 % IDS;
    match step % 8 {
        2 => Action::Delete(vec![id(3), id(11)]),
        4 | 6 => Action::Flush,
        7 if step % 16 == 15 => Action::Rotate,
        5 => Action::Repair,
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
            Action::Flush | Action::Rotate | Action::Repair => {}
        }
    }
    kept
}

fn item(id: u64, step: usize) -> Item {
    let vector = (0..DIMENSION).map(|at| ((step + 3) * (at + 2) % 17) as f32 - 8.3).collect();
    Item::new(id, vector).with_payload(format!("step {step}"))
}

async fn work(collection: &Collection, others: &Depots) {
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
            // The node itself as the only host cannot be replaced.
            Action::Repair if collection.config().hosts.len() == 1 => {}
            Action::Repair => repair(collection, others, step).await,
        }
        println!("\ndone {}", step + 1);
    }
}

/// Not a test by itself: the process that is killed. It reports every step that is done on a line.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_owns_a_collection_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let (vpk, others) = open(Path::new(&dir)).await;
    work(&vpk.open("all").await.unwrap(), &others).await;
}

/// Kills the child at so many points, and looks each time at what there is.
async fn kill_again_and_again(config: CollectionConfig, points: usize) {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.0.create("all", config).await.unwrap();
    let (mut first, mut interrupted) = (0, 0);
    for point in 0..points {
        let steps = 1 + rand::random_range(0..9);
        let done = interrupt(
            "child_that_owns_a_collection_until_it_is_killed",
            CHILD,
            dir.path(),
            first,
            steps,
            Duration::from_millis(30),
        );
        assert!(done < first + STEPS, "the process was not interrupted");
        interrupted += usize::from(done > first);
        let (vpk, others) = open(dir.path()).await;
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
            for report in collection.verify().await.unwrap() {
                assert!(report.is_right(), "point {point}: {report:?}");
                assert_eq!(report.segments.len(), collection.stats().segments, "point {point}");
            }
            // Who is no host any more, or was to become one, is told in the background.
            let hosts = collection.config().hosts;
            for peer in others.depots.keys() {
                let expected =
                    if hosts.contains(&HostName::Peer(*peer)) { vec![collection.site()] } else { Vec::new() };
                let deadline = Instant::now() + Duration::from_secs(20);
                while kept_by(&others, peer) != expected && Instant::now() < deadline {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                assert_eq!(kept_by(&others, peer), expected, "point {point}");
            }
        }
    }
    assert!(interrupted > points / 2, "only {interrupted} processes came to write");
}

fn config(mode: Mode, hosts: Vec<HostName>) -> CollectionConfig {
    let colluding = usize::from(mode == Mode::Split);
    let placement = Placement::default();
    CollectionConfig { mode, dimension: DIMENSION, metric: Metric::Cosine, hosts, colluding, placement }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_killed_while_it_changes_a_collection_finds_the_old_state_or_the_new() {
    kill_again_and_again(config(Mode::Plain, vec![HostName::Here]), points(40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_killed_while_it_repairs_a_collection_finds_the_old_hosts_or_the_new() {
    let mut hosts: Vec<HostName> =
        (10..10 + HOSTS).map(|seed| HostName::Peer(Keypair::from_seed([seed; 32]).peer_id())).collect();
    hosts.pop();
    kill_again_and_again(config(Mode::Split, hosts), points(40)).await;
}
