//! A vector index whose process is killed while it puts in, takes out, seals, merges what came since into the graph, and builds a
//! graph that was lost: afterwards it holds the vectors of before a change or of after it, never some of both, and finds them.
//!
//! `KWAAINET_CRASH_POINTS=1000` kills at that many points; without it there are fewer, to be quick.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use killed::{FIRST_STEP, interrupt, points};
use kwaai_core::store::Store;
use kwaai_core::vector::{IndexOptions, MAX_HITS, Metric, Precision, Search, VectorIndex};

#[path = "support/killed.rs"]
mod killed;

const CHILD: &str = "KWAAINET_TEST_INDEX";

/// No process lives long enough to do more.
const STEPS: usize = 5000;
const DIMENSION: usize = 8;
const IDS: usize = 60;
const AT_ONCE: usize = 9;
/// Few, so that a graph is built again and again: when so many have come, and when a fifth of its vectors are gone.
const OPTIONS: IndexOptions = IndexOptions { metric: Metric::Euclidean, seal_at: 20 };

fn open(dir: &Path) -> VectorIndex {
    VectorIndex::open(&Store::open(dir).unwrap(), "test", DIMENSION, OPTIONS).unwrap()
}

fn graph(dir: &Path) -> PathBuf {
    dir.join("vectors-test.segment")
}

enum Action {
    Put(Vec<u64>),
    Delete(Vec<u64>),
    Seal,
    Lose,
}

fn action(step: usize) -> Action {
    let ids = |count: usize| (0..count).map(|at| ((step * 7 + at * 11) % IDS) as u64).collect();
    match step % 8 {
        2 => Action::Delete(ids(AT_ONCE / 2)),
        3 | 6 => Action::Seal,
        7 => Action::Lose,
        _ => Action::Put(ids(AT_ONCE)),
    }
}

/// What the step with this number puts in under this id.
fn vector(id: u64, step: usize) -> Vec<f32> {
    (0..DIMENSION).map(|at| ((id as usize * 13 + step * 29) * (at + 3) % 101) as f32 - 50.0).collect()
}

/// After so many steps, the step that put each vector in.
fn state(steps: usize) -> BTreeMap<u64, usize> {
    let mut kept = BTreeMap::new();
    for step in 0..steps {
        match action(step) {
            Action::Put(ids) => kept.extend(ids.into_iter().map(|id| (id, step))),
            Action::Delete(ids) => kept.retain(|id, _| !ids.contains(id)),
            Action::Seal | Action::Lose => {}
        }
    }
    kept
}

/// Not a test by itself: the process that is killed. It reports every step that is done on a line.
#[test]
fn child_that_keeps_an_index_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let dir = Path::new(&dir);
    let mut index = open(dir);
    let first: usize = std::env::var(FIRST_STEP).unwrap().parse().unwrap();
    for step in first..first + STEPS {
        match action(step) {
            Action::Put(ids) => index.upsert(ids.into_iter().map(|id| (id, vector(id, step))).collect()).unwrap(),
            Action::Delete(ids) => index.delete(&ids).unwrap(),
            Action::Seal => drop(index.seal_if_due().unwrap()),
            Action::Lose => {
                drop(index);
                // A process that was killed before may have left none.
                let _ = std::fs::remove_file(graph(dir));
                index = open(dir);
                index.seal_if_due().unwrap();
            }
        }
        println!("\ndone {}", step + 1);
    }
}

/// Whether the index holds these vectors and finds no others, by every way of searching.
fn holds(index: &VectorIndex, kept: &BTreeMap<u64, usize>) -> bool {
    let alike = (0..IDS as u64).all(|id| index.get(id).unwrap() == kept.get(&id).map(|step| vector(id, *step)));
    let asked = [0.5; DIMENSION];
    let right = |id: u64, score: f32| {
        let wanted = kept.get(&id).map(|step| {
            let square = vector(id, *step).iter().zip(asked).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            -square.sqrt()
        });
        wanted.is_some_and(|wanted| (wanted - score).abs() <= 1e-3)
    };
    let searched =
        [(Precision::Exact, MAX_HITS), (Precision::Best, 20), (Precision::Fast, 20)].map(|(precision, k)| {
            let found = index.search(&asked, &Search { precision, ..Search::best(k) }).unwrap();
            found.len() == kept.len().min(k) && found.iter().all(|hit| right(hit.id, hit.score))
        });
    alike && index.len() == kept.len() && searched == [true; 3]
}

#[test]
fn an_index_killed_while_it_changes_holds_the_old_vectors_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, mut interrupted, mut graphs) = (0, 0, 0);
    for point in 0..points(40) {
        let child = "child_that_keeps_an_index_until_it_is_killed";
        let steps = rand::random_range(0..9);
        let done = interrupt(child, CHILD, dir.path(), first, steps, Duration::from_millis(20));
        assert!(done < first + STEPS, "the process was not interrupted");
        interrupted += usize::from(done > first);
        graphs += usize::from(graph(dir.path()).exists());
        let index = open(dir.path());
        let standing = [done, done + 1].into_iter().find(|steps| holds(&index, &state(*steps)));
        first = standing
            .unwrap_or_else(|| panic!("point {point}: neither what was there after {done} steps nor after the next"));
        // And with the graph, which is read, brought up to the database, or built.
        index.seal_if_due().unwrap();
        assert!(holds(&index, &state(first)), "point {point}: the graph after {done} steps leads elsewhere");
        assert!(first < 60 || index.sealed_len() > 0, "point {point}: there is no graph");
    }
    assert!(interrupted > points(40) / 2, "only {interrupted} processes came to write");
    assert!(graphs > points(40) / 4, "only {graphs} processes left a graph");
}
