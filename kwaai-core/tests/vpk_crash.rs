//! A host whose process is killed while it keeps things for others: afterwards each collection is as before a change or as
//! after it, is answered, and is counted as what it holds.
//!
//! `KWAAINET_CRASH_POINTS=1000` kills at that many points; without it there are fewer, to be quick.

#![cfg(feature = "vpk")]

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use killed::{FIRST_STEP, interrupt, points};
use kwaai_core::clock::SystemClock;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::vpk::plain::PlainOwner;
use kwaai_core::vpk::{
    Call, CollectionId, Depot, DepotPolicy, Described, KeptManifest, Metric, Mode, Owner, Request, Room, SegmentStamp,
    Step,
};

#[path = "support/killed.rs"]
mod killed;

const CHILD: &str = "KWAAINET_TEST_DEPOT";

/// No process lives long enough to do more.
const STEPS: usize = 5000;
const DIMENSION: usize = 8;
const COUNT: usize = 5;
const ID: CollectionId = CollectionId([7; 16]);

fn tenant() -> Did {
    Keypair::from_seed([1; 32]).did().unwrap()
}

fn depot(dir: &Path) -> Depot {
    let host = Keypair::from_seed([2; 32]).did().unwrap();
    let policy = DepotPolicy::of(256 << 20);
    Depot::open(Store::open(&dir.join("host")).unwrap(), host, Arc::new(SystemClock), policy).unwrap()
}

fn call(depot: &Depot, call: Call) -> kwaai_core::Result<Vec<u8>> {
    depot.answer(tenant(), &Request { collection: ID, capability: None, call })
}

/// Segments of different lengths, the same in every process: their names stand in them.
static SEGMENTS: LazyLock<Vec<(SegmentStamp, Vec<u8>)>> = LazyLock::new(|| {
    let owner = PlainOwner::new(DIMENSION, Metric::Cosine).unwrap();
    let segment = |at: usize| {
        let vectors = vec![vec![at as i32 + 1; DIMENSION]; 3 + 40 * at];
        let mut upload = owner.seal(&vectors).unwrap();
        upload.stamp.nonce = [at as u8; 24];
        let mut bytes = upload.parts.swap_remove(0);
        bytes[6..30].copy_from_slice(&upload.stamp.nonce);
        (upload.stamp, bytes)
    };
    (0..COUNT).map(segment).collect()
});

/// The step with this number. Each round of them ends where it began, with an empty collection.
fn action(step: usize) -> Call {
    let (round, at) = (step / (2 * COUNT), step % (2 * COUNT));
    match at {
        at if at < COUNT => Call::PutSegment(SEGMENTS[at].1.clone()),
        // In another order each time.
        at => Call::RemoveSegment(SEGMENTS[(at + round) % COUNT].0),
    }
}

/// What is kept after so many steps: the segments in their order.
fn state(steps: usize) -> Vec<SegmentStamp> {
    let mut kept = Vec::new();
    for step in steps - steps % (2 * COUNT)..steps {
        match action(step) {
            Call::PutSegment(_) => kept.push(SEGMENTS[step % (2 * COUNT)].0),
            Call::RemoveSegment(stamp) => kept.retain(|other| *other != stamp),
            _ => unreachable!("there are only these two"),
        }
    }
    kept
}

/// Not a test by itself: the process that is killed. It reports every step that is done on a line.
#[test]
fn child_that_keeps_things_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let depot = depot(Path::new(&dir));
    let first: usize = std::env::var(FIRST_STEP).unwrap().parse().unwrap();
    for step in first..first + STEPS {
        call(&depot, action(step)).unwrap();
        // Two changes of one step are two transactions; which of them came to pass is told by the manifest's number.
        call(&depot, Call::ReplaceManifest(step as u64, step.to_le_bytes().to_vec())).unwrap();
        println!("\ndone {}", step + 1);
    }
}

#[test]
fn a_host_killed_while_it_keeps_things_holds_the_old_state_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let room = call(&depot(dir.path()), Call::Create { mode: Mode::Plain, dimension: DIMENSION as u32 }).unwrap();
    let empty = Room::read(&room).unwrap().used;
    let owner = PlainOwner::new(DIMENSION, Metric::Cosine).unwrap();
    let (mut first, mut interrupted) = (0, 0);
    for point in 0..points(40) {
        let child = "child_that_keeps_things_until_it_is_killed";
        let steps = rand::random_range(0..12);
        let done = interrupt(child, CHILD, dir.path(), first, steps, Duration::from_millis(10));
        assert!(done < first + STEPS, "the process was not interrupted");
        interrupted += usize::from(done > first);
        let depot = depot(dir.path());
        let described = Described::read(&call(&depot, Call::Describe).unwrap()).unwrap().remove(0);
        let manifest = KeptManifest::read(&call(&depot, Call::ReadManifest).unwrap()).unwrap();
        let number = manifest.number as usize;
        assert!([done, done + 1].contains(&number), "point {point}: manifest {number} after {done} steps");
        let steps = [number, number + 1].into_iter().find(|steps| state(*steps) == described.segments);
        let steps = steps.unwrap_or_else(|| panic!("point {point}: {:?} after {done} steps", described.segments));

        // Everything that is counted can be had, and is searched.
        for (stamp, bytes) in SEGMENTS.iter().cloned() {
            let kept = call(&depot, Call::FetchSegment(stamp)).ok();
            assert_eq!(kept, described.segments.contains(&stamp).then_some(bytes), "point {point}");
        }
        let query = owner.quantizer().quantize(&[1.0; DIMENSION]).unwrap().values;
        let mut question = owner.ask(&query, &described.segments).unwrap();
        let reply = call(&depot, Call::Ask(question.parts.swap_remove(0))).unwrap();
        let Step::Done(scores) = question.opening.offer(0, &reply).unwrap() else { panic!("there is one host") };
        assert_eq!(scores.exact.len(), described.segments.len());

        // Finish the step that was cut in two, and take all out: then nothing is charged but the collection itself.
        if number < steps {
            call(&depot, Call::ReplaceManifest(number as u64, steps.to_le_bytes().to_vec())).unwrap();
        }
        first = steps;
        if point % 10 == 9 {
            for stamp in state(first) {
                call(&depot, Call::RemoveSegment(stamp)).unwrap();
            }
            let room = Room::read(&call(&depot, Call::Health).unwrap()).unwrap();
            assert!(room.used < empty + 4096, "point {point}: {} bytes for nothing", room.used - empty);
            for stamp in state(first) {
                let (_, bytes) = SEGMENTS.iter().find(|(other, _)| *other == stamp).unwrap();
                call(&depot, Call::PutSegment(bytes.clone())).unwrap();
            }
        }
    }
    assert!(interrupted > points(40) / 2, "only {interrupted} processes came to write");
}
