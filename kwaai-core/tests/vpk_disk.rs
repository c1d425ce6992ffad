//! A disk that is full or read-only: an error that says so, nothing lost of what was acknowledged, and everything as before when
//! there is room again, without opening anything anew.

#![cfg(feature = "vpk")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::clock::SystemClock;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::vector::{IndexOptions, Metric as VectorMetric, Precision, Search, VectorIndex};
use kwaai_core::vpk::plain::PlainOwner;
use kwaai_core::vpk::{
    Call, Collection, CollectionConfig, CollectionId, Depot, DepotPolicy, Described, HostName, Item, Metric, Mode,
    Owner, Placement, Request, SegmentStamp, Step, Vpk,
};
use kwaai_core::{ErrorCode, Result, TrustGraph};
use small_disk::SmallDisk;

#[path = "support/small_disk.rs"]
mod small_disk;

const DIMENSION: usize = 64;
const BATCH: u64 = 40;

fn vector(id: u64) -> Vec<f32> {
    (0..DIMENSION as u64).map(|at| ((id * 31 + 7) * (at + 3) % 101) as f32 - 49.5).collect()
}

/// What may be refused for want of room, and for nothing else.
fn done<T>(tried: Result<T>) -> bool {
    match tried {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::ResourceExhausted, "{error:?}");
            false
        }
    }
}

/// Puts batches in until three in a row are refused, and tells how many were taken.
fn until_full(mut put: impl FnMut(u64) -> Result<()>) -> u64 {
    let (mut taken, mut refused) = (0, 0);
    while refused < 3 {
        assert!(taken < 10_000, "the disk is not full");
        match done(put(taken)) {
            true => (taken, refused) = (taken + 1, 0),
            false => refused += 1,
        }
    }
    taken
}

fn index(dir: &Path) -> Result<VectorIndex> {
    let options = IndexOptions { metric: VectorMetric::Cosine, seal_at: 100 };
    VectorIndex::open(&Store::open(dir)?, "test", DIMENSION, options)
}

fn holds(index: &VectorIndex, batches: u64) {
    for precision in [Precision::Exact, Precision::Best] {
        let search = Search { precision, ..Search::best((batches * BATCH) as usize) };
        let found = index.search(&[1.0; DIMENSION], &search).unwrap();
        let ids: BTreeSet<u64> = found.into_iter().map(|hit| hit.id).collect();
        assert_eq!(ids, (0..batches * BATCH).collect());
    }
}

#[test]
fn an_index_on_a_full_disk_finds_what_it_took_and_takes_more_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let index = {
        let index = index(disk.path()).unwrap();
        let put = |batch: u64| index.upsert((batch * BATCH..(batch + 1) * BATCH).map(|id| (id, vector(id))).collect());
        (0..3).try_for_each(put).unwrap();
        disk.fill();
        let more = until_full(|batch| put(batch + 3));
        holds(&index, 3 + more);
        done(index.delete(&[0]));
        // The graph does not fit either, and costs nothing but time.
        assert_eq!(index.seal_if_due().unwrap_err().code(), ErrorCode::ResourceExhausted);
        disk.make_room();
        put(0).unwrap();
        put(3 + more).unwrap();
        holds(&index, 4 + more);
        (4 + more, index)
    };
    let (batches, open) = index;
    drop(open);
    let again = self::index(disk.path()).unwrap();
    again.seal_if_due().unwrap();
    holds(&again, batches);
}

#[test]
fn a_directory_on_a_read_only_disk_is_refused_and_unchanged() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    index(disk.path()).unwrap().upsert((0..BATCH).map(|id| (id, vector(id))).collect()).unwrap();
    disk.set_read_only(true);
    let error = index(disk.path()).err().unwrap();
    assert_eq!(error.code(), ErrorCode::PermissionDenied, "{error:?}");
    assert!(error.context().contains_key("file"), "{error:?}");
    disk.set_read_only(false);
    holds(&index(disk.path()).unwrap(), 1);
}

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn call(depot: &Depot, call: Call) -> Result<Vec<u8>> {
    depot.answer(did(1), &Request { collection: CollectionId([7; 16]), capability: None, call })
}

fn depot(dir: &Path) -> Depot {
    Depot::open(Store::open(dir).unwrap(), did(2), Arc::new(SystemClock), DepotPolicy::of(1 << 30)).unwrap()
}

/// What the host says it keeps, all of which it hands out and answers from.
fn kept(depot: &Depot, owner: &PlainOwner) -> Vec<SegmentStamp> {
    let segments = Described::read(&call(depot, Call::Describe).unwrap()).unwrap().remove(0).segments;
    for stamp in &segments {
        let bytes = call(depot, Call::FetchSegment(*stamp)).unwrap();
        assert_eq!(owner.unseal(stamp, &[Some(bytes)]).unwrap().len(), stamp.vectors as usize);
    }
    answers(depot, owner, &segments).unwrap();
    segments
}

fn answers(depot: &Depot, owner: &PlainOwner, segments: &[SegmentStamp]) -> Result<()> {
    let mut question = owner.ask(&vec![1; DIMENSION], segments)?;
    let reply = call(depot, Call::Ask(question.parts.swap_remove(0)))?;
    let Step::Done(scores) = question.opening.offer(0, &reply)? else { panic!("there is one host") };
    assert_eq!(scores.exact.len(), segments.len());
    Ok(())
}

fn put_at(depot: &Depot, owner: &PlainOwner, batch: u64) -> Result<SegmentStamp> {
    let ids = batch * BATCH..(batch + 1) * BATCH;
    let vectors: Vec<Vec<i32>> = ids.map(|id| owner.quantizer().quantize(&vector(id)).unwrap().values).collect();
    let mut upload = owner.seal(&vectors)?;
    call(depot, Call::PutSegment(upload.parts.swap_remove(0))).map(|_| upload.stamp)
}

#[test]
fn a_host_answers_without_a_segment_that_a_full_disk_will_not_let_go() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let owner = PlainOwner::new(DIMENSION, Metric::Cosine).unwrap();
    let depot = depot(disk.path());
    call(&depot, Call::Create { mode: Mode::Plain, dimension: DIMENSION as u32 }).unwrap();
    let first = put_at(&depot, &owner, 0).unwrap();
    let mut rest = vec![put_at(&depot, &owner, 1).unwrap()];
    disk.fill();
    until_full(|batch| put_at(&depot, &owner, batch + 2).map(|stamp| rest.push(stamp)));
    kept(&depot, &owner);
    let refused = call(&depot, Call::RemoveSegment(first)).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ResourceExhausted, "{refused:?}");
    answers(&depot, &owner, &rest).unwrap();
    disk.make_room();
    // A commit that failed may have come to pass.
    let removed = call(&depot, Call::RemoveSegment(first));
    assert!(removed.as_ref().err().is_none_or(|error| error.code() == ErrorCode::NotFound), "{removed:?}");
    assert_eq!(kept(&depot, &owner), rest);
}

#[test]
fn a_host_on_a_full_disk_keeps_what_it_took_and_takes_more_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let owner = PlainOwner::new(DIMENSION, Metric::Cosine).unwrap();
    let mut taken = Vec::new();
    {
        let depot = depot(disk.path());
        call(&depot, Call::Create { mode: Mode::Plain, dimension: DIMENSION as u32 }).unwrap();
        let mut put = |batch: u64| put_at(&depot, &owner, batch).map(|stamp| taken.push(stamp));
        put(0).unwrap();
        disk.fill();
        let more = until_full(&mut put);
        disk.make_room();
        put(more + 1).unwrap();
        assert_eq!(taken.len() as u64, more + 2);
        assert_eq!(kept(&depot, &owner), taken);
        disk.fill();
        // What is there is answered while nothing more fits.
        assert_eq!(kept(&depot, &owner), taken);
        disk.make_room();
    }
    assert_eq!(kept(&depot(disk.path()), &owner), taken);
}

async fn open(dir: &Path) -> Vpk {
    let store = Store::open(dir).unwrap();
    let (signer, clock) = (Keypair::from_seed([1; 32]).signer().unwrap(), Arc::new(SystemClock));
    let trust = TrustGraph::open(store.clone(), signer, clock.clone()).unwrap();
    let vpk = Vpk::new(store, trust, did(1), clock, None);
    vpk.host(DepotPolicy::of(1 << 30)).await.unwrap();
    vpk
}

/// Tries again while the database is not open again after the disk has failed, since somebody else may still be reading, and while
/// the host has yet to hear what became of a change that failed.
async fn ready<T>(mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut last = None;
    let done = async {
        loop {
            match attempt().await {
                Err(error) if matches!(error.code(), ErrorCode::Busy | ErrorCode::Conflict) => last = Some(error),
                other => return other,
            }
            tokio::task::yield_now().await
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), done).await;
    done.unwrap_or_else(|_| panic!("a minute later it still answers {last:?}"))
}

/// All of these, each with what belongs to it, and nothing else.
async fn finds(collection: &Collection, count: u64) {
    let found =
        ready(async || collection.search(&[1.0; DIMENSION], 10_000, &serde_json::Map::new()).await).await.unwrap();
    let texts: BTreeSet<(u64, Vec<u8>)> = found.hits.into_iter().map(|hit| (hit.id, hit.payload.unwrap())).collect();
    assert_eq!(texts, (0..count).map(|id| (id, format!("text {id}").into_bytes())).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(12) else { return };
    let count = {
        let vpk = open(disk.path()).await;
        let config = CollectionConfig {
            mode: Mode::Seal,
            dimension: DIMENSION,
            metric: Metric::Cosine,
            hosts: vec![HostName::Here],
            colluding: 0,
            placement: Placement::default(),
        };
        let notes = vpk.create("notes", config).await.unwrap();
        let put = async |batch: u64| {
            let ids = batch * BATCH..(batch + 1) * BATCH;
            notes.upsert(ids.map(|id| Item::new(id, vector(id)).with_payload(format!("text {id}"))).collect()).await
        };
        put(0).await.unwrap();
        notes.flush().await.unwrap();
        put(1).await.unwrap();
        disk.fill();
        let (mut taken, mut refused) = (2, 0);
        while refused < 3 {
            match done(ready(async || put(taken).await).await) {
                true => (taken, refused) = (taken + 1, 0),
                false => refused += 1,
            }
        }
        assert!(!done(ready(async || notes.rotate().await).await), "there is room for all of it once more");
        done(ready(async || notes.flush().await).await);
        finds(&notes, taken * BATCH).await;
        disk.make_room();
        ready(async || put(taken).await).await.unwrap();
        ready(async || notes.flush().await).await.unwrap();
        finds(&notes, (taken + 1) * BATCH).await;
        assert!(notes.verify().await.unwrap().iter().all(|report| report.is_right()));
        notes.rotate().await.unwrap();
        finds(&notes, (taken + 1) * BATCH).await;
        (taken + 1) * BATCH
    };
    let notes = open(disk.path()).await.open("notes").await.unwrap();
    finds(&notes, count).await;
    assert!(notes.verify().await.unwrap().iter().all(|report| report.is_right()));
}
